//! The events that Lambda invokes the function with: four forms of HTTP, queue messages, notifications.

use std::collections::HashMap;

use otlp2iceberg::{Error, ErrorKind, RetryClass};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deadline::Deadline;
use crate::emf::Metrics;
use crate::http::{self, Request, Shape};
use crate::isolation;
use crate::objects::{self, Message};
use crate::store::Store;

/// An event of any kind. It has only the fields that are used; others are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Function URL and API Gateway's format 2.0.
    raw_path: Option<String>,
    /// API Gateway's format 1.0 and ALB.
    path: Option<String>,
    http_method: Option<String>,
    headers: Option<HashMap<String, Option<String>>>,
    multi_value_headers: Option<HashMap<String, Option<Vec<String>>>>,
    request_context: Option<RequestContext>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
    /// S3, SNS and SQS.
    #[serde(rename = "Records")]
    records: Option<Vec<Value>>,
    /// Objects to load, listed by the caller of the function.
    objects: Option<Value>,
    /// `EventBridge`, and S3's test of a new notification.
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rest {
    source: Option<Value>,
    #[serde(rename = "detail-type")]
    detail_type: Option<Value>,
    detail: Option<Value>,
    time: Option<Value>,
    #[serde(rename = "Service")]
    service: Option<Value>,
    #[serde(rename = "Event")]
    event: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequestContext {
    http: Option<HttpContext>,
    elb: Option<Value>,
    /// Whom a Function URL with IAM, or an authorizer of API Gateway, let in.
    authorizer: Option<Value>,
    /// In API Gateway's format 1.0, with the caller's ARN if requests are signed.
    identity: Option<Value>,
}

impl RequestContext {
    fn is_authenticated(&self) -> bool {
        let by_authorizer = self.authorizer.as_ref().and_then(Value::as_object);
        let by_signature = self
            .identity
            .as_ref()
            .is_some_and(|caller| caller["userArn"].is_string());
        // In format 1.0 an HTTP API without an authorizer sends the keys of one, with null. In format 2.0 null is
        // what a function as authorizer adds to its yes if it adds nothing.
        let is_by = |(key, value): (&String, &Value)| key == "lambda" || !value.is_null();
        by_authorizer.is_some_and(|found| found.iter().any(is_by)) || by_signature
    }
}

#[derive(Debug, Deserialize)]
struct HttpContext {
    method: String,
}

/// Handles an event; returns the function's result.
///
/// # Errors
/// When the whole invocation failed: Lambda repeats asynchronous invocations.
pub async fn handle(
    store: &Store,
    auth: &http::Auth,
    event: Event,
    deadline: Deadline,
    metrics: &mut Metrics,
) -> Result<Value, Error> {
    let event = match event.into_request() {
        Ok((request, shape)) => {
            let answer = http::handle(store, auth, request, deadline, metrics).await;
            return Ok(answer.into_event(shape));
        }
        Err(event) => event,
    };
    match event.into_messages() {
        Messages::Queue(records) => {
            let failed: Vec<bool> = if isolation::needs_isolation(&records) {
                isolation::load(&records, deadline).await
            } else {
                let messages: Vec<Message> = records.iter().map(Message::of_queue).collect();
                let errors = objects::load(store, &messages, deadline, metrics).await;
                errors.iter().map(Option::is_some).collect()
            };
            let failures: Vec<Value> = records
                .iter()
                .zip(&failed)
                .filter(|(_, failed)| **failed)
                .map(|(record, _)| json!({"itemIdentifier": record["messageId"]}))
                .collect();
            Ok(json!({"batchItemFailures": failures}))
        }
        Messages::Notification(message) => {
            let failed = objects::load(store, &[message], deadline, metrics).await;
            match failed.into_iter().flatten().next() {
                Some(error) => Err(error),
                None => Ok(Value::Null),
            }
        }
    }
}

enum Messages {
    /// Each message has its own result.
    Queue(Vec<Value>),
    /// Lambda repeats the notification as a whole.
    Notification(Message),
}

impl Event {
    /// An HTTP request, if the event is one; otherwise the event unchanged.
    #[expect(clippy::result_large_err, reason = "both ways are the same value going on")]
    fn into_request(self) -> Result<(Request, Shape), Self> {
        let Some(context) = self.request_context.as_ref() else {
            return Err(self);
        };
        let shape = match (&context.http, &context.elb) {
            (Some(_), _) => Shape::V2,
            (None, Some(_)) if self.multi_value_headers.is_some() => Shape::AlbMultiValue,
            (None, Some(_)) => Shape::Alb,
            (None, None) => Shape::V1,
        };
        let method = match &context.http {
            Some(http) => Some(http.method.clone()),
            None => self.http_method.clone(),
        };
        let (Some(method), Some(path)) = (method, self.raw_path.as_ref().or(self.path.as_ref())) else {
            return Err(self);
        };
        let path = path.clone();
        let is_authenticated = context.is_authenticated();
        let headers = lower_case_headers(self.headers, self.multi_value_headers);
        let request = Request {
            method,
            path,
            headers,
            body: self.body.unwrap_or_default(),
            is_base64: self.is_base64_encoded.unwrap_or(false),
            is_authenticated,
        };
        Ok((request, shape))
    }

    fn into_messages(self) -> Messages {
        if let (Some(objects), None) = (&self.objects, &self.records) {
            return Messages::Notification(Message::of_list(objects));
        }
        let records = self.records.unwrap_or_default();
        let is_queue = |record: &Value| record["eventSource"] == "aws:sqs";
        if !records.is_empty() && records.iter().all(is_queue) {
            return Messages::Queue(records);
        }
        let Rest {
            source,
            detail_type,
            detail,
            time,
            service,
            event,
        } = self.rest;
        let notification = if records.is_empty() {
            json!({"source": source, "detail-type": detail_type, "detail": detail, "time": time,
                   "Service": service, "Event": event})
        } else {
            json!({"Records": records})
        };
        Messages::Notification(Message::of_notification(&notification))
    }
}

fn lower_case_headers(
    single: Option<HashMap<String, Option<String>>>,
    multiple: Option<HashMap<String, Option<Vec<String>>>>,
) -> HashMap<String, String> {
    let multiple = multiple
        .into_iter()
        .flatten()
        .filter_map(|(name, values)| Some((name, values?.join(","))));
    let single = single
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name, value?)));
    multiple
        .chain(single)
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

