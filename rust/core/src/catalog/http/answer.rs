//! Error responses of a server, as our errors.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;

use crate::calendar::day_of_date;
use crate::config::Secret;
use crate::error::{Error, RetryClass};

/// Longer waits that a server asks for are ignored.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// A server's text is shown up to this many characters.
const TEXT_CHARS_MAX: usize = 400;
/// Shorter secrets are common words, such as a header's `true`.
const SECRET_BYTES_MIN: usize = 6;
/// The header in which services of AWS name the type of an error.
const ERROR_TYPE: &str = "x-amzn-errortype";
/// The types of errors with which services of AWS throttle. Some come with 400 (Glue's REST endpoint:
/// <https://github.com/apache/iceberg/issues/17824>).
const THROTTLING_TYPES: [&str; 9] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ProvisionedThroughputExceededException",
    "SlowDown",
];
/// What follows a status that says that we send too much.
pub(super) const TOO_MANY_REQUESTS: &str = " (too many requests)";

/// Removes our secrets from texts of others.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    secrets: Vec<Secret>,
}

impl Scrubber {
    pub(super) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self {
            secrets: secrets.into_iter().collect(),
        }
    }

    /// The text as one line of printable characters, without our secrets, including `current`.
    pub(super) fn scrub(&self, text: &str, current: Option<&Secret>) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().chain(current) {
            if secret.expose().len() >= SECRET_BYTES_MIN {
                text = text.replace(secret.expose(), "[redacted]");
            }
        }
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        let line = words.join(" ");
        match line.char_indices().nth(TEXT_CHARS_MAX) {
            Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
            None => line,
        }
    }
}

/// Adds to `error` what an answer with an error status says besides the status: the wait that it asks for, and its
/// message without our secrets, including `current`. `throttled` is what [`is_throttled`] found.
pub(super) fn refused(
    error: Error,
    throttled: bool,
    headers: &HeaderMap,
    body: &[u8],
    scrubber: &Scrubber,
    current: Option<&Secret>,
) -> Error {
    let mut error = error.class(RetryClass::Retry {
        after: retry_after(headers),
    });
    if throttled {
        error = error.throttled();
    }
    match server_error(body, headers, scrubber, current) {
        Some(cause) => error.because(cause),
        None => error,
    }
}

/// Advice for a status that does not throttle, to be appended to it.
pub(super) fn hint(status: StatusCode, headers: &HeaderMap, keys: &str) -> String {
    if status.is_redirection() {
        let target = headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .unwrap_or_default();
        let target = target.split(['?', '#']).next().unwrap_or_default();
        return format!(
            " and sends us to {target:?}; redirects are not followed, give the right catalog.uri"
        );
    }
    match status.as_u16() {
        401 | 419 => format!(" (it does not accept our credentials); check {keys}"),
        403 => format!(" (it forbids this); check {keys}, and the rights that go with them"),
        407 => " (a proxy wants credentials); check HTTPS_PROXY".into(),
        _ => String::new(),
    }
}

/// Whether the server refused a request because it gets too many. Decided by the status and the type of the
/// error, never by its message.
pub(super) fn is_throttled(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> bool {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return true;
    }
    if let Some(kind) = error_type(headers) {
        return names_throttling(kind);
    }
    match serde_json::from_slice(body) {
        Ok(ErrorBody::Aws { kind: Some(kind), .. }) => names_throttling(&kind),
        _ => false,
    }
}

/// The name is that of the type alone, or has a namespace before `#`, or an address after `:`.
fn names_throttling(kind: &str) -> bool {
    let name = kind.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().trim();
    THROTTLING_TYPES.contains(&name)
}

fn error_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(ERROR_TYPE)?.to_str().ok()
}

/// `Retry-After`, which is seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text)?
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// A date as HTTP servers send it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|name| name == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let parts: Vec<u64> = time
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let [hour, minute, second] = parts.as_slice() else {
        return None;
    };
    if !(1970..=9999).contains(&year)
        || !(1..=31).contains(&day)
        || *hour > 23
        || *minute > 59
        || *second > 60
    {
        return None;
    }
    let days = day_of_date(year, month, day)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(
        days * 86_400 + hour * 3_600 + minute * 60 + second,
    ))
}

/// The server's message.
#[derive(Debug)]
struct ServerError(String);

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

