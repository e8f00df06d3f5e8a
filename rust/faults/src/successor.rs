//! Processes that start when all others have ended: they find the receipts that were left, and commit them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::gate::Gate;
use crate::process::{Doors, Servers, Settings};
use crate::random::Random;
use crate::schedule::{Process, Schedule};
use crate::truth;

/// What a dead process sent is on its way for no longer.
const UNDER_WAY: Duration = Duration::from_secs(60);
/// How long the receipts may take.
const TAKES: Duration = Duration::from_secs(300);

/// Has one to three processes at once commit what receipts there are. Nothing fails any more.
///
/// # Errors
/// What must not happen: the library cannot be opened, or receipts are left.
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
