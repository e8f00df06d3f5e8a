//! An append on its way from its caller to the committer's task and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::history::Base;
use super::removal::Removal;
use super::{Append, Committed};
use crate::error::{Error, ErrorKind, Result};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// The task's end.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) append: Append,
    /// The table that the files were written for.
    pub(super) table_id: Uuid,
    pub(super) deadline: Instant,
    pub(super) origin: Origin,
    /// The files that the append replaces; their rows are in the append's files. Such an append is committed
    /// by itself.
    pub(super) removal: Option<Removal>,
    state: Arc<AtomicU8>,
    reply: oneshot::Sender<Result<Committed>>,
}

/// The origin of an append, which decides how its requests are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A call: its requests are searched in the table's recent ancestry.
    Call,
    /// A receipt: its requests are searched in the table's whole history. The history must reach back to the
    /// base of the receipt.
    Receipt(Base),
    /// A receipt that a person confirmed not to be in the table: the history need not reach back to its base.
    ApprovedReceipt,
}

/// The caller's end. Dropping it before the commit begins withdraws the append.
#[derive(Debug)]
pub(super) struct Waiting {
    deadline: Instant,
    state: Arc<AtomicU8>,
    reply: oneshot::Receiver<Result<Committed>>,
}

impl Queued {
    pub(super) fn new(append: Append, table_id: Uuid, deadline: Instant, origin: Origin) -> (Self, Waiting) {
        let state = Arc::new(AtomicU8::new(WAITING));
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            deadline,
            state: Arc::clone(&state),
            reply: answer,
        };
        (
            Self {
                append,
                table_id,
                deadline,
                origin,
                removal: None,
                state,
                reply,
            },
            waiting,
        )
    }

    /// From here on the append cannot be withdrawn. Returns false if it already was.
    pub(super) fn begin(&self) -> bool {
        self.state
            .compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Answers the caller, if it still waits.
    pub(super) fn answer(self, result: Result<Committed>) {
        if self.reply.send(result).is_err() {
            tracing::debug!("the caller of a commit is gone");
        }
    }
}

impl Waiting {
    /// The outcome.
    ///
    /// # Errors
    /// The commit's error; `Internal` if the commit panicked; `Cancelled` if the deadline passes before the
    /// commit begins.
    pub(super) async fn answer(mut self) -> Result<Committed> {
        let answer = tokio::select! {
            biased;
            answer = &mut self.reply => answer,
            () = tokio::time::sleep_until(self.deadline) => {
                if self.withdraw() {
                    return Err(out_of_time());
                }
                (&mut self.reply).await
            }
        };
        answer.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Internal,
                "the commit failed midway (a bug: the log has more), and it is not known whether it was taken; a retry adds only what is missing",
            ))
        })
    }

    fn withdraw(&self) -> bool {
        self.state
            .compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The error for a deadline that passed before the commit began.
pub(super) fn out_of_time() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "the time allowed ran out before the commit was begun",
    )
}
