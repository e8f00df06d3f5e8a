//! Decides which request fails and how, as a pure function of the seed.
//!
//! A request is identified by its process, its kind and its number within that kind. A fault therefore stays
//! at the same request when requests of other processes or kinds come in another order.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::faultbox::{Decide, Fault};
use crate::http::RequestHead;
use crate::random::Random;

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Kind {
    /// The catalog's configuration, namespaces and new tables.
    Prepare,
    /// Loading a table.
    Load,
    /// A commit.
    Commit,
    /// Writing a data file.
    PutData,
    /// Writing a manifest or a manifest list.
    PutMetadata,
    /// Starting a multipart upload.
    BeginUpload,
    /// Writing a part of one.
    PutPart,
    /// Completing a multipart upload.
    CompleteUpload,
    /// Aborting a multipart upload.
    AbortUpload,
    /// Writing a receipt.
    PutReceipt,
    /// Reading a file or checking its existence.
    Read,
    /// Deleting a file.
    Delete,
}

impl Kind {
    /// The kind of a request to either server.
    #[must_use]
    pub fn of(head: &RequestHead) -> Self {
        let path = head.path();
        let is_table = path.starts_with("/v1/") && path.contains("/tables/");
        match head.method.as_str() {
            "GET" if is_table => Kind::Load,
            "POST" if is_table => Kind::Commit,
            _ if path.starts_with("/v1/") => Kind::Prepare,
            "POST" if head.parameter("uploads").is_some() => Kind::BeginUpload,
            "PUT" if head.parameter("uploadId").is_some() => Kind::PutPart,
            "POST" if head.parameter("uploadId").is_some() => Kind::CompleteUpload,
            "DELETE" if head.parameter("uploadId").is_some() => Kind::AbortUpload,
            "DELETE" => Kind::Delete,
            "POST" if head.parameter("delete").is_some() => Kind::Delete,
            "PUT" | "POST" if path.contains("/data/") => Kind::PutData,
            "PUT" | "POST" if path.contains("/_otlp2iceberg/receipts/") => Kind::PutReceipt,
            "PUT" | "POST" => Kind::PutMetadata,
            _ => Kind::Read,
        }
    }

    fn is_storage(self) -> bool {
        !matches!(self, Kind::Prepare | Kind::Load | Kind::Commit)
    }
}

/// The severity of the faults of a whole schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weather {
    /// No faults, only races.
    Calm,
    /// Only commits are rejected, without being executed.
    Refusals,
    /// A few requests of all kinds fail.
    Light,
    /// Every fifth request fails.
    Heavy,
    /// Half of the commits fail, and some loads.
    Commits,
    /// Storage fails often.
    Storage,
}

impl Weather {
    fn draw(random: &mut Random) -> Self {
        match random.below(20) {
            0..2 => Weather::Calm,
            2..4 => Weather::Refusals,
            4..9 => Weather::Light,
            9..13 => Weather::Heavy,
            13..18 => Weather::Commits,
            _ => Weather::Storage,
        }
    }

    /// Whether processes may be killed, and calls cancelled or timed out.
    #[must_use]
    pub fn ends_calls(self) -> bool {
        !matches!(self, Weather::Calm | Weather::Refusals)
    }

    /// The number of requests of a kind that fail, per thousand.
    fn permille(self, kind: Kind) -> u64 {
        match (self, kind) {
            (Weather::Refusals, Kind::Commit) => 400,
            (Weather::Calm | Weather::Refusals, _) => 0,
            (Weather::Light, _) => 40,
            (Weather::Heavy, _) => 200,
            (Weather::Commits, Kind::Commit) => 500,
            (Weather::Commits, Kind::Load) => 150,
            (Weather::Storage, kind) if kind.is_storage() => 250,
            (Weather::Commits | Weather::Storage, _) => 20,
        }
    }
}

/// A period in which one of the servers does not answer.
#[derive(Debug, Clone, Copy)]
struct Outage {
    storage: bool,
    from: Duration,
    to: Duration,
}

/// The faults of one seed, for all its processes.
#[derive(Debug)]
pub struct Schedule {
    seed: u64,
    /// The severity.
    pub weather: Weather,
    outages: Vec<Outage>,
    /// The longest delay.
    longest: Duration,
    begun: Instant,
    on: AtomicBool,
    /// Whether there was a fault after which a request's outcome is unknown.
    unsure: AtomicBool,
    given: Mutex<BTreeMap<String, u64>>,
    log: Option<Mutex<Vec<String>>>,
}

