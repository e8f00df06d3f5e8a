//! Times stages in interleaved rounds.

use rustix::time::{ClockId, clock_gettime};

use crate::contestants::{Contestants, Made, Stage};
use crate::payloads::{Kind, Payload, payload};
use crate::{Failure, kind_named, stage_named};

/// The minimum number of records in one sample. A small batch is converted several times.
const SAMPLE_RECORDS: usize = 32_768;

/// What to measure.
pub struct Options {
    rounds: usize,
    cases: Vec<(Kind, usize)>,
    stages: Vec<Stage>,
}

impl Options {
    /// Reads the command line.
    pub fn from(arguments: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            rounds: 10,
            cases: Kind::ALL
                .into_iter()
                .flat_map(|kind| kind.batches().iter().map(move |n| (kind, *n)))
                .collect(),
            stages: Stage::ALL.to_vec(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or("an option without a value")?;
            match *argument {
                "--rounds" => options.rounds = value.parse()?,
                "--only" => {
                    let cases = value.split(',').map(|case| {
                        let (kind, records) = case.split_once(':').ok_or("a case is KIND:RECORDS")?;
                        Ok::<_, Failure>((kind_named(kind)?, records.parse()?))
                    });
                    options.cases = cases.collect::<Result<_, _>>()?;
                }
                "--stages" => {
                    options.stages = value.split(',').map(stage_named).collect::<Result<_, _>>()?;
                }
                _ => return Err(format!("no such option: {argument}").into()),
            }
        }
        Ok(options)
    }
}

/// Measures every case and prints a line of JSON for each stage.
pub fn all(options: &Options) -> Result<(), Failure> {
    let contestants = Contestants::new()?;
    for (number, (kind, records)) in options.cases.iter().enumerate() {
        eprintln!(
            "[{}/{}] {} in batches of {records}",
            number + 1,
            options.cases.len(),
            kind.name()
        );
        measure(&contestants, options, *kind, &payload(*kind, 0, *records)?)?;
    }
    Ok(())
}

fn measure(
    contestants: &Contestants,
    options: &Options,
    kind: Kind,
    payload: &Payload,
) -> Result<(), Failure> {
    let Options { rounds, stages, .. } = options;
    // Rows are counted before anything is timed. This also warms up.
    let made = stages.iter().map(|stage| contestants.run(*stage, payload));
    let made = made.collect::<Result<Vec<Made>, Failure>>()?;
    for (stage, made) in stages.iter().zip(&made) {
        if made.records + made.left_out != payload.records {
            let (stage, made, sent) = (stage.name(), made.records, payload.records);
            return Err(format!("{stage}: {made} of {sent} records of {}", kind.name()).into());
        }
    }
    let repeat = SAMPLE_RECORDS.div_ceil(payload.records);
    let mut samples = vec![Vec::with_capacity(*rounds); stages.len()];
    for round in 0..*rounds {
        for turn in 0..stages.len() {
            // The order rotates, so that no stage always follows the same one.
            let stage = (turn + round) % stages.len();
            let start = cpu_seconds();
            for _ in 0..repeat {
                contestants.run(stages[stage], payload)?;
            }
            let seconds = (cpu_seconds() - start) / repeat as f64;
            samples[stage].push(seconds * 1e6 / payload.records as f64);
        }
    }
    for ((stage, made), samples) in stages.iter().zip(made).zip(samples) {
        let samples: Vec<String> = samples.iter().map(|sample| format!("{sample:.4}")).collect();
        println!(
            r#"{{"payload": "{}", "records": {}, "otlp_bytes": {}, "stage": "{}", "left_out": {}, "file_bytes": {}, "microseconds": [{}]}}"#,
            kind.name(),
            payload.records,
            payload.bytes.len(),
            stage.name(),
            made.left_out,
            made.file_bytes,
            samples.join(", "),
        );
    }
    Ok(())
}

/// CPU time of this process, which has one busy thread. It excludes other processes on the machine.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
