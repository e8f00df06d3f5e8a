//! Errors of requests to S3, with advice on what to change.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_credential_types::Credentials;
use iceberg::ErrorKind;
use object_store::client::{HttpError, HttpErrorKind};

use super::credentials::NoCredentials;
use super::settings::Origin;
use super::xml_bounds::OutOfBounds;

/// After this many requests without a connection, no more are made: the host's queue can wait longer than a
/// call.
const UNCONNECTED_MAX: u32 = 3;

/// S3's codes for temporary credentials that are expired or invalid.
const EXPIRED: [&str; 4] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "TokenRefreshRequired",
];

/// S3's codes for an access key that it does not know.
const UNKNOWN_KEY: [&str; 2] = ["InvalidAccessKeyId", "InvalidClientTokenId"];

/// The maximum length of a server's message in ours, in characters.
const MESSAGE_MAX: usize = 300;

tokio::task_local! {
    /// The answers to the requests of the running operation.
    static ANSWERS: Arc<Answers>;
}

/// The server's answers to an operation's requests. `object_store` exposes them only in error texts.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    requests: u32,
    /// The number of consecutive requests without a connection.
    unconnected: u32,
    refusal: Option<Refusal>,
    /// The first credentials of the chain in this operation. Any later ones are different.
    credentials: Option<Credentials>,
}

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: u16,
    /// S3's error code, such as `AccessDenied`; answers to HEAD have none.
    code: String,
    message: String,
    /// The actual region of the bucket.
    region: Option<String>,
}

impl Answers {
    /// Runs a part of the operation and records the answers to its requests here.
    pub(super) fn watch<F: Future>(self: &Arc<Self>, part: F) -> impl Future<Output = F::Output> + use<F> {
        ANSWERS.scope(Arc::clone(self), part)
    }

    /// Records the chain's credentials for a request of the running operation.
    pub(super) fn note_credentials(credentials: &Credentials) {
        let note = |answers: &Arc<Answers>| {
            answers
                .state()
                .credentials
                .get_or_insert_with(|| credentials.clone());
        };
        // Credentials outside of an operation need no record, since such requests are not repeated.
        let _ = ANSWERS.try_with(note);
    }

    /// The chain's credentials, if they may have caused this error of the operation.
    pub(super) fn refused_credentials(&self, error: &object_store::Error) -> Option<Credentials> {
        let state = self.state();
        let refusal = state.refusal.as_ref().filter(|_| is_refusal(error))?;
        let credentials = state.credentials.as_ref()?;
        refusal.may_be_of_the_session().then(|| credentials.clone())
    }

    /// Forgets the refusal before the failed part is repeated with other credentials.
    pub(super) fn begin_again(&self) {
        let mut state = self.state();
        state.refusal = None;
        state.credentials = None;
    }

    /// Records an answer for the running operation. Requests outside of one, such as aborting an upload later,
    /// are not recorded.
    pub(super) fn note_answer(refusal: Option<Refusal>) {
        let note = |answers: &Arc<Answers>| {
            let mut state = answers.state();
            state.requests += 1;
            state.unconnected = 0;
            // A later success may belong to another part.
            if refusal.is_some() {
                state.refusal = refusal;
            }
        };
        let _ = ANSWERS.try_with(note);
    }

    /// Records a request without an answer for the running operation. Returns true if no more requests should
    /// be made.
    pub(super) fn note_error(error: &HttpError) -> bool {
        let note = |answers: &Arc<Answers>| {
            let mut state = answers.state();
            state.requests += 1;
            state.unconnected = match error.kind() {
                HttpErrorKind::Connect => state.unconnected + 1,
                _ => 0,
            };
            state.unconnected >= UNCONNECTED_MAX
        };
        ANSWERS.try_with(note).unwrap_or(false)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of an element of S3's XML, short and on one line.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(text.chars().take(MESSAGE_MAX).collect())
}

impl Refusal {
    pub(super) fn new(status: u16, region: Option<&str>, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        // Only these elements, because others repeat parts of the request.
        Self {
            status,
            code: element(&body, "Code").unwrap_or_default(),
            message: element(&body, "Message").unwrap_or_default(),
            region: region.map(str::to_owned).or_else(|| element(&body, "Region")),
        }
    }

    /// Whether other credentials may be accepted. Answers to HEAD do not give the reason.
    fn is_about_credentials(&self) -> bool {
        match self.code.as_str() {
            "" => matches!(self.status, 400 | 401 | 403),
            code => EXPIRED.contains(&code) || UNKNOWN_KEY.contains(&code),
        }
    }

