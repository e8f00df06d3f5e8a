//! Messages that a queue gave again and again, loaded in processes of their own.
//!
//! What ends the program (a bug that makes the library panic, memory that runs out) or takes all its time ends it for a whole batch.
//! Nobody learns then which messages were loaded; all come back at the same time, are a batch again, and get into the dead-letter queue
//! together, though one of them is to blame. So from the third time on a batch is loaded by a child, and a child that ends by a
//! signal, or for which its share of the time was not enough, leaves parts to be tried, down to the one message that does it. The
//! others are answered for. After an outage, when every message has come back often, one child loads all of them: that costs a start
//! of this program and no further commit.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, process};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::deadline::Deadline;
use crate::emf::Metrics;
use crate::log;
use crate::objects::{self, Message};
use crate::store::{Store, retry_after};

/// A message that was received so often may be one that ends the program; a dead-letter queue takes it after 5.
const SUSPECT_FROM: u32 = 3;

/// How often is looked whether a child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a child ends with that could not begin, as the program does at its start.
const COULD_NOT_BEGIN: i32 = 1;

/// Into how many parts a batch is taken. A part has half of the time that is left then: were parts halves, too, no message would ever
/// have more time than it had in the whole.
const PARTS: usize = 4;

/// What a child is given.
#[derive(Serialize, Deserialize)]
struct Task {
    /// Records of an SQS event.
    records: Vec<Value>,
    /// Milliseconds since the Unix epoch.
    deadline_ms: u64,
    request_id: String,
}

/// A message that failed: its place in the batch, and whether it may only have been too late.
type Failed = (usize, bool);

/// How a child ended.
enum Ended {
    /// It says which of its messages failed.
    Answered(Vec<Failed>),
    /// With no answer: one of its messages ended it.
    Died(ExitStatus),
    /// It was ended when its time was up.
    Late,
    /// It could not begin.
    NotStarted,
}

/// Whether a batch is to be loaded in processes of its own.
#[must_use]
pub fn needs_isolation(records: &[Value]) -> bool {
    records.iter().any(|record| {
        let received = record["attributes"]["ApproximateReceiveCount"].as_str();
        received.and_then(|count| count.parse().ok()).unwrap_or(0) >= SUSPECT_FROM
    })
}

/// Loads a batch in children; says of each message whether it failed. Those beside what takes long are loaded before it is looked at closer.
pub async fn load(records: &[Value], deadline: Deadline) -> Vec<bool> {
    let mut failed = vec![true; records.len()];
    // Messages by their places.
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
        // A message alone had its time, and has said what it failed for.
        if part.len() > 1 {
            parts.extend(parts_of(&again));
        }
    }
    failed
}

/// Says so; nothing is left to be tried.
fn given_back(record: &Value, what: &str) -> Vec<usize> {
    tracing::error!(
        message_id = record["messageId"].as_str().unwrap_or_default(),
        notification = record["body"].as_str().unwrap_or_default(),
        "{what}"
    );
    Vec::new()
}

/// In order.
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

/// None when it had to be ended because the time was up.
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

/// What a child does: it loads the batch in the file, and leaves its answer there.
///
/// # Errors
/// When the file cannot be read or written.
pub async fn run_child_process(store: &Store, path: &Path, function: &str) -> io::Result<()> {
    // When memory runs out this process is to be ended, and not the one that answers.
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
    // What waits in vain gives up in the last quarter, to leave something for a commit ([`Deadline::commit_by`]).
    let is_over = deadline.answer_by() <= time / 4;
    let failed = failed.iter().enumerate().filter_map(|(index, failed)| {
        let error = failed.as_ref()?;
        Some((index, is_over && retry_after(error).is_some()))
    });
    fs::write(path, serde_json::to_vec(&failed.collect::<Vec<Failed>>())?)
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
