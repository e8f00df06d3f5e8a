//! `schedules`: runs seeded schedules of failures and reports the seeds that failed.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use otlp2iceberg_faults::run::{Verdict, play};
use otlp2iceberg_faults::settings::Settings;

const USAGE: &str = "usage: schedules [--seeds N] [--from FIRST] [--seed SEED [--times N]] [--with receipts|parts] [--verbose]

  --seeds N     play N seeds (default 300)
  --from FIRST  the first of them (default 1)
  --seed SEED   play this one alone
  --times N     so many times
  --with WHAT   leave out the seeds in which no process takes receipts, or no file is uploaded in parts
  --verbose     print what happened; with RUST_LOG-like O2I_LOG=debug, what the library logged, too";

/// This many seeds or more must have met everything that [`Totals::missing`] names.
const SEEDS_THAT_MEET_ALL: u64 = 300;

/// The kinds of requests that every run sends many of, as their counts begin.
const KINDS: [&str; 7] = [
    "Load",
    "Commit",
    "PutData",
    "PutMetadata",
    "PutPart",
    "Read",
    "Delete",
];

/// What happens to requests, as their counts go on.
const FAULTS: [&str; 8] = [
    "Delay",
    "DropBefore",
    "DropAfter",
    "Late",
    "AnswerBefore",
    "AnswerAfter",
    "Truncate",
    "Twice",
];

/// What happens to calls and processes, and that the few receipts are recognised.
const EVENTS: [&str; 8] = [
    "PutReceipt Pass",
    "process stopped",
    "process killed",
    "files merged",
    "call stored",
    "call stored with a receipt",
    "call with requests stored before",
    "receipts left to other processes",
];

struct Arguments {
    from: u64,
    seeds: u64,
    times: u64,
    with: Option<fn(&Settings) -> bool>,
    verbose: bool,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if arguments.verbose {
        let level = match std::env::var("O2I_LOG").as_deref() {
            Ok("debug") => tracing::Level::DEBUG,
            _ => tracing::Level::WARN,
        };
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .init();
    }
    let mut totals = Totals::default();
    let begun = Instant::now();
    let mut told = begun;
    for seed in arguments.from..arguments.from + arguments.seeds {
        if arguments.with.is_some_and(|has| !has(&Settings::draw(seed))) {
            continue;
        }
        for _ in 0..arguments.times {
            let one = Instant::now();
            match play(seed, arguments.verbose) {
                Ok(verdict) => totals.add(seed, one.elapsed(), verdict),
                Err(cause) => {
                    eprintln!("cannot play: {cause}");
                    return ExitCode::FAILURE;
                }
            }
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let done = seed - arguments.from + 1;
            println!(
                "{done} of {} seeds, {} failed",
                arguments.seeds,
                totals.failed.len()
            );
        }
    }
    totals.print(begun.elapsed());
    let missing = if arguments.with.is_none() && arguments.seeds >= SEEDS_THAT_MEET_ALL {
        totals.missing()
    } else {
        Vec::new()
    };
    if !missing.is_empty() {
        println!("NOT MET, so this run does not test it: {}", missing.join(", "));
    }
    if totals.failed.is_empty() && missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        from: 1,
        seeds: 300,
        times: 1,
        with: None,
        verbose: false,
    };
    while let Some(name) = given.next() {
        let mut number = || {
            let value = given.next().ok_or(format!("{name} needs a number"))?;
            value
                .parse::<u64>()
                .map_err(|_| format!("{name} {value}: is no number"))
        };
        match name.as_str() {
            "--seeds" => arguments.seeds = number()?,
            "--from" => arguments.from = number()?,
            "--seed" => (arguments.from, arguments.seeds) = (number()?, 1),
            "--times" => arguments.times = number()?,
            "--with" => {
                arguments.with = Some(match given.next().as_deref() {
                    Some("receipts") => |settings| settings.receipts,
                    Some("parts") => |settings| settings.part_bytes.is_some(),
                    _ => return Err("--with needs receipts or parts".to_owned()),
                });
            }
            "--verbose" => arguments.verbose = true,
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(arguments)
}

#[derive(Default)]
struct Totals {
    by_weather: BTreeMap<String, u64>,
    rows: usize,
    counts: BTreeMap<String, u64>,
    unsure: u64,
    stray_data: usize,
    stray_metadata: usize,
    slowest: (Duration, u64),
    failed: Vec<u64>,
}

impl Totals {
    fn add(&mut self, seed: u64, took: Duration, verdict: Verdict) {
        *self
            .by_weather
            .entry(format!("{:?}", verdict.weather))
            .or_default() += 1;
        self.rows += verdict.rows;
        for (what, count) in &verdict.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
        self.unsure += u64::from(verdict.unsure);
        self.stray_data += verdict.strays.data;
        self.stray_metadata += verdict.strays.metadata;
        self.slowest = self.slowest.max((took, seed));
        for note in verdict.notes {
            println!("{note}");
        }
        if verdict.problems.is_empty() {
            return;
        }
        println!("\nseed {seed} failed ({:?}):", verdict.weather);
        for problem in verdict.problems {
            println!("  {problem}");
        }
        println!("  replay: cargo run --locked -p otlp2iceberg-faults -- --seed {seed} --verbose\n");
        if self.failed.last() != Some(&seed) {
            self.failed.push(seed);
        }
    }

    fn print(&self, took: Duration) {
        let seeds: u64 = self.by_weather.values().sum();
        println!(
            "{seeds} schedules in {:.1} s (slowest {:?}, seed {}): {} rows, each acknowledged and in its table once",
            took.as_secs_f64(),
            self.slowest.0,
            self.slowest.1,
            self.rows
        );
        println!(
            "weather: {:?}; {} with something in doubt",
            self.by_weather, self.unsure
        );
        println!(
            "left in storage by attempts in doubt or killed: {} data files, {} manifests and manifest lists",
            self.stray_data, self.stray_metadata
        );
        self.print_counts();
        if !self.failed.is_empty() {
            println!("FAILED seeds: {:?}", self.failed);
        }
    }

    /// What was never met. Requests are recognised by their paths: if those change, faults stop coming, and
    /// every schedule passes.
    fn missing(&self) -> Vec<String> {
        let faults = KINDS
            .iter()
            .flat_map(|kind| FAULTS.iter().map(move |fault| format!("{kind} {fault}")));
        let events = EVENTS.iter().map(|event| (*event).to_owned());
        let all = faults.chain(events);
        all.filter(|what| !self.counts.contains_key(what)).collect()
    }

    /// A line for each kind of request, and for calls and processes.
    fn print_counts(&self) {
        let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (what, count) in &self.counts {
            let (kind, how) = what.split_once(' ').unwrap_or((what, ""));
            lines.entry(kind).or_default().push(format!("{how} {count}"));
        }
        for (kind, hows) in lines {
            println!("{kind}: {}", hows.join(", "));
        }
    }
}