    /// Whether new credentials of a role may be accepted. Sessions are revoked by a policy, which denies
    /// access in the same way as a missing permission.
    fn may_be_of_the_session(&self) -> bool {
        self.is_about_credentials() || matches!(self.status, 401 | 403)
    }
}

/// Whether S3 refused the credentials of the operation that ended with this error.
pub(crate) fn credentials_refused(error: &iceberg::Error) -> bool {
    find::<CredentialsRefused>(error).is_some()
}

/// Marks an error for [`credentials_refused`].
#[derive(Debug)]
struct CredentialsRefused(Refusal);

/// The error's message contains this text already.
impl fmt::Display for CredentialsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for CredentialsRefused {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3 answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// Our error for a failed operation: what failed, what to change, and the server's answer.
///
/// All of these errors are worth a retry of the whole operation: a bucket can be created or a policy fixed,
/// and nothing is lost.
pub(super) fn failed(
    verb: &str,
    location: &str,
    host: &str,
    origin: Origin,
    answers: &Answers,
    error: object_store::Error,
) -> iceberg::Error {
    let (requests, refusal) = {
        let state = answers.state();
        (state.requests, state.refusal.clone())
    };
    let kind = match &error {
        object_store::Error::NotFound { .. } => ErrorKind::DataInvalid,
        _ => ErrorKind::Unexpected,
    };
    let tried = match requests {
        0 | 1 => String::new(),
        _ => format!(", after {requests} requests"),
    };
    if let Some(missing) = find::<NoCredentials>(&error) {
        return iceberg::Error::new(kind, format!("cannot {verb} {location}: {missing}"));
    }
    if let Some(reason) = find::<OutOfBounds>(&error) {
        let message = format!(
            "cannot {verb} {location}: the answer of {host} is not S3's, so it is not used: {reason}; check storage.s3.endpoint, and any proxy in between{tried}"
        );
        return iceberg::Error::new(kind, message);
    }
    let http = broken_by(&error);
    if let (None, Some(refusal)) = (http, refusal) {
        let advice = advice(verb, &refusal, origin);
        let message = format!("cannot {verb} {location}: {advice}: {refusal}{tried}");
        let error = iceberg::Error::new(kind, message);
        return if refusal.is_about_credentials() {
            error.with_source(CredentialsRefused(refusal))
        } else {
            error
        };
    }
    let broken = match http {
        Some(HttpErrorKind::Connect) => {
            format!("cannot reach {host}; check storage.s3.endpoint, storage.s3.region and the network")
        }
        Some(HttpErrorKind::Timeout) => {
            format!("{host} did not answer in time; check storage.s3.endpoint and the network")
        }
        Some(_) => format!("the connection to {host} broke off"),
        None => format!("the answer of {host} is not as it should be"),
    };
    let message = format!("cannot {verb} {location}: {broken}{tried}");
    iceberg::Error::new(kind, message).with_source(Innermost(error))
}

/// Whether an operation ended with an answer of the server, and not before one arrived.
fn is_refusal(error: &object_store::Error) -> bool {
    find::<NoCredentials>(error).is_none() && broken_by(error).is_none()
}

/// How a request ended without an answer. The kind is that of the innermost error: those around it only say
/// whether to send the request again.
fn broken_by(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut kind = None;
    let mut current: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = current {
        kind = cause.downcast_ref().map(HttpError::kind).or(kind);
        current = cause.source();
    }
    kind
}

/// Advice on what to change.
fn advice(verb: &str, refusal: &Refusal, origin: Origin) -> String {
    let keys = match origin {
        Origin::Config => "storage.s3.access_key_id and storage.s3.secret_access_key",
        Origin::Catalog => {
            "the credentials that the catalog gives, or set storage.s3.access_key_id and storage.s3.secret_access_key"
        }
        Origin::Chain => {
            "the AWS environment, profile or role, or set storage.s3.access_key_id and storage.s3.secret_access_key"
        }
    };
    match (refusal.code.as_str(), refusal.status) {
        ("NoSuchBucket", _) => {
            "the bucket does not exist; create it, or change catalog.warehouse or dead_letter.path, whichever names it".into()
        }
        (
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301 | 307) => match &refusal.region {
            Some(region) => format!(
                "the bucket is in another region; set storage.s3.region to {region}"
            ),
            None => "the bucket is in another region, or the service is another; change storage.s3.region or storage.s3.endpoint".into(),
        },
        (code, _) if UNKNOWN_KEY.contains(&code) => {
            format!("the access key is not known; correct {keys}")
        }
        ("SignatureDoesNotMatch" | "InvalidSignature", _) => {
            format!("the secret key does not belong to the access key; correct {keys}")
        }
        (code, _) if EXPIRED.contains(&code) => {
            let token = match origin {
                Origin::Config => "renew storage.s3.session_token and its keys",
                Origin::Catalog => "the catalog must give new ones",
                Origin::Chain => "renew those of the AWS environment, profile or role",
            };
            format!("the temporary credentials have expired or are not valid; {token}")
        }
        ("RequestTimeTooSkewed", _) => "this machine's clock is wrong; set it".into(),
        (_, 401 | 403) => format!(
            "access denied; allow these credentials to do it (s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload), or change {keys}"
        ),
        ("NoSuchUpload", _) => "somebody removed the upload before it was complete".into(),
        // The file need not exist yet, so the bucket is missing, or the endpoint is not S3.
        ("", 404) if verb == "write" => {
            "there is no such bucket, or storage.s3.endpoint does not speak S3".into()
        }
        (_, 404) => "there is no such file".into(),
        (_, 405) if verb == "delete" => {
            "files of this bucket cannot be deleted by its users, or the service does not know DeleteObjects".into()
        }
        (_, 405 | 501) => {
            "the service does not know this request; does storage.s3.endpoint speak S3?".into()
        }
        ("SlowDown", _) | (_, 429) => "the service asks for fewer requests".into(),
        (_, 500..) => "the service failed".into(),
        _ => "the service refused the request".into(),
    }
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut current = Some(error);
    while let Some(cause) = current {
        if let Some(found) = cause.downcast_ref::<E>() {
            return Some(found);
        }
        current = cause.source();
    }
    None
}

/// An error shown by its innermost source only, because each layer repeats the text of its source.
#[derive(Debug)]
struct Innermost(object_store::Error);

impl fmt::Display for Innermost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut innermost: &dyn StdError = &self.0;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        write!(f, "{innermost}")
    }
}

impl StdError for Innermost {}
