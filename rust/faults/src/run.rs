//! Runs one seed and returns its verdict.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::catalog::Catalog;
use crate::process::{Exporter, Servers, history, store_calmly};
use crate::random::Random;
use crate::schedule::{Schedule, Weather};
use crate::settings::Settings;
use crate::storage::Storage;
use crate::successor;
use crate::truth::{self, Strays};

/// The duration of faults, in the schedule's time.
const FAULTS_LAST: Duration = Duration::from_secs(600);
/// The time allowed afterwards until everything is stored.
const SETTLING_TAKES: Duration = Duration::from_secs(600);

/// The result of a seed.
#[derive(Debug)]
pub struct Verdict {
    /// The severity of the faults.
    pub weather: Weather,
    /// Whether an attempt ended with an unknown outcome.
    pub unsure: bool,
    /// What was done to requests, calls and processes, with counts.
    pub counts: BTreeMap<String, u64>,
    /// The number of rows that had to be stored.
    pub rows: usize,
    /// Files in storage that belong to no table.
    pub strays: Strays,
    /// All violations; empty if there are none.
    pub problems: Vec<String>,
    /// The event log, if requested.
    pub notes: Vec<String>,
}

/// Plays a seed.
///
/// Time is simulated by the runtime: it jumps to the next event whenever all tasks wait, so minutes of
/// waiting take no real time.
///
/// # Errors
/// When the runtime cannot be created.
pub fn play(seed: u64, verbose: bool) -> std::io::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    let verdict = tokio::task::LocalSet::new().block_on(&runtime, play_here(seed, verbose));
    runtime.shutdown_background();
    Ok(verdict)
}

async fn play_here(seed: u64, verbose: bool) -> Verdict {
    let storage = Arc::new(Storage::default());
    let narrow = Random::labelled(seed, "tables").permille(200);
    let servers = Servers {
        catalog: Arc::new(Catalog::new(Arc::clone(&storage), narrow)),
        storage,
    };
    let problems = RefCell::new(Vec::new());
    let settings = Settings::draw(seed);
    let mut rows = Vec::new();
    if settings.expires {
        let before = history(seed);
        rows.extend(before.iter().flat_map(|request| request.rows.clone()));
        if let Err(cause) = store_calmly(&servers, &settings, &before).await {
            problems
                .borrow_mut()
                .push(format!("the history cannot be made: {cause}"));
        }
    }
    let schedule = Arc::new(Schedule::new(seed, verbose));
    let count = u8::try_from(Random::labelled(seed, "exporters").between(1, 3)).unwrap_or(1);
    let exporters: Vec<_> = (1..=count)
        .map(|number| {
            Arc::new(Exporter::new(
                seed,
                number,
                servers.clone(),
                Arc::clone(&schedule),
            ))
        })
        .collect();
    rows.extend(exporters.iter().flat_map(|exporter| exporter.rows()));
    let mut lives = JoinSet::new();
    for exporter in exporters {
        lives.spawn_local(exporter.live());
    }
    let settled = async {
        while let Some(life) = lives.join_next().await {
            match life {
                Ok(Ok(())) => {}
                Ok(Err(found)) => problems.borrow_mut().extend(found),
                Err(cause) => problems.borrow_mut().push(format!("a panic: {cause}")),
            }
        }
    };
    tokio::pin!(settled);
    if tokio::time::timeout(FAULTS_LAST, &mut settled).await.is_err() {
        schedule.note(|| "faults end".to_owned());
        schedule.end();
        if tokio::time::timeout(SETTLING_TAKES, &mut settled).await.is_err() {
            problems
                .borrow_mut()
                .push("not everything was acknowledged after the faults had ended".to_owned());
        }
    }
    let mut problems = problems.take();
    if settings.receipts
        && let Err(problem) = successor::commit_receipts(seed, &servers, &settings, &schedule).await
    {
        problems.push(problem);
    }
    let forgotten = truth::forgotten(&servers.catalog);
    if settings.expires && forgotten == 0 {
        problems.push("no snapshot was expired".to_owned());
    }
    if forgotten > 0 {
        schedule.count("history with snapshots expired".to_owned());
    }
    let strays = match truth::check(&servers.catalog, &servers.storage, &rows) {
        Ok(strays) => strays,
        Err(found) => {
            problems.extend(found);
            Strays::default()
        }
    };
    let unsure = schedule.is_unsure();
    if !unsure && strays != Strays::default() {
        problems.push(format!(
            "nothing was in doubt, and files are left that no table has: {strays:?}"
        ));
    }
    Verdict {
        weather: schedule.weather,
        unsure,
        counts: schedule.counts(),
        rows: rows.len(),
        strays,
        problems,
        notes: schedule.notes(),
    }
}
