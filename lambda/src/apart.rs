//! Messages that a queue gave again and again, loaded in processes of their own.
//!
//! What ends the program (a bug that makes the library panic, memory that runs out) ends it for a whole batch. Nobody learns then
//! which messages were loaded; all come back at the same time, are a batch again, and get into the dead-letter queue
//! together, though one of them is to blame. So from the third time on a batch is loaded by a child, and a child that ends by a
//! signal leaves halves to be tried, down to the one message that does it. The others are answered for. After an outage,
//! when every message has come back often, one child loads all of them: that costs a start of this program and no further commit.

use std::io;
use std::ops::Range;
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
use crate::store::Store;

/// A message that was received so often may be one that ends the program; a dead-letter queue takes it after 5.
const SUSPECT_FROM: u32 = 3;

/// How often is looked whether a child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a child ends with that could not begin, as the program does at its start.
const COULD_NOT_BEGIN: i32 = 1;

/// What a child is given.
#[derive(Serialize, Deserialize)]
struct Task {
    /// Records of an SQS event.
    records: Vec<Value>,
    /// Milliseconds since the Unix epoch.
    deadline_ms: u64,
    request_id: String,
}

/// How a child ended.
enum Ended {
    /// It says which of its messages failed.
    Answered(Vec<usize>),
    /// With no answer: one of its messages ended it.
    Died(ExitStatus),
    /// The time was up, or it could not begin.
    InVain,
}

/// Whether a batch is to be loaded apart.
#[must_use]
pub fn is_suspect(records: &[Value]) -> bool {
    records.iter().any(|record| {
        let received = record["attributes"]["ApproximateReceiveCount"].as_str();
        received.and_then(|count| count.parse().ok()).unwrap_or(0) >= SUSPECT_FROM
    })
}

/// Loads a batch in children; says of each message whether it failed. Messages are taken in their order.
pub async fn load(records: &[Value], deadline: Deadline) -> Vec<bool> {
    let mut failed = vec![true; records.len()];
    // The last is the next.
    let whole = 0..records.len();
    let mut ranges = vec![whole];
    while let Some(range) = ranges.pop() {
        if deadline.commit_by().is_zero() {
            tracing::warn!("the invocation's time ran out; messages are given back to the queue");
            break;
        }
        let ended = run_child(&records[range.clone()], deadline).await;
        let ended = ended.unwrap_or_else(|cause| {
            tracing::error!(%cause, "no process of its own can be had for a batch");
            Ended::InVain
        });
        match ended {
            Ended::Answered(inside) => {
                for (index, failed) in failed[range].iter_mut().enumerate() {
                    *failed = inside.contains(&index);
                }
            }
            Ended::Died(_) if range.len() > 1 => ranges.extend(halves(&range)),
            Ended::Died(status) => tracing::error!(
                message_id = records[range.start]["messageId"].as_str().unwrap_or_default(),
                notification = records[range.start]["body"].as_str().unwrap_or_default(),
                %status,
                "a message ended the process that loaded it; it alone is given back to the queue"
            ),
            Ended::InVain => {}
        }
    }
    failed
}

/// The second one first: the last is the next.
fn halves(range: &Range<usize>) -> [Range<usize>; 2] {
    let middle = range.start + range.len() / 2;
    [middle..range.end, range.start..middle]
}

async fn run_child(records: &[Value], deadline: Deadline) -> io::Result<Ended> {
    let by = SystemTime::now() + deadline.answer_by();
    let task = Task {
        records: records.to_vec(),
        deadline_ms: by.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        request_id: log::invocation(),
    };
    let path = env::temp_dir().join(format!("otlp2iceberg-batch-{}.json", process::id()));
    fs::write(&path, serde_json::to_vec(&task)?)?;
    let child = Command::new(env::current_exe()?).arg(&path).spawn()?;
    let ended = match end_of(child, deadline).await? {
        Some(status) if status.success() => Ended::Answered(serde_json::from_slice(&fs::read(&path)?)?),
        Some(status) if status.code() == Some(COULD_NOT_BEGIN) => Ended::InVain,
        Some(status) => Ended::Died(status),
        None => Ended::InVain,
    };
    fs::remove_file(&path)?;
    Ok(ended)
}

/// None when it had to be ended because the time was up.
async fn end_of(mut child: Child, deadline: Deadline) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if deadline.answer_by().is_zero() {
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
pub async fn be_child(store: &Store, path: &Path, function: &str) -> io::Result<()> {
    // When memory runs out this process is to be ended, and not the one that answers.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let task: Task = serde_json::from_slice(&fs::read(path)?)?;
    log::begin_invocation(&task.request_id);
    let messages: Vec<Message> = task.records.iter().map(Message::of_queue).collect();
    let mut metrics = Metrics::default();
    let deadline = Deadline::from_unix_ms(task.deadline_ms);
    let failed = objects::load(store, &messages, deadline, &mut metrics).await;
    for line in metrics.lines(function, &task.request_id) {
        println!("{line}");
    }
    let failed = failed.iter().enumerate().filter(|(_, failed)| failed.is_some());
    let failed: Vec<usize> = failed.map(|(index, _)| index).collect();
    fs::write(path, serde_json::to_vec(&failed)?)
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
            assert_eq!(is_suspect(&records), suspect, "{counts:?}");
        }
    }

    #[test]
    fn halves_are_the_whole_in_order_down_to_one() {
        for length in 2..9_usize {
            let [second, first] = halves(&(3..3 + length));
            assert_eq!(
                (first.start, first.end, second.end),
                (3, second.start, 3 + length)
            );
            assert!(!first.is_empty() && !second.is_empty());
        }
    }
}
