//! OTLP over HTTP: from an event to an answer.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

mod answer;
mod auth;
mod body;

use std::collections::HashMap;

use otlp2iceberg::{Error, ErrorKind, Outcome, Part, Signal};

use self::answer::Form;
pub use self::answer::{Answer, Shape};
pub use self::auth::Auth;
use crate::deadline::Deadline;
use crate::emf::Metrics;
use crate::log;
use crate::repairs::Repairs;
use crate::store::{Batch, RETRY_AFTER, Store, retry_after};

/// A request, independent of its event type.
#[derive(Debug, Default)]
pub struct Request {
    /// `POST`.
    pub method: String,
    /// The path, including the stage of an API Gateway or the prefix of a custom domain.
    pub path: String,
    /// Headers by lower-case name; several values are joined with commas.
    pub headers: HashMap<String, String>,
    /// The body as in the event.
    pub body: String,
    /// Whether the body is base64.
    pub is_base64: bool,
    /// Whether AWS, or an authorizer of the gateway, has authenticated the caller.
    pub is_authenticated: bool,
}

/// Answers one request. There is always an answer, and it is marked as retryable if a retry may help.
pub async fn handle(
    store: &Store,
    auth: &Auth,
    request: Request,
    deadline: Deadline,
    metrics: &mut Metrics,
) -> Answer {
    let form = Form::of_content_type(request.header("content-type"));
    let answer_form = form.unwrap_or(Form::Json);
    match request.route() {
        Route::Health => Answer::health(),
        Route::Export(signal) => {
            if !auth.allows(request.header("authorization")) {
                request.refuse(Some(signal), 401, "the bearer token is missing or wrong", metrics);
                return Answer::unauthorized(answer_form);
            }
            let Some(form) = form else {
                request.refuse(Some(signal), 415, "the content-type is not taken", metrics);
                let said = shown(request.header("content-type").unwrap_or("none"));
                return Answer::error(
                    answer_form,
                    415,
                    &format!(
                        "content-type \"{said}\" is not taken; send application/x-protobuf or application/json"
                    ),
                );
            };
            // A token that is asked for was right.
            let is_known = request.is_authenticated || auth.has_token();
            match export(store, signal, form, request, deadline, metrics).await {
                Ok(answer) => answer,
                Err(error) => failed(form, signal, &error, is_known),
            }
        }
        Route::MethodNotAllowed(allowed) => {
            request.refuse(None, 405, "the path takes another method", metrics);
            Answer::method_not_allowed(answer_form, allowed)
        }
        Route::NotFound => {
            request.refuse(None, 404, "the path is not one of OTLP", metrics);
            Answer::error(
                answer_form,
                404,
                "there is nothing here; send POST to /v1/logs, /v1/traces or /v1/metrics",
            )
        }
    }
}

/// The greatest length of what a client sent in a log line or an answer, characters.
const SHOWN_MAX: usize = 100;

/// What a client sent, for a log line or an answer: short, and in printable ASCII.
fn shown(sent: &str) -> String {
    sent.chars()
        .flat_map(char::escape_default)
        .take(SHOWN_MAX)
        .collect()
}

enum Route {
    Health,
    Export(Signal),
    MethodNotAllowed(&'static str),
    NotFound,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.trim())
    }

    /// Counts the request as refused and logs that in one short line: anybody may send such requests, and many
    /// of them. Only a POST may have been telemetry. The rest are probes and browsers.
    fn refuse(&self, signal: Option<Signal>, status: u16, why: &'static str, metrics: &mut Metrics) {
        if self.method != "POST" {
            return;
        }
        metrics.refused(signal);
        // A query may hold secrets.
        let path = self.path.split('?').next().unwrap_or_default();
        tracing::warn!(
            status,
            method = self.method,
            path = shown(path),
            error = why,
            "a request is refused"
        );
    }

    /// The route of the path. A path may begin with the stage of an API Gateway or with the base path of a
    /// custom domain. Stages are not removed: only some kinds of events have them in the path, and a stage
    /// may be named `v1`.
    fn route(&self) -> Route {
        let path = self.path.trim_end_matches('/');
        let signal = Signal::ALL.into_iter().find(|signal| {
            path.strip_suffix(signal.as_str())
                .is_some_and(|before| before.ends_with("/v1/"))
        });
        match (signal, self.method.as_str()) {
            (Some(signal), "POST") => Route::Export(signal),
            (Some(_), _) => Route::MethodNotAllowed("POST"),
            (None, "GET" | "HEAD") if path.ends_with("/health") => Route::Health,
            (None, _) if path.ends_with("/health") => Route::MethodNotAllowed("GET, HEAD"),
            (None, _) => Route::NotFound,
        }
    }
}

