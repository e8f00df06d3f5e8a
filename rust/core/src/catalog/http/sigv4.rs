//! AWS Signature Version 4 over the bytes that are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Request, StatusCode};

use super::answer::http_date;
use crate::aws::Aws;
use crate::error::{Error, ErrorKind, Result};

/// AWS accepts a clock that is off by up to five minutes.
const SKEW_SECONDS_MAX: i64 = 240;

/// Signs requests for one service in one region.
#[derive(Debug)]
pub(super) struct Signer {
    region: String,
    service: String,
    aws: Arc<Aws>,
    /// How far the service's clock is ahead of ours, in seconds. 0 until the difference caused a refusal.
    skew_seconds: AtomicI64,
}

impl Signer {
    pub(super) fn new(region: String, service: String, aws: Arc<Aws>) -> Self {
        Self {
            region,
            service,
            aws,
            skew_seconds: AtomicI64::new(0),
        }
    }

    /// Adds `authorization`, `x-amz-date`, `x-amz-content-sha256` and, with temporary credentials,
    /// `x-amz-security-token`. Returns the credentials that it signed with.
    pub(super) async fn sign(&self, request: &mut Request) -> Result<Credentials> {
        let credentials = self.aws.credentials().await?;
        let instructions = {
            let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
                Error::new(ErrorKind::Internal, "a request cannot be signed").because(cause)
            };
            let identity = credentials.clone().into();
            let mut settings = SigningSettings::default();
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            let parameters = v4::SigningParams::builder()
                .identity(&identity)
                .region(&self.region)
                .name(&self.service)
                .time(self.now())
                .settings(settings)
                .build()
                .map_err(|cause| failed(cause.into()))?
                .into();
            // Headers that a proxy may change are not signed.
            let headers = request
                .headers()
                .iter()
                .filter(|(name, _)| **name == CONTENT_TYPE || name.as_str().starts_with("x-amz-"))
                .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            let body = request
                .body()
                .and_then(reqwest::Body::as_bytes)
                .unwrap_or_default();
            let signable = SignableRequest::new(
                request.method().as_str(),
                request.url().as_str(),
                headers,
                SignableBody::Bytes(body),
            )
            .map_err(|cause| failed(cause.into()))?;
            sign(signable, &parameters)
                .map_err(|cause| failed(cause.into()))?
                .into_parts()
                .0
        };
        for (name, value) in instructions.headers() {
            let invalid = |_| {
                Error::new(
                    ErrorKind::Catalog,
                    "the AWS credentials hold characters that no header can carry",
                )
            };
            let mut value = HeaderValue::from_str(value).map_err(invalid)?;
            value.set_sensitive(true);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|cause| {
                Error::new(ErrorKind::Internal, "a request cannot be signed").because(cause)
            })?;
            request.headers_mut().insert(name, value);
        }
        Ok(credentials)
    }

    /// After an error response: whether a new signature may be accepted, because the service's clock is far
    /// from the signed time, or the chain has other credentials now.
    pub(super) async fn renew(&self, used: &Credentials, status: StatusCode, headers: &HeaderMap) -> bool {
        if !matches!(status.as_u16(), 400 | 401 | 403) {
            return false;
        }
        if let Some(skew) = skew_seconds(headers) {
            let assumed = self.skew_seconds.load(Ordering::Relaxed);
            if (skew - assumed).abs() > SKEW_SECONDS_MAX {
                tracing::warn!(
                    seconds = skew,
                    "this machine's clock differs from the catalog's; requests are signed with the catalog's time"
                );
                self.skew_seconds.store(skew, Ordering::Relaxed);
                return true;
            }
        }
        // A catalog gets few requests, so each refusal is a reason to ask the chain again.
        status != StatusCode::BAD_REQUEST && self.aws.has_other_than(used, Duration::ZERO).await
    }

    fn now(&self) -> SystemTime {
        let skew = self.skew_seconds.load(Ordering::Relaxed);
        let by = Duration::from_secs(skew.unsigned_abs());
        let now = SystemTime::now();
        let adjusted = if skew < 0 {
            now.checked_sub(by)
        } else {
            now.checked_add(by)
        };
        adjusted.unwrap_or(now)
    }
}

/// How far the server's `Date` is ahead of our clock.
fn skew_seconds(headers: &HeaderMap) -> Option<i64> {
    let theirs = http_date(headers.get(DATE)?.to_str().ok()?)?;
    let ours = SystemTime::now();
    let seconds = match theirs.duration_since(ours) {
        Ok(ahead) => i64::try_from(ahead.as_secs()).ok()?,
        Err(behind) => -i64::try_from(behind.duration().as_secs()).ok()?,
    };
    Some(seconds)
}
