//! One exporter: its queue, its calls of the library, its crashes and restarts.
//!
//! It behaves like the Collector's exporter with a queue on disk. A request stays in the queue until a call
//! with it has succeeded. A failed call is repeated with the same merged batch. After a restart, the
//! remaining requests are merged into new batches.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use otlp2iceberg::config::{Config, UploadSizes};
use otlp2iceberg::{ErrorKind, Export, Part, Pipeline, RequestId, RetryClass, Signal};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::faultbox::{Decide, Fault, Faultbox, Point, Upstream};
use crate::gate::Gate;
use crate::random::Random;
use crate::requests::{self, OtlpRequest};
use crate::schedule::{Process, Schedule};
use crate::sending::Sending;
use crate::settings::{HISTORY, Settings};
use crate::storage::Storage;

/// The servers that all processes share.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// The storage.
    pub storage: Arc<Storage>,
}

/// The number of generations that may be killed; the next one is not.
const DEATHS_MAX: u64 = 3;

/// A queued request.
struct Queued {
    request: OtlpRequest,
    /// The earliest time at which it is sent.
    arrives: Instant,
    in_flight: bool,
    /// Whether a call of this or an earlier generation contained it.
    sent: bool,
    /// Whether a call of an earlier generation contained it.
    sent_before: bool,
}

/// One exporter over all its generations.
pub struct Exporter {
    seed: u64,
    number: u8,
    servers: Servers,
    schedule: Arc<Schedule>,
    queue: Mutex<Vec<Queued>>,
    settings: Settings,
    /// Violations of the guarantees.
    problems: Mutex<Vec<String>>,
}

/// The end of a generation.
enum End {
    /// All requests are stored.
    Done,
    /// Another generation continues.
    Died,
}

impl Exporter {
    /// An exporter with requests to send.
    #[must_use]
    pub fn new(seed: u64, number: u8, servers: Servers, schedule: Arc<Schedule>) -> Self {
        let mut random = Random::labelled(seed, &format!("requests {number}"));
        let now = Instant::now();
        let queue = (1..=random.between(2, 6)).map(|sequence| {
            let mut writer = [0; 16];
            writer[0] = number;
            Queued {
                request: requests::draw(RequestId { writer, sequence }, &mut random),
                arrives: now + Duration::from_millis(random.pick(&[0, 0, 5, 50, 500, 2_000])),
                in_flight: false,
                sent: false,
                sent_before: false,
            }
        });
        Self {
            seed,
            number,
            servers,
            schedule,
            queue: Mutex::new(queue.collect()),
            settings: Settings::draw(seed),
            problems: Mutex::default(),
        }
    }