async fn export(
    store: &Store,
    signal: Signal,
    form: Form,
    request: Request,
    deadline: Deadline,
    metrics: &mut Metrics,
) -> Result<Answer, Error> {
    let body = match body::read(request, signal, form, store.payload_bytes_max()) {
        Ok(body) => body,
        Err(refused) => {
            metrics.refused(Some(signal));
            tracing::warn!(%signal, status = refused.status, error = %refused.message, "a request is refused");
            return Ok(Answer::error(form, refused.status, &refused.message));
        }
    };
    let part = Part {
        id: body.id,
        len: body.payload.len() as u64,
    };
    let batch = Batch {
        signal,
        payload: &body.payload,
        parts: &[part],
        received_unix_nano: 0,
    };
    match store.export(&batch, deadline, metrics).await {
        Ok(outcome) => {
            if outcome.rejected > 0 {
                tracing::warn!(%signal, rejected = outcome.rejected, reasons = %outcome.rejection, "records are left out");
            }
            Ok(Answer::stored(form, signal, outcome.rejected, &said_of(&outcome)))
        }
        Err(error) => {
            match (retry_after(&error), is_about_request(error.kind())) {
                (Some(_), _) => {}
                (None, true) => metrics.refused_not_failed(signal),
                (None, false) => metrics.refused(Some(signal)),
            }
            Err(error)
        }
    }
}

/// What the client should know of a request that was stored: why records were left out, and what was repaired
/// in the others.
fn said_of(outcome: &Outcome) -> String {
    let repairs = Repairs::of(outcome);
    match (outcome.rejection.as_str(), repairs.is_empty()) {
        (why, true) => why.to_owned(),
        ("", false) => format!("stored with repairs: {repairs}"),
        (why, false) => format!("{why}; stored with repairs: {repairs}"),
    }
}

fn failed(form: Form, signal: Signal, error: &Error, is_known: bool) -> Answer {
    let message = error.to_string();
    let kind = error.kind();
    let told = if is_known || is_about_request(kind) {
        message.clone()
    } else {
        format!(
            "the request is not stored ({}); the function's log has the details of requestId {}",
            kind.as_str(),
            log::invocation()
        )
    };
    if let Some(after) = retry_after(error) {
        tracing::error!(%signal, kind = kind.as_str(), error = %message, "a request is not stored; the client is told to send it again");
        let status = if kind == ErrorKind::Limit { 429 } else { 503 };
        return Answer::try_again(form, status, after.max(RETRY_AFTER / 5), &told);
    }
    let status = if kind == ErrorKind::Limit { 413 } else { 400 };
    if is_about_request(kind) {
        tracing::warn!(%signal, status, error = %message, "a request is refused");
    } else {
        tracing::error!(%signal, kind = kind.as_str(), error = %message, "a request cannot be stored");
    }
    Answer::error(form, status, &told)
}

/// Whether errors of this kind are about the request alone. Others name what is behind the function: the
/// account, roles, buckets and keys. Whoever found an open URL must not learn those.
fn is_about_request(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Decode | ErrorKind::Rejected | ErrorKind::Limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_that_nobody_knows_are_not_told_what_is_behind_the_function() {
        let cause = "arn:aws:iam::111122223333:role/f may not write s3://lake/otel/a";
        for (kind, status, is_told) in [
            (ErrorKind::Storage, 503, false),
            (ErrorKind::Catalog, 503, false),
            (ErrorKind::CommitUnknown, 503, false),
            (ErrorKind::Cancelled, 503, false),
            (ErrorKind::Internal, 503, false),
            (ErrorKind::TableMismatch, 400, false),
            (ErrorKind::Config, 400, false),
            (ErrorKind::Decode, 400, true),
            (ErrorKind::Limit, 429, true),
        ] {
            for is_known in [true, false] {
                let error = Error::new(kind, cause);
                let event = failed(Form::Json, Signal::Logs, &error, is_known).into_event(Shape::V2);
                assert_eq!(event["statusCode"], status, "{kind:?}");
                let body = event["body"].as_str().expect("text");
                assert_eq!(body.contains(cause), is_known || is_told, "{body}");
                if !body.contains(cause) {
                    assert!(!body.contains("s3://") && !body.contains("arn:"), "{body}");
                    let short = format!(
                        "({}); the function's log has the details of requestId",
                        kind.as_str()
                    );
                    assert!(body.contains(&short), "{body}");
                }
            }
        }
    }
}