/// The server's message, if there is one that can be shown. HTML pages are ignored.
fn server_error(
    body: &[u8],
    headers: &HeaderMap,
    scrubber: &Scrubber,
    current: Option<&Secret>,
) -> Option<ServerError> {
    let (kind, message) = match serde_json::from_slice(body) {
        Ok(ErrorBody::Iceberg { error }) => (error.kind, error.message),
        Ok(ErrorBody::OAuth2 {
            error,
            error_description,
        }) => (Some(error), error_description),
        Ok(ErrorBody::Aws { message, kind }) => {
            let header = error_type(headers).map(str::to_owned);
            (kind.or(header), Some(message))
        }
        Err(_) => {
            let is_text = headers
                .get(reqwest::header::CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok())
                .is_some_and(|kind| kind.starts_with("text/plain"));
            (None, is_text.then(|| String::from_utf8_lossy(body).into_owned()))
        }
    };
    let said: Vec<String> = [kind, message]
        .into_iter()
        .flatten()
        .map(|text| scrubber.scrub(&text, current))
        .filter(|text| !text.is_empty())
        .collect();
    (!said.is_empty()).then(|| ServerError(said.join(": ")))
}

/// The body of an error response: Iceberg's `ErrorModel`, OAuth2's (RFC 6749, section 5.2), or that of AWS
/// services, whose gateways answer before the catalog does.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ErrorBody {
    Iceberg {
        error: ErrorModel,
    },
    OAuth2 {
        error: String,
        error_description: Option<String>,
    },
    Aws {
        #[serde(alias = "Message")]
        message: String,
        #[serde(rename = "__type", alias = "Code", alias = "code")]
        kind: Option<String>,
    },
}

/// `ErrorModel` without its stack trace.
#[derive(Debug, Deserialize)]
struct ErrorModel {
    #[serde(default)]
    message: Option<String>,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_http_writes_them() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("soon", None),
        ] {
            let time = http_date(text).map(|time| {
                time.duration_since(SystemTime::UNIX_EPOCH)
                    .expect("after")
                    .as_secs()
            });
            assert_eq!(time, seconds, "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("header"))]);
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("86400")), Some(RETRY_AFTER_MAX));
        assert_eq!(
            retry_after(&headers("Sun, 06 Nov 1994 08:49:37 GMT")),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after(&headers("soon")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn throttling_is_known_by_status_and_type_alone() {
        for (status, header, body, expected) in [
            (429, "", "", true),
            (
                400,
                "ThrottlingException",
                r#"{"message": "Rate exceeded"}"#,
                true,
            ),
            (
                400,
                "ThrottlingException:http://internal.amazon.com/coral/x/",
                "",
                true,
            ),
            (400, "com.amazonaws.glue#TooManyRequestsException", "", true),
            (
                400,
                "",
                r#"{"message": "a", "__type": "com.amazon.coral.availability#ThrottlingException"}"#,
                true,
            ),
            (
                400,
                "",
                r#"{"Message": "a", "Code": "RequestLimitExceeded"}"#,
                true,
            ),
            (503, "", r#"{"message": "a", "code": "SlowDown"}"#, true),
            (
                400,
                "ValidationException",
                r#"{"message": "Throttling", "__type": "Throttling"}"#,
                false,
            ),
            (400, "", r#"{"message": "Rate exceeded"}"#, false),
            (
                400,
                "",
                r#"{"error": {"message": "ThrottlingException", "type": "BadRequestException"}}"#,
                false,
            ),
            (400, "", "ThrottlingException", false),
            (503, "", "", false),
        ] {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert(ERROR_TYPE, header.parse().expect("header"));
            }
            let status = StatusCode::from_u16(status).expect("status");
            let throttled = is_throttled(status, &headers, body.as_bytes());
            assert_eq!(throttled, expected, "{status} {header} {body}");
        }
    }

    #[test]
    fn every_kind_of_error_body_is_read_and_scrubbed() {
        let scrubber = Scrubber::new([Secret::new("hunter2")]);
        for (body, expected) in [
            (
                r#"{"error": {"message": "no hunter2\nhere", "type": "NotAuthorizedException", "code": 401}}"#,
                Some("NotAuthorizedException: no [redacted] here"),
            ),
            (
                r#"{"error": "invalid_client", "error_description": "who?"}"#,
                Some("invalid_client: who?"),
            ),
            (
                r#"{"message": "Signature expired", "__type": "InvalidSignatureException"}"#,
                Some("InvalidSignatureException: Signature expired"),
            ),
            (r#"{"Message": "no"}"#, Some("no")),
            ("<html>hunter2</html>", None),
            ("", None),
        ] {
            let said = server_error(body.as_bytes(), &HeaderMap::new(), &scrubber, None);
            assert_eq!(said.map(|said| said.to_string()).as_deref(), expected, "{body}");
        }
    }
}