    /// Runs until all requests are acknowledged, restarting after every crash.
    ///
    /// # Errors
    /// Violations of the guarantees: the library cannot be opened, or gives up a request.
    pub async fn live(self: Arc<Self>) -> Result<(), Vec<String>> {
        let mut generation = 0;
        while let End::Died = self.generation(generation).await.map_err(|cause| vec![cause])? {
            generation += 1;
            for queued in self.queue().iter_mut() {
                queued.in_flight = false;
                queued.sent_before = queued.sent;
            }
            self.note(|| format!("starts again as generation {generation}"));
        }
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.clone())
        }
    }

    async fn generation(self: &Arc<Self>, generation: u64) -> Result<End, String> {
        let mut random = self.random(&format!("life {generation}"));
        let dies = self.schedule.weather.ends_calls() && generation < DEATHS_MAX;
        let killed_at = (dies && random.permille(500)).then(|| (random.between(1, 40), death(&mut random)));
        let stops_after = (dies && random.permille(200)).then(|| Duration::from_millis(random.below(3_000)));
        let gate = Arc::new(Gate::cut_by_stall());
        let decide = Arc::new(Process::new(
            Arc::clone(&self.schedule),
            format!("{}.{generation}", self.number),
            killed_at,
        ));
        let doors = Doors::open(&self.servers, decide, &gate)
            .await
            .map_err(|cause| format!("a faultbox cannot listen: {cause}"))?;
        let receipts = self.settings.receipts && self.random(&format!("receipts {generation}")).permille(600);
        let pipeline = Arc::new(doors.pipeline(&self.settings, receipts).await?);
        let stop = CancellationToken::new();
        let mut consumers = JoinSet::new();
        for consumer in 0..random.between(1, 3) {
            let random = self.random(&format!("consumer {generation} {consumer}"));
            consumers.spawn_local(Arc::clone(self).consume(Arc::clone(&pipeline), random, stop.clone()));
        }
        let mut background = JoinSet::new();
        if self.settings.expires {
            let random = self.random(&format!("compaction {generation}"));
            background.spawn_local(Arc::clone(self).compact(Arc::clone(&pipeline), random));
        }
        let stopping = async {
            match stops_after {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            () = gate.stalled() => self.killed(generation),
            () = all(&mut consumers) => End::Done,
            () = stopping => {
                self.note(|| format!("generation {generation} is stopped"));
                self.schedule.count("process stopped".to_owned());
                self.schedule.set_unsure();
                stop.cancel();
                // Like a host that gives a shutdown limited time and then exits.
                let _ = tokio::time::timeout(Duration::from_secs(20), async {
                    pipeline.close().await;
                    all(&mut consumers).await;
                })
                .await;
                End::Died
            }
        };
        let end = match end {
            // It still cleans up, and may be killed meanwhile.
            End::Done => tokio::select! {
                biased;
                () = gate.stalled() => self.killed(generation),
                () = pipeline.close() => End::Done,
            },
            End::Died => End::Died,
        };
        gate.cut();
        consumers.abort_all();
        background.abort_all();
        // Whatever the dead process still runs can reach no server. Its faultboxes stay open: closed ones
        // would be noticed.
        std::mem::forget(doors);
        Ok(end)
    }

    fn killed(&self, generation: u64) -> End {
        self.note(|| format!("generation {generation} is killed"));
        self.schedule.count("process killed".to_owned());
        self.schedule.set_unsure();
        End::Died
    }

    /// Compacts small files from time to time, as a host does in the background.
    async fn compact(self: Arc<Self>, pipeline: Arc<Pipeline>, mut random: Random) {
        loop {
            tokio::time::sleep(Duration::from_millis(random.between(10, 300))).await;
            match pipeline.compact().await {
                Ok(done) if done.made > 0 => self.schedule.count("files merged".to_owned()),
                Ok(_) => {}
                Err(error) => {
                    self.note(|| format!("files are not merged: {error}"));
                    self.schedule
                        .count(format!("merge failed {}", error.kind().as_str()));
                    // A file that may be in a table is left in place.
                    self.schedule.set_unsure();
                }
            }
        }
    }

    /// Sends the queue's requests until none is left.
    async fn consume(self: Arc<Self>, pipeline: Arc<Pipeline>, mut random: Random, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let Some(batch) = self.take(&mut random) else {
                match self.next_arrival() {
                    None => return,
                    Some(at) => {
                        let soon = Instant::now() + Duration::from_millis(5);
                        tokio::time::sleep_until(at.max(soon)).await;
                        continue;
                    }
                }
            };
            self.deliver(&pipeline, &batch, &mut random, &stop).await;
        }
    }

    /// Repeats calls with one merged batch until one succeeds.
    async fn deliver(
        &self,
        pipeline: &Pipeline,
        batch: &[OtlpRequest],
        random: &mut Random,
        stop: &CancellationToken,
    ) {
        let received = batch
            .iter()
            .map(|request| request.received_unix_nano)
            .min()
            .unwrap_or(1);
        let mut sending = match self.sending(batch) {
            Ok(sending) => sending,
            Err(error) => return self.problem(format!("a batch cannot be made: {error}")),
        };
        let names: Vec<u64> = batch.iter().map(|request| request.id.sequence).collect();
        let hurried = self.schedule.weather.ends_calls() && random.permille(150);
        let seconds = if hurried { random.between(1, 10) } else { 60 };
        let mut wait = Duration::from_millis(5);
        while !stop.is_cancelled() {
            let cancel = stop.child_token();
            if self.schedule.weather.ends_calls() && random.permille(50) {
                let (cancel, after) = (cancel.clone(), Duration::from_millis(random.below(500)));
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    cancel.cancel();
                });
            }
            let timeout = Duration::from_secs(seconds);
            match sending.export(pipeline, received, cancel, timeout).await {
                Ok(outcome) => {
                    self.note(|| format!("stored {names:?}: {outcome:?}"));
                    self.schedule.count("call stored".to_owned());
                    if outcome.receipts_written > 0 {
                        self.schedule.count("call stored with a receipt".to_owned());
                    }
                    if outcome.already_committed > 0 {
                        self.schedule.count("call with requests stored before".to_owned());
                    }
                    if outcome.rejected > 0 {
                        self.problem(format!("{} records of {names:?} were rejected", outcome.rejected));
                    }
                    self.queue()
                        .retain(|queued| !batch.iter().any(|request| request.id == queued.request.id));
                    return;
                }
                Err(error) => {
                    self.note(|| format!("failed {names:?}: {error}"));
                    self.schedule
                        .count(format!("call failed {}", error.kind().as_str()));
                    if matches!(
                        error.kind(),
                        ErrorKind::CommitUnknown | ErrorKind::Cancelled | ErrorKind::Internal
                    ) {
                        self.schedule.set_unsure();
                    }
                    match error.retry_class() {
                        RetryClass::Retry { after } => {
                            tokio::time::sleep(after.unwrap_or(wait).max(wait)).await;
                            wait = (wait * 2).min(Duration::from_secs(5));
                        }
                        RetryClass::Shutdown if stop.is_cancelled() => return,
                        class => {
                            self.problem(format!("{names:?} was given up ({class:?}): {error}"));
                            self.queue().retain(|queued| {
                                !batch.iter().any(|request| request.id == queued.request.id)
                            });
                            return;
                        }
                    }
                }
            }
        }
    }

    /// In half of the exporters the library holds the requests.
    fn sending(&self, batch: &[OtlpRequest]) -> otlp2iceberg::Result<Sending> {
        if !self.random("held").permille(500) {
            return Ok(Sending::payload(batch));
        }
        let redelivered = self
            .queue()
            .iter()
            .any(|queued| queued.sent_before && batch.iter().any(|request| request.id == queued.request.id));
        Sending::batch(batch, redelivered)
    }

    /// Takes some requests of one kind that have arrived.
    fn take(&self, random: &mut Random) -> Option<Vec<OtlpRequest>> {
        let now = Instant::now();
        let mut queue = self.queue();
        let ready = |queued: &Queued| !queued.in_flight && queued.arrives <= now;
        let signal = queue.iter().find(|queued| ready(queued))?.request.signal;
        let most = usize::try_from(random.between(1, 3)).unwrap_or(1);
        let batch = queue
            .iter_mut()
            .filter(|queued| ready(queued) && queued.request.signal == signal)
            .take(most)
            .map(|queued| {
                queued.in_flight = true;
                queued.sent = true;
                queued.request.clone()
            });
        Some(batch.collect())
    }

    fn next_arrival(&self) -> Option<Instant> {
        let queue = self.queue();
        queue
            .iter()
            .filter(|queued| !queued.in_flight)
            .map(|queued| queued.arrives)
            .min()
    }

    /// The rows of all its requests.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        self.queue()
            .iter()
            .flat_map(|queued| queued.request.rows.clone())
            .collect()
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Queued>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn problem(&self, text: String) {
        self.problems
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    fn random(&self, label: &str) -> Random {
        Random::labelled(self.seed, &format!("exporter {} {label}", self.number))
    }

    fn note(&self, text: impl FnOnce() -> String) {
        self.schedule.note(|| format!("{}    {}", self.number, text()));
    }
}

