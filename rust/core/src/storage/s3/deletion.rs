//! Answers to deletions. `object_store` deletes each file with a request for several, S3's `DeleteObjects`. A
//! success of it can contain an error for each file, which is treated here like the answer to a single file.

use bytes::Bytes;
use http::response::Parts;
use http::{Method, StatusCode};
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};

use super::failure::element;

/// The codes of errors that may pass. The last two are `MinIO`'s.
const TRANSIENT: [&str; 5] = [
    "InternalError",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
];

/// Garage reports a file that does not exist, which is what we want.
const MISSING: &str = "NoSuchKey";

/// What ends the name of an element.
const NAME_ENDS: [char; 7] = ['<', '>', '/', ' ', '\t', '\r', '\n'];

/// An answer without errors.
const DELETED: &str = "<DeleteResult><Deleted><Key>all</Key></Deleted></DeleteResult>";

pub(super) fn is_one(request: &HttpRequest) -> bool {
    request.method() == Method::POST && request.uri().query() == Some("delete")
}

/// The successful answer, with the status and the content that its worst error would have by itself.
pub(super) fn judged(mut parts: Parts, body: Bytes) -> HttpResponse {
    let Some((status, content)) = verdict(&String::from_utf8_lossy(&body)) else {
        return HttpResponse::from_parts(parts, body.into());
    };
    parts.status = status;
    HttpResponse::from_parts(parts, content.into())
}

/// `None` for a success without errors.
fn verdict(body: &str) -> Option<(StatusCode, String)> {
    let errors = errors(body);
    if errors.is_empty() {
        return None;
    }
    let mut worst = None;
    for error in errors {
        let code = element(error, "Code").unwrap_or_default();
        if TRANSIENT.contains(&code.as_str()) {
            return Some((StatusCode::SERVICE_UNAVAILABLE, error.to_owned()));
        }
        if code != MISSING {
            worst = worst.or_else(|| Some((status(&code), error.to_owned())));
        }
    }
    worst.or_else(|| Some((StatusCode::OK, DELETED.to_owned())))
}

/// The elements named `Error`, with any prefix and attributes, each up to its end or to the next one. None is
/// left to `object_store`, which panics at an error of a file that it did not ask about.
fn errors(body: &str) -> Vec<&str> {
    let is_error = |start: &usize| {
        let name = body.get(start + 1..).and_then(|tag| tag.split(NAME_ENDS).next());
        name.is_some_and(|name| name.rsplit(':').next() == Some("Error"))
    };
    let starts = body.match_indices('<').map(|(start, _)| start).filter(is_error);
    let starts: Vec<usize> = starts.collect();
    let ends = starts.iter().skip(1).copied().chain([body.len()]);
    let errors = starts.iter().zip(ends);
    errors
        .filter_map(|(start, end)| body.get(*start..end)?.split("</Error>").next())
        .collect()
}

/// The status with which S3 sends a code.
fn status(code: &str) -> StatusCode {
    match code {
        "AccessDenied" | "AllAccessDisabled" => StatusCode::FORBIDDEN,
        "MethodNotAllowed" => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The error of a deletion that got no answer, of a kind that is retried: to delete twice does no harm.
pub(super) fn repeatable(error: HttpError) -> HttpError {
    match error.kind() {
        HttpErrorKind::Timeout | HttpErrorKind::Interrupted => HttpError::new(HttpErrorKind::Request, error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(codes: &[&str]) -> String {
        let error =
            |code: &&str| format!("<Error><Key>k</Key><Code>{code}</Code><Message>No.</Message></Error>");
        let errors: String = codes.iter().map(error).collect();
        format!("<DeleteResult><Deleted><Key>b</Key></Deleted>{errors}</DeleteResult>")
    }

    #[test]
    fn errors_of_files_become_the_answer() {
        for (codes, status, code) in [
            (&["SlowDown"][..], 503, "SlowDown"),
            (&["AccessDenied", "NoSuchKey", "SlowDown"][..], 503, "SlowDown"),
            (
                &["NoSuchKey", "AccessDenied", "NoSuchKey"][..],
                403,
                "AccessDenied",
            ),
            (&["MethodNotAllowed"][..], 405, "MethodNotAllowed"),
            (&["InvalidArgument"][..], 400, "InvalidArgument"),
        ] {
            let (found, content) = verdict(&answer(codes)).expect("errors");
            assert_eq!(found.as_u16(), status, "{codes:?}");
            assert_eq!(element(&content, "Code").as_deref(), Some(code), "{codes:?}");
        }
        let missing = verdict(&answer(&["NoSuchKey", "NoSuchKey"]));
        assert_eq!(missing, Some((StatusCode::OK, DELETED.to_owned())));
        assert_eq!(verdict(&answer(&[])), None);
    }

    #[test]
    fn an_error_is_seen_in_any_form() {
        let error = "<Key>k</Key><Code>AccessDenied</Code><Message>No.</Message>";
        for (start, end) in [
            ("<Error>", "</Error>"),
            ("<Error xmlns=\"a\">", "</Error>"),
            ("<Error\n>", "</Error >"),
            ("<s3:Error>", "</s3:Error>"),
            ("<a:b:Error>", "</a:b:Error>"),
        ] {
            for after in ["", "<Deleted><Key>b</Key></Deleted>"] {
                let body = format!("<DeleteResult>{start}{error}{end}{after}</DeleteResult>");
                let (found, content) = verdict(&body).expect("an error");
                assert_eq!(found.as_u16(), 403, "{body}");
                assert_eq!(
                    element(&content, "Code").as_deref(),
                    Some("AccessDenied"),
                    "{body}"
                );
            }
        }
        let (found, _) = verdict("<DeleteResult><Error/></DeleteResult>").expect("an error");
        assert_eq!(found.as_u16(), 400);
        for other in [
            "<Errors>1</Errors>",
            "<Key>Error</Key>",
            "</Error>",
            "<ErrorCode/>",
            "<Error:a/>",
        ] {
            assert_eq!(verdict(&format!("<DeleteResult>{other}</DeleteResult>")), None);
        }
    }

    #[test]
    fn a_deletion_without_an_answer_is_sent_again() {
        for (kind, expected) in [
            (HttpErrorKind::Timeout, HttpErrorKind::Request),
            (HttpErrorKind::Interrupted, HttpErrorKind::Request),
            (HttpErrorKind::Connect, HttpErrorKind::Connect),
            (HttpErrorKind::Unknown, HttpErrorKind::Unknown),
        ] {
            let error = HttpError::new(kind, std::io::Error::other("broken"));
            assert_eq!(repeatable(error).kind(), expected);
        }
    }
}
