//! Loads messages that a queue delivered repeatedly in child processes.
//!
//! A message may end the program (a bug that makes the library panic, memory that runs out) or take all of
//! its time. That fails the whole batch, and it stays unknown which messages were loaded. All messages are
//! delivered again at the same time, form a batch again, and go to the dead-letter queue together, although
//! only one of them is the cause.
//!
//! Therefore a child process loads a batch from the third delivery on. If the child dies or its share of the
//! time runs out, the batch is split into parts, down to the message that is the cause. The other messages
//! are answered. After an outage, when every message was delivered several times, one child loads all of
//! them: that costs one start of this program and no additional commit.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, process};

use otlp2iceberg::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::deadline::Deadline;
use crate::emf::Metrics;
use crate::log;
use crate::objects::{self, Message};
use crate::store::{Store, retry_after};

/// A message that was received this often may be one that ends the program; a dead-letter queue takes it
/// after 5.
const SUSPECT_FROM: u32 = 3;

/// The interval for checking whether a child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A child's exit code when it could not start, as the program uses it at its start.
const COULD_NOT_BEGIN: i32 = 1;

/// The number of parts that a batch is split into. A part gets half of the remaining time. If batches were
/// split into halves, no message would ever have more time than in the whole batch.
const PARTS: usize = 4;

/// The input of a child.
#[derive(Serialize, Deserialize)]
struct Task {
    /// Records of an SQS event.
    records: Vec<Value>,
    /// Milliseconds since the Unix epoch.
    deadline_ms: u64,
    request_id: String,
}

/// A failed message: its index in the batch, and whether the cause may only have been a lack of time.
type Failed = (usize, bool);

/// The end of a child.
enum Ended {
    /// It reported which of its messages failed.
    Answered(Vec<Failed>),
    /// It died without an answer: one of its messages ended it.
    Died(ExitStatus),
    /// It was killed when its time ran out.
    Late,
    /// It could not start.
    NotStarted,
}

/// Whether a batch must be loaded in child processes.
#[must_use]
pub fn needs_isolation(records: &[Value]) -> bool {
    records.iter().any(|record| {
        let received = record["attributes"]["ApproximateReceiveCount"].as_str();
        received.and_then(|count| count.parse().ok()).unwrap_or(0) >= SUSPECT_FROM
    })
}

/// Loads a batch in child processes; returns for each message whether it failed. When a batch takes too long,
/// its other messages are loaded before the slow ones are split further.
pub async fn load(records: &[Value], deadline: Deadline) -> Vec<bool> {
    let mut failed = vec![true; records.len()];
    // Indices of messages.
    let whole: Vec<usize> = (0..records.len()).collect();
    let mut parts = VecDeque::from([whole]);
    while let Some(part) = parts.pop_front() {
        let is_last = part.len() == 1 && parts.is_empty();
        let until = deadline.share(if is_last { 1 } else { 2 });
        if until.commit_by().is_zero() {
            tracing::warn!("the invocation's time ran out; messages are given back to the queue");
            break;
        }
        let batch: Vec<&Value> = part.iter().map(|place| &records[*place]).collect();
        let ended = run_child(&batch, until).await.unwrap_or_else(|cause| {
            tracing::error!(%cause, "no process of its own can be had for a batch");
            Ended::NotStarted
        });
        let again = match ended {
            Ended::Answered(answer) => {
                for (index, place) in part.iter().enumerate() {
                    failed[*place] = answer.iter().any(|(failed, _)| *failed == index);
                }
                let late = answer.iter().filter(|(_, is_late)| *is_late);
                late.map(|(index, _)| part[*index]).collect()
            }
            Ended::Died(_) | Ended::Late if part.len() > 1 => part.clone(),
            Ended::Died(status) => {
                let what = format!(
                    "a message ended the process that loaded it ({status}); it alone is given back to the queue"
                );
                given_back(batch[0], &what)
            }
            Ended::Late => given_back(
                batch[0],
                "a message was not loaded in the time that was left for it, and is given back to the queue; if this is said of it each \
                 time, raise the function's timeout, or its memory",
            ),
            Ended::NotStarted => Vec::new(),
        };
        // A single message had its time and has reported its failure.
        if part.len() > 1 {
            parts.extend(parts_of(&again));
        }
    }
    failed
}