impl Schedule {
    /// The schedule of a seed, starting now, for a runtime with simulated time. With `verbose`, events are
    /// noted.
    #[must_use]
    pub fn new(seed: u64, verbose: bool) -> Self {
        let mut random = Random::labelled(seed, "weather");
        let weather = Weather::draw(&mut random);
        let mut schedule = Self::with(seed, weather, Duration::MAX);
        schedule.outages = outages(weather, &mut random);
        schedule.log = verbose.then(Mutex::default);
        schedule
    }

    /// A schedule of this severity whose delays are at most `longest`. Events are noted.
    #[must_use]
    pub fn with(seed: u64, weather: Weather, longest: Duration) -> Self {
        Self {
            seed,
            weather,
            outages: Vec::new(),
            longest,
            begun: Instant::now(),
            on: AtomicBool::new(true),
            unsure: AtomicBool::new(false),
            given: Mutex::default(),
            log: Some(Mutex::default()),
        }
    }

    /// Ends all faults.
    pub fn end(&self) {
        self.on.store(false, Ordering::SeqCst);
    }

    /// Whether a request, a call or a process ended with an unknown outcome.
    pub fn is_unsure(&self) -> bool {
        self.unsure.load(Ordering::SeqCst)
    }

    /// Records that an outcome is unknown.
    pub fn set_unsure(&self) {
        self.unsure.store(true, Ordering::SeqCst);
    }

