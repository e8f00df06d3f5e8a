//! The current credentials, and their renewal.
//!
//! A renewal runs to its end in its own task, even if its callers stop waiting. A program of the user
//! (`credential_process`) would continue anyway, and each further renewal would start another one.
//!
//! A monotonic clock measures how long credentials are used without renewal, and how long a source is not
//! asked again: a machine may start with a clock that is hours ahead and is corrected later. Only the expiry
//! of credentials is a time of day.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{LASTS_MAX, MARGIN, PAUSE, REREAD};
use crate::error::{Error, ErrorKind, Result};

/// The maximum time that a caller waits for an answer. Without a network, parts of the chain together try for
/// as long as this, and a program of the user may never end.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// The monotonic clock, which is never set.
    steady: Instant,
    /// The machine's time of day, in which the expiry of credentials is given.
    wall: SystemTime,
}

impl Now {
    pub(super) fn read() -> Self {
        Self {
            steady: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

/// Credentials, and until when they are used without renewal. Their `Debug` output holds no secret.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    credentials: Credentials,
    fresh_until: Instant,
    /// The time of day from which they are renewed. `None` if that had already passed when they were
    /// obtained, or if they have no expiry.
    renewed_from: Option<SystemTime>,
}

impl Kept {
    /// Credentials that a source has just returned.
    pub(super) fn new(credentials: Credentials, now: Now) -> Self {
        let renewed_from = credentials
            .expiry()
            .map(|expiry| expiry.checked_sub(MARGIN).unwrap_or(SystemTime::UNIX_EPOCH));
        let (lasts, renewed_from) = match renewed_from.map(|from| (from, from.duration_since(now.wall))) {
            None => (REREAD, None),
            // They expire soon, or the clock is ahead of their expiry. The source has no better ones, so it
            // is not asked again for a while.
            Some((_, Err(_))) => (PAUSE, None),
            Some((_, Ok(left))) if left < PAUSE => (PAUSE, None),
            // A time of day that is set back later must not extend this.
            Some((from, Ok(left))) => (left.min(LASTS_MAX), Some(from)),
        };
        Self {
            credentials,
            fresh_until: now.steady + lasts,
            renewed_from,
        }
    }

    fn is_fresh(&self, now: Now) -> bool {
        now.steady < self.fresh_until && self.renewed_from.is_none_or(|from| now.wall < from)
    }
}

/// The last credentials of a source. At most one renewal runs at a time.
#[derive(Debug)]
pub(super) struct Renewal {
    limit: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    /// When the last renewal returned credentials.
    answered: Option<Instant>,
    /// The error of the last renewal if it failed, and until when no new one is started.
    failed: Option<(Error, Instant)>,
    /// Closed when the last renewal has ended.
    question: Option<watch::Receiver<()>>,
}

impl Default for Renewal {
    fn default() -> Self {
        Self {
            limit: TIMEOUT,
            state: Arc::default(),
        }
    }
}

impl Renewal {
    /// The current credentials while they are valid, even during a renewal, otherwise those that the renewal
    /// returns.
    ///
    /// # Errors
    /// The error of the renewal, for all callers until the pause ends. A timeout, for a caller that waited
    /// too long.
    pub(super) async fn credentials<F>(&self, ask: impl FnOnce() -> F) -> Result<Credentials>
    where
        F: Future<Output = Result<Kept>> + Send + 'static,
    {
        let question = {
            let mut state = self.state();
            let now = Now::read();
            let question = if state.is_fresh(now) {
                None
            } else {
                self.question(&mut state, now, ask)
            };
            match (state.good(now), question) {
                (Some(good), _) => return Ok(good),
                (None, None) => return Err(state.error()),
                (None, Some(question)) => question,
            }
        };
        self.end_of(question).await?;
        let state = self.state();
        state.good(Now::read()).ok_or_else(|| state.error())
    }

    /// Whether there are other credentials than `used`. Starts a renewal if the current ones are the same and
    /// none succeeded within `pause`.
    pub(super) async fn has_other_than<F>(
        &self,
        used: &Credentials,
        pause: Duration,
        ask: impl FnOnce() -> F,
    ) -> bool
    where
        F: Future<Output = Result<Kept>> + Send + 'static,
    {
        let question = {
            let mut state = self.state();
            if state.differs_from(used) {
                return true;
            }
            let now = Now::read();
            if state.answered.is_some_and(|at| now.steady < at + pause) {
                return false;
            }
            self.question(&mut state, now, ask)
        };
        if let Some(question) = question {
            // A timeout is ignored: if the credentials are refused again, the service reports it.
            let _in_time = self.end_of(question).await;
        }
        self.state().differs_from(used)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running renewal, otherwise a new one. `None` if the last one has just failed.
    fn question<F>(&self, state: &mut State, now: Now, ask: impl FnOnce() -> F) -> Option<watch::Receiver<()>>
    where
        F: Future<Output = Result<Kept>> + Send + 'static,
    {
        if let Some(running) = state.question.as_ref().filter(|last| last.has_changed().is_ok()) {
            return Some(running.clone());
        }
        if state
            .failed
            .as_ref()
            .is_some_and(|(_, until)| now.steady < *until)
        {
            return None;
        }
        let (running, question) = watch::channel(());
        let (limit, shared, asked) = (self.limit, Arc::clone(&self.state), ask());
        tokio::spawn(async move {
            let answer = answer(asked, limit).await;
            shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .settle(answer);
            drop(running);
        });
        state.question = Some(question.clone());
        Some(question)
    }

    async fn end_of(&self, mut question: watch::Receiver<()>) -> Result<()> {
        // Nothing is sent: closing the channel is the signal.
        tokio::time::timeout(self.limit, question.changed())
            .await
            .map(|_closed| ())
            .map_err(|_| Error::new(ErrorKind::Catalog, silent(self.limit)))
    }
}

/// Logs a warning once if there is no answer in time, because callers with valid credentials do not wait for
/// it.
async fn answer(asked: impl Future<Output = Result<Kept>>, limit: Duration) -> Result<Kept> {
    let mut asked = std::pin::pin!(asked);
    if let Ok(answer) = tokio::time::timeout(limit, &mut asked).await {
        return answer;
    }
    tracing::warn!("{}", silent(limit));
    asked.await
}

fn silent(limit: Duration) -> String {
    format!(
        "the sources of AWS credentials did not answer within {} s, and are asked no more before they do; look at \
         credential_process of the profile, and at the network to AWS STS, SSO or the metadata service, or set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        limit.as_secs()
    )
}

impl State {
    fn is_fresh(&self, now: Now) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_fresh(now))
    }

    /// The current credentials until their expiry.
    fn good(&self, now: Now) -> Option<Credentials> {
        let kept = self.kept.as_ref()?;
        let is_good = kept.is_fresh(now) || kept.credentials.expiry().is_some_and(|expiry| now.wall < expiry);
        is_good.then(|| kept.credentials.clone())
    }

    fn differs_from(&self, used: &Credentials) -> bool {
        self.kept.as_ref().is_some_and(|Kept { credentials, .. }| {
            credentials.access_key_id() != used.access_key_id()
                || credentials.secret_access_key() != used.secret_access_key()
                || credentials.session_token() != used.session_token()
        })
    }

    fn settle(&mut self, answer: Result<Kept>) {
        let now = Now::read();
        match answer {
            Ok(new) => {
                self.kept = Some(new);
                self.answered = Some(now.steady);
                self.failed = None;
            }
            Err(error) => {
                if self.good(now).is_some() {
                    tracing::warn!(%error, "cannot renew AWS credentials; those at hand are still good");
                }
                self.failed = Some((error, now.steady + PAUSE));
            }
        }
    }

    /// The error of the last renewal. It is rebuilt for each caller.
    fn error(&self) -> Error {
        let Some((error, _)) = &self.failed else {
            return Error::new(
                ErrorKind::Internal,
                "the question for AWS credentials broke off; this is a bug",
            );
        };
        let again = Error::new(error.kind(), error.message()).class(error.retry_class());
        match std::error::Error::source(error) {
            Some(cause) => again.because(cause.to_string()),
            None => again,
        }
    }
}

#[cfg(test)]
mod tests;