/// The error for an unsupported event.
#[must_use]
pub fn unknown_event() -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        "the event is neither an HTTP request (Function URL, API Gateway, ALB) nor a notification of S3 \
         (S3, EventBridge, SNS or SQS) nor a list of objects",
    )
    .class(RetryClass::Permanent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_authenticated_by_aws_or_by_the_gateway() {
        let v2 = json!({"method": "POST"});
        let v1 = |identity: Value| json!({"httpMethod": "POST", "identity": identity});
        for (context, expected) in [
            (json!({"http": v2, "accountId": "anonymous"}), false),
            (json!({"http": v2, "authorizer": null}), false),
            (json!({"http": v2, "authorizer": {}}), false),
            (
                json!({"http": v2, "authorizer": {"iam": {"userArn": "arn:aws:iam::1:role/a"}}}),
                true,
            ),
            (json!({"http": v2, "authorizer": {"lambda": null}}), true),
            (v1(json!({"sourceIp": "192.0.2.1", "userArn": null})), false),
            (v1(json!({"userArn": "arn:aws:iam::1:role/a"})), true),
            (
                json!({"authorizer": {"claims": null, "scopes": null}, "identity": {"userArn": null}}),
                false,
            ),
            (
                json!({"authorizer": {"claims": {"sub": "a"}, "scopes": null}, "identity": {"userArn": null}}),
                true,
            ),
            (json!({"authorizer": {"principalId": "a"}}), true),
            (
                json!({"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing"}}),
                false,
            ),
        ] {
            let event = json!({"path": "/v1/logs", "httpMethod": "POST", "requestContext": context});
            let event: Event = serde_json::from_value(event).expect("an event");
            let (request, _) = event.into_request().expect("a request");
            assert_eq!(request.is_authenticated, expected, "{context}");
        }
    }
}