/// The faultboxes of one generation.
pub(crate) struct Doors {
    catalog: Faultbox,
    storage: Faultbox,
}

impl Doors {
    pub(crate) async fn open(
        servers: &Servers,
        decide: Arc<dyn Decide>,
        gate: &Arc<Gate>,
    ) -> io::Result<Self> {
        let catalog = Arc::clone(&servers.catalog);
        let storage = Arc::clone(&servers.storage);
        let catalog = Upstream::Local(Arc::new(move |request| catalog.answer(request)));
        let storage = Upstream::Local(Arc::new(move |request| storage.answer(request)));
        let listener = || TcpListener::bind("127.0.0.1:0");
        Ok(Self {
            catalog: Faultbox::start(listener().await?, catalog, Arc::clone(&decide), Arc::clone(gate))?,
            storage: Faultbox::start(listener().await?, storage, decide, Arc::clone(gate))?,
        })
    }

    /// The library, opened with these faultboxes as its servers.
    pub(crate) async fn pipeline(&self, settings: &Settings, receipts: bool) -> Result<Pipeline, String> {
        Pipeline::open(self.config(settings, receipts)?)
            .await
            .map_err(|cause| format!("the library cannot be opened: {cause}"))
    }

    fn config(&self, settings: &Settings, receipts: bool) -> Result<Config, String> {
        let (catalog, storage) = (self.catalog.url(), self.storage.url());
        let Settings { commit, tables, .. } = settings;
        let on_failure = if receipts { "accept" } else { "retry" };
        let json = format!(
            r#"{{"catalog": {{"type": "rest", "uri": "{catalog}"}}, "commit": {{"on_failure": "{on_failure}", {commit}}}, "tables": {tables},
                 "compaction": {{"min_files": 2}},
                 "parquet": {{"compression": "none", "bloom_filter_columns": []}},
                 "storage": {{"s3": {{"endpoint": "{storage}", "region": "eu-west-1",
                 "access_key_id": "test", "secret_access_key": "testtest"}}}}}}"#
        );
        let mut config = Config::from_json(json.as_bytes())
            .map_err(|cause| format!("the configuration is wrong: {cause}"))?;
        if let Some(part_bytes) = settings.part_bytes {
            config.storage.s3.uploads = UploadSizes {
                single_put_bytes_max: part_bytes,
                part_bytes,
            };
        }
        Ok(config)
    }
}