/// Logs that the message is returned to the queue; nothing remains to be tried.
fn given_back(record: &Value, what: &str) -> Vec<usize> {
    tracing::error!(
        message_id = record["messageId"].as_str().unwrap_or_default(),
        notification = record["body"].as_str().unwrap_or_default(),
        "{what}"
    );
    Vec::new()
}

/// The parts of a batch, in order.
fn parts_of(batch: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let length = batch.len().div_ceil(PARTS).max(1);
    batch.chunks(length).map(<[usize]>::to_vec)
}

async fn run_child(records: &[&Value], until: Deadline) -> io::Result<Ended> {
    let by = SystemTime::now() + until.left();
    let task = Task {
        records: records.iter().copied().cloned().collect(),
        deadline_ms: by.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        request_id: log::invocation(),
    };
    let path = env::temp_dir().join(format!("otlp2iceberg-batch-{}.json", process::id()));
    fs::write(&path, serde_json::to_vec(&task)?)?;
    let child = Command::new(env::current_exe()?).arg(&path).spawn()?;
    let ended = match end_of(child, until).await? {
        Some(status) if status.success() => Ended::Answered(serde_json::from_slice(&fs::read(&path)?)?),
        Some(status) if status.code() == Some(COULD_NOT_BEGIN) => Ended::NotStarted,
        Some(status) => Ended::Died(status),
        None => Ended::Late,
    };
    fs::remove_file(&path)?;
    Ok(ended)
}

/// `None` when the child was killed because its time ran out.
async fn end_of(mut child: Child, until: Deadline) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if until.left().is_zero() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Runs a child process: it loads the batch in the file and writes its answer there.
///
/// # Errors
/// When the file cannot be read or written.
pub async fn run_child_process(store: &Store, path: &Path, function: &str) -> io::Result<()> {
    // If memory runs out, the kernel must kill this process instead of its parent, which answers.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let task: Task = serde_json::from_slice(&fs::read(path)?)?;
    log::begin_invocation(&task.request_id);
    let messages: Vec<Message> = task.records.iter().map(Message::of_queue).collect();
    let mut metrics = Metrics::default();
    let deadline = Deadline::from_unix_ms(task.deadline_ms);
    let time = deadline.answer_by();
    let failed = objects::load(store, &messages, deadline, &mut metrics).await;
    for line in metrics.lines(function, &task.request_id) {
        println!("{line}");
    }
    // Waits give up in the last quarter, which leaves time for a commit ([`Deadline::commit_by`]).
    let is_over = deadline.answer_by() <= time / 4;
    let failed = failed.iter().enumerate().filter_map(|(index, failed)| {
        let error = failed.as_ref()?;
        Some((index, is_late(error, is_over)))
    });
    fs::write(path, serde_json::to_vec(&failed.collect::<Vec<Failed>>())?)
}

/// Whether more time may be all that a failed message needs. Objects that were not reached say so themselves,
/// before all of the time `is_over`.
fn is_late(error: &Error, is_over: bool) -> bool {
    error.kind() == ErrorKind::Cancelled || (is_over && retry_after(error).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_batch_is_suspect_with_its_first_message_that_came_often() {
        let record = |count: Value| json!({"attributes": {"ApproximateReceiveCount": count}});
        for (counts, suspect) in [
            (vec![json!("1"), json!("2")], false),
            (vec![json!("1"), json!("3")], true),
            (vec![json!("12")], true),
            (vec![Value::Null, json!("many")], false),
            (vec![], false),
        ] {
            let records: Vec<Value> = counts.iter().cloned().map(record).collect();
            assert_eq!(needs_isolation(&records), suspect, "{counts:?}");
        }
    }

    #[test]
    fn a_message_that_lacked_time_is_tried_again_with_more() {
        for (kind, early, late) in [
            (ErrorKind::Cancelled, true, true),
            (ErrorKind::Storage, false, true),
            (ErrorKind::Decode, false, false),
        ] {
            let error = Error::new(kind, "a");
            assert_eq!(
                (is_late(&error, false), is_late(&error, true)),
                (early, late),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn parts_are_the_whole_in_order_down_to_one() {
        for (length, expected) in [(0, 0), (1, 1), (2, 2), (5, 3), (8, 4), (99, 4), (1000, 4)] {
            let batch: Vec<usize> = (3..3 + length).collect();
            let parts: Vec<Vec<usize>> = parts_of(&batch).collect();
            assert_eq!(parts.len(), expected, "{length}");
            assert!(parts.iter().all(|part| part.len() < length.max(2)));
            assert_eq!(parts.concat(), batch);
        }
    }
}