    /// Counts an event.
    pub fn count(&self, what: String) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        *given.entry(what).or_default() += 1;
    }

    /// The counts of events.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes an event, if notes are enabled.
    pub fn note(&self, text: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            let at = self.begun.elapsed().as_millis();
            let line = format!("{at:>7} ms  {}", text());
            log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    /// All notes.
    pub fn notes(&self) -> Vec<String> {
        let log = self.log.as_ref();
        log.map_or_else(Vec::new, |log| {
            log.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }

    /// The fault of a process's `number`th request of a kind.
    fn fault(&self, process: &str, kind: Kind, number: u64) -> Fault {
        if !self.on.load(Ordering::SeqCst) {
            return Fault::Pass;
        }
        let mut random = Random::labelled(self.seed, &format!("{process} {kind:?} {number}"));
        let now = self.begun.elapsed();
        let is_out =
            |outage: &Outage| outage.storage == kind.is_storage() && (outage.from..outage.to).contains(&now);
        if self.outages.iter().any(is_out) {
            return random.pick(&[Fault::DropBefore, Fault::AnswerBefore(503)]);
        }
        if !random.permille(self.weather.permille(kind)) {
            // Time also passes without faults, so that processes interleave in different orders.
            return match random.below(12) {
                0..4 => Fault::Pass,
                wait => Fault::Delay(Duration::from_millis(wait)),
            };
        }
        if self.weather == Weather::Refusals {
            return Fault::AnswerBefore(random.pick(&[400, 403, 409, 409, 429]));
        }
        let long = Duration::from_millis(random.pick(&[100, 1_000, 10_000, 45_000])).min(self.longest);
        let server_error = random.pick(&[500, 502, 503, 504]);
        let refusal = if kind.is_storage() {
            random.pick(&[403, 408, 429, 500, 503])
        } else {
            random.pick(&[400, 401, 403, 404, 408, 409, 419, 429, 500, 502, 503, 504])
        };
        match random.below(16) {
            0 | 1 => Fault::Delay(long),
            2 | 3 => Fault::DropBefore,
            4..7 => Fault::DropAfter,
            7 | 8 => Fault::Late(long),
            9 | 10 => Fault::AnswerBefore(refusal),
            11 | 12 => Fault::AnswerAfter(server_error),
            13 | 14 => Fault::Truncate,
            _ => Fault::Twice,
        }
    }
}

fn outages(weather: Weather, random: &mut Random) -> Vec<Outage> {
    if !weather.ends_calls() || random.permille(700) {
        return Vec::new();
    }
    let outages = (0..random.between(1, 2)).map(|_| {
        let from = Duration::from_millis(random.below(3_000));
        let length = Duration::from_millis(random.pick(&[200, 2_000, 20_000, 90_000]));
        Outage {
            storage: random.permille(400),
            from,
            to: from + length,
        }
    });
    outages.collect()
}

/// The outcomes of the requests of one process.
#[derive(Debug)]
pub struct Process {
    schedule: Arc<Schedule>,
    name: String,
    /// The request at which the process is killed, counted over all requests, and at which point.
    killed_at: Option<(u64, Fault)>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: u64,
    by_kind: HashMap<Kind, u64>,
}

impl Process {
    /// A process of this name.
    #[must_use]
    pub fn new(schedule: Arc<Schedule>, name: String, killed_at: Option<(u64, Fault)>) -> Self {
        Self {
            schedule,
            name,
            killed_at,
            counts: Mutex::default(),
        }
    }
}

impl Decide for Process {
    fn decide(&self, head: &RequestHead) -> Fault {
        let kind = Kind::of(head);
        let (all, of_kind) = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.all += 1;
            let all = counts.all;
            let of_kind = counts.by_kind.entry(kind).or_default();
            *of_kind += 1;
            (all, *of_kind)
        };
        let fault = match self.killed_at {
            Some((number, fault)) if number == all => fault,
            _ => self.schedule.fault(&self.name, kind, of_kind),
        };
        let is_sure = match fault {
            Fault::Pass => true,
            Fault::Delay(wait) => wait < Duration::from_millis(100),
            Fault::AnswerBefore(status) => kind == Kind::Commit && status < 500 && status != 408,
            _ => false,
        };
        if !is_sure {
            self.schedule.set_unsure();
        }
        let name = format!("{fault:?}");
        let name = match fault {
            Fault::Delay(_) if is_sure => "Pass",
            Fault::Stall(_) | Fault::StallOnItsWay(_) => "killed at",
            _ => name.split('(').next().unwrap_or_default(),
        };
        self.schedule.count(format!("{kind:?} {name}"));
        self.schedule.note(|| {
            let (name, method, target) = (&self.name, &head.method, &head.target);
            format!("{name}  {kind:?} {of_kind}  {fault:?}  {method} {target}")
        });
        fault
    }

    fn answered(&self, head: &RequestHead, fault: Fault, status: Option<u16>) {
        if status.is_none_or(|status| status >= 400) {
            self.schedule.note(|| {
                let kind = Kind::of(head);
                let answer = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                format!("{}  {kind:?}  {fault:?} gave {answer}", self.name)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> RequestHead {
        RequestHead {
            method: "POST".into(),
            target: "/v1/namespaces/otel/tables/logs".into(),
            headers: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_seed_has_the_same_faults_each_time_whatever_others_ask_between() {
        for seed in 0..20 {
            let draw = |others: bool| {
                let schedule = Arc::new(Schedule::with(seed, Weather::Commits, Duration::MAX));
                let process = Process::new(Arc::clone(&schedule), "1.0".into(), None);
                let other = Process::new(schedule, "2.0".into(), None);
                let mut faults = Vec::new();
                for _ in 0..20 {
                    if others {
                        other.decide(&commit());
                    }
                    faults.push(process.decide(&commit()));
                }
                faults
            };
            assert_eq!(draw(false), draw(true), "seed {seed}");
        }
    }

    #[tokio::test]
    async fn after_the_end_of_faults_all_passes_and_a_kill_comes_at_its_request() {
        let schedule = Arc::new(Schedule::with(1, Weather::Heavy, Duration::MAX));
        let process = Process::new(Arc::clone(&schedule), "1.0".into(), Some((3, Fault::DropAfter)));
        schedule.end();
        let faults: Vec<Fault> = (0..5).map(|_| process.decide(&commit())).collect();
        let (pass, kill) = (Fault::Pass, Fault::DropAfter);
        assert_eq!(faults, [pass, pass, kill, pass, pass]);
        assert!(schedule.is_unsure());
    }

    #[test]
    fn requests_are_of_their_kind() {
        for (method, target, kind) in [
            ("GET", "/v1/config", Kind::Prepare),
            ("POST", "/v1/namespaces", Kind::Prepare),
            ("POST", "/v1/namespaces/otel/tables", Kind::Prepare),
            ("GET", "/v1/namespaces/otel/tables/logs", Kind::Load),
            ("POST", "/v1/namespaces/otel/tables/logs", Kind::Commit),
            ("PUT", "/lake/otel/logs/data/a.parquet", Kind::PutData),
            (
                "POST",
                "/lake/otel/logs/data/a.parquet?uploads",
                Kind::BeginUpload,
            ),
            ("PUT", "/lake/a.parquet?partNumber=1&uploadId=u", Kind::PutPart),
            ("POST", "/lake/a.parquet?uploadId=u", Kind::CompleteUpload),
            ("DELETE", "/lake/a.parquet?uploadId=u", Kind::AbortUpload),
            ("PUT", "/lake/otel/logs/metadata/a.avro", Kind::PutMetadata),
            (
                "PUT",
                "/lake/otel/logs/_otlp2iceberg/receipts/a.json",
                Kind::PutReceipt,
            ),
            ("GET", "/lake/otel/logs/metadata/a.avro", Kind::Read),
            ("POST", "/lake?delete", Kind::Delete),
        ] {
            let head = RequestHead {
                method: method.into(),
                target: target.into(),
                headers: Vec::new(),
            };
            assert_eq!(Kind::of(&head), kind, "{method} {target}");
        }
    }
}
