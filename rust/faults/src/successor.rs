//! Processes that start after all others have ended: they find the remaining receipts and commit them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::gate::Gate;
use crate::process::{Doors, Servers};
use crate::random::Random;
use crate::schedule::{Process, Schedule};
use crate::settings::Settings;
use crate::truth;

/// The longest time for which requests of a dead process are still in transit.
const UNDER_WAY: Duration = Duration::from_secs(60);
/// The time allowed for committing the receipts.
const TAKES: Duration = Duration::from_secs(300);

/// Lets one to three concurrent processes commit all receipts, without faults.
///
/// # Errors
/// Violations of the guarantees: the library cannot be opened, or receipts remain.
pub async fn commit_receipts(
    seed: u64,
    servers: &Servers,
    settings: &Settings,
    schedule: &Arc<Schedule>,
) -> Result<(), String> {
    schedule.end();
    sleep(UNDER_WAY).await;
    let left = truth::receipts(&servers.storage);
    if left.is_empty() {
        return Ok(());
    }
    schedule.count("receipts left to other processes".to_owned());
    schedule.note(|| format!("{} receipts are left to other processes", left.len()));
    let mut random = Random::labelled(seed, "successors");
    let mut processes = JoinSet::new();
    for number in 1..=random.between(1, 3) {
        let process = Process::new(Arc::clone(schedule), format!("successor{number}"), None);
        let (servers, settings, accept) = (servers.clone(), settings.clone(), random.permille(500));
        processes.spawn_local(async move { live(process, &servers, &settings, accept).await });
    }
    while let Some(ended) = processes.join_next().await {
        ended.map_err(|cause| format!("a panic: {cause}"))??;
    }
    match truth::receipts(&servers.storage).len() {
        0 => Ok(()),
        count => Err(format!("{count} receipts are left that no process commits")),
    }
}

async fn live(process: Process, servers: &Servers, settings: &Settings, accept: bool) -> Result<(), String> {
    let doors = Doors::open(servers, Arc::new(process), &Arc::new(Gate::open()))
        .await
        .map_err(|cause| format!("a faultbox cannot listen: {cause}"))?;
    let pipeline = doors.pipeline(settings, accept).await?;
    pipeline.warm().await;
    let deadline = Instant::now() + TAKES;
    while !truth::receipts(&servers.storage).is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(100)).await;
    }
    pipeline.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use otlp2iceberg::{RequestId, Signal};

    use super::*;
    use crate::catalog::Catalog;
    use crate::faultbox::{Decide, Fault};
    use crate::http::RequestHead;
    use crate::process::one_call;
    use crate::requests;
    use crate::schedule::Kind;
    use crate::storage::Storage;

    /// An unavailable catalog, and a storage where writing a receipt appears to fail and deletions arrive
    /// late.
    struct Doubtful {
        down: AtomicBool,
    }

    impl Decide for Doubtful {
        fn decide(&self, head: &RequestHead) -> Fault {
            match Kind::of(head) {
                _ if !self.down.load(Ordering::SeqCst) => Fault::Pass,
                Kind::Load | Kind::Commit => Fault::AnswerBefore(503),
                Kind::PutReceipt => Fault::AnswerAfter(403),
                Kind::Delete => Fault::Late(Duration::from_secs(45)),
                _ => Fault::Pass,
            }
        }
    }

    /// Seed 355 lost rows when a receipt was found first and deleted afterwards, because writing it had
    /// failed.
    #[tokio::test(start_paused = true)]
    async fn a_receipt_whose_writing_seemed_to_fail_is_as_good_as_any_once_it_is_found() {
        let storage = Arc::new(Storage::default());
        let catalog = Arc::new(Catalog::new(Arc::clone(&storage), false));
        let servers = Servers { catalog, storage };
        let settings = Settings::draw(1);
        let request = |sequence| {
            let id = RequestId {
                writer: [1; 16],
                sequence,
            };
            let draws = (1..100).map(|seed| requests::draw(id, &mut Random::new(seed)));
            let mut of_one_table = draws.filter(|request| request.signal == Signal::Logs);
            of_one_table.next().expect("most are")
        };
        let doubtful = Arc::new(Doubtful {
            down: AtomicBool::new(false),
        });
        let decide = Arc::clone(&doubtful);
        let doors = Doors::open(&servers, decide, &Arc::new(Gate::open()))
            .await
            .expect("listens");
        let pipeline = doors.pipeline(&settings, true).await.expect("opened");
        one_call(&pipeline, &request(1)).await.expect("stored");

        doubtful.down.store(true, Ordering::SeqCst);
        one_call(&pipeline, &request(2)).await.expect_err("no receipt");
        assert!(!truth::receipts(&servers.storage).is_empty());
        pipeline
            .collect_receipts()
            .await
            .expect_err("the catalog is down");
        let outcome = one_call(&pipeline, &request(2))
            .await
            .expect("the receipt was found");
        assert_eq!((outcome.receipts_written, outcome.rows), (0, 0));
        sleep(UNDER_WAY).await;

        doubtful.down.store(false, Ordering::SeqCst);
        pipeline.collect_receipts().await.expect("committed");
        pipeline.close().await;
        let rows = [request(1).rows, request(2).rows].concat();
        let left = truth::check(&servers.catalog, &servers.storage, &rows);
        assert_eq!(left.map(|strays| strays.data), Ok(0));
        assert_eq!(truth::receipts(&servers.storage), Vec::<String>::new());
    }
}