/// The rows in the `logs` table before the first exporter starts.
#[must_use]
pub fn history(seed: u64) -> Vec<OtlpRequest> {
    let mut random = Random::labelled(seed, "history");
    let requests = (1..).map(|sequence| {
        let writer = [0; 16];
        requests::draw(RequestId { writer, sequence }, &mut random)
    });
    let logs = requests.filter(|request| request.signal == Signal::Logs);
    logs.take(HISTORY).collect()
}

/// The point at which a request's process is killed.
fn death(random: &mut Random) -> Fault {
    match random.below(6) {
        0 | 1 => Fault::StallOnItsWay(Duration::from_millis(random.pick(&[3, 10, 20, 40, 100, 1_000]))),
        _ => Fault::Stall(random.pick(&Point::ALL)),
    }
}

async fn all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Stores requests without faults, each in its own call.
///
/// # Errors
/// When it fails nevertheless.
pub async fn store_calmly(
    servers: &Servers,
    settings: &Settings,
    requests: &[OtlpRequest],
) -> Result<(), String> {
    struct Calm;
    impl Decide for Calm {
        fn decide(&self, _: &crate::http::RequestHead) -> crate::faultbox::Fault {
            crate::faultbox::Fault::Pass
        }
    }
    let doors = Doors::open(servers, Arc::new(Calm), &Arc::new(Gate::open())).await;
    let doors = doors.map_err(|cause| cause.to_string())?;
    let pipeline = doors.pipeline(settings, false).await?;
    for request in requests {
        one_call(&pipeline, request)
            .await
            .map_err(|cause| cause.to_string())?;
    }
    pipeline.close().await;
    Ok(())
}

/// One call with a single request.
pub(crate) async fn one_call(
    pipeline: &Pipeline,
    request: &OtlpRequest,
) -> Result<otlp2iceberg::Outcome, otlp2iceberg::Error> {
    let export = Export {
        signal: request.signal,
        payload: &request.payload,
        parts: &[Part {
            id: request.id,
            len: request.payload.len() as u64,
        }],
        received_unix_nano: 1,
        cancel: CancellationToken::new(),
        timeout: Duration::from_secs(60),
    };
    pipeline.export(export).await
}
