//! What the next commit costs as a table grows; `bench/growth.sh` drives it and measures readers in between.
//!
//! `growth <warehouse> <commits,commits,...> <sections of the configuration as JSON>`
//!
//! Commits files of 100 log records, 10 s of them each, to `otel.logs`. After each 6 of them, a minute's, the table is compacted, if
//! that is enabled. At each of the numbers, ascending, it
//! makes 20 more commits, each beside one to a table that has 10, so that both meet the machine in the same
//! state; prints a line of JSON and waits for a line on stdin. The files are encoded and stored before the
//! clock is started: what is measured is the commit.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use otlp2iceberg::catalog::{self, LoadedTable, table_spec};
use otlp2iceberg::commit::{Append, Committer};
use otlp2iceberg::compact::{Budget, Compacted, Compactor};
use otlp2iceberg::config::Config;
use otlp2iceberg::convert::{self, ConvertOptions, ValueLimits};
use otlp2iceberg::write::{self, EncodeOptions, Files, Memory};
use otlp2iceberg::{IdRange, Signal, Table};
use prost::Message;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

// As in what ships.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commits that are timed at a number; the median of them is printed.
const TIMED: usize = 20;
/// Commits of the table that the other is compared with.
const YOUNG: u64 = 10;
/// Files of expired snapshots are deleted by then.
const SWEEPING: Duration = Duration::from_secs(1);
const RECORDS: u64 = 100;
const SECONDS_PER_COMMIT: u64 = 10;
/// Of the default interval.
const COMMITS_PER_COMPACTION: u64 = 60 / SECONDS_PER_COMMIT;
/// Midnight of a day, so that rows begin with a partition.
const FIRST_NANO: u64 = 1_767_225_600_000_000_000;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [warehouse, numbers, sections] = arguments.as_slice() else {
        return Err("usage: growth <warehouse> <commits,...> <configuration as JSON>".into());
    };
    let numbers: BTreeSet<u64> = numbers.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sections = serde_json::from_str(sections)?;
    runtime.block_on(grow(Path::new(warehouse), &numbers, &sections))
}

async fn grow(folder: &Path, numbers: &BTreeSet<u64>, sections: &Value) -> Result<(), Failure> {
    let mut old = Growing::open(&folder.join("old"), sections).await?;
    for number in numbers {
        let begun = Instant::now();
        let before = old.commits;
        let mut slowest = Duration::ZERO;
        while old.commits < *number {
            slowest = slowest.max(old.commit().await?);
            if old.commits.is_multiple_of(COMMITS_PER_COMPACTION) {
                old.compact().await?;
            }
        }
        let all = begun.elapsed();
        let mut young = Growing::open(&folder.join(format!("young-{number}")), sections).await?;
        while young.commits < YOUNG {
            young.commit().await?;
        }
        // What the last of many commits left to delete is gone ten seconds later.
        tokio::time::sleep(SWEEPING).await;
        let (mut of_old, mut of_young) = (Vec::new(), Vec::new());
        for _ in 0..TIMED {
            of_young.push(young.commit().await?);
            of_old.push(old.commit().await?);
        }
        young.committer.close().await;
        let table = old.committer.table();
        println!(
            "{}",
            serde_json::json!({
                "commits": number,
                "commit_ms": milliseconds(median(of_old)),
                "young_ms": milliseconds(median(of_young)),
                "slowest_ms": milliseconds(slowest),
                "mean_with_writing_ms": milliseconds(all) / (number - before).max(1) as f64,
                "merges": old.merges,
                "merging_ms_per_commit": milliseconds(old.merging) / old.commits as f64,
                "snapshots": table.metadata.snapshots().len(),
                "metadata_bytes": table.file_io.new_input(&table.metadata_location)?.metadata().await?.size,
                "metadata_location": table.metadata_location,
            })
        );
        std::io::stdin().read_line(&mut String::new())?;
    }
    old.committer.close().await;
    Ok(())
}

/// A table and what was committed to it.
struct Growing {
    config: Config,
    committer: Committer,
    compactor: Compactor,
    commits: u64,
    /// How often files were merged, and how long that took.
    merges: u64,
    merging: Duration,
}

impl Growing {
    async fn open(warehouse: &Path, sections: &Value) -> Result<Self, Failure> {
        let mut json = sections.clone();
        json["catalog"] = serde_json::json!({"warehouse": warehouse});
        let config = Config::from_json(&serde_json::to_vec(&json)?)?;
        let ident = iceberg::TableIdent::from_strs(["otel", "logs"])?;
        let spec = table_spec(&config, Table::Logs)?;
        let opened = catalog::open(&config).await?;
        let committer = Committer::open(opened, ident, Some(spec), None, config.commit.clone()).await?;
        Ok(Self {
            config,
            committer,
            compactor: Compactor::default(),
            commits: 0,
            merges: 0,
            merging: Duration::ZERO,
        })
    }

    /// What a host does in the background each minute.
    async fn compact(&mut self) -> Result<(), Failure> {
        if !self.config.compaction.enabled {
            return Ok(());
        }
        let begun = Instant::now();
        let config = (&self.config.compaction, &self.config.parquet);
        let stop = CancellationToken::new();
        let mut done = Compacted::default();
        self.compactor
            .run(&self.committer, config, Budget::UNLIMITED, &stop, &mut done)
            .await?;
        self.merges += done.made;
        self.merging += begun.elapsed();
        Ok(())
    }

    /// How long the commit of one more file took.
    async fn commit(&mut self) -> Result<Duration, Failure> {
        let append = self.stored(&self.committer.table()).await?;
        let begun = Instant::now();
        self.committer
            .append(append, tokio::time::Instant::now() + Duration::from_secs(60))
            .await?;
        let took = begun.elapsed();
        self.commits += 1;
        Ok(took)
    }

    async fn stored(&self, table: &LoadedTable) -> Result<Append, Failure> {
        let ids = vec![IdRange {
            writer: [7; 16],
            from: self.commits,
            to: self.commits,
        }];
        let options = ConvertOptions {
            arrival_time_unix_nano: 0,
            column_bytes_max: 1 << 30,
            batch_bytes_max: usize::MAX,
            values: ValueLimits::default(),
        };
        let converted = convert::convert(Signal::Logs, &request(self.commits), &options)?;
        let options = EncodeOptions {
            ids: &ids,
            parquet: &self.config.parquet,
            partitions_max: usize::MAX,
            request_bytes: usize::MAX,
            proceed: &|| Ok(()),
        };
        let (mut files, mut memory) = (Files::default(), Memory::default());
        for batch in converted.batches {
            files.append(&table.metadata, &batch, &options, &mut memory)?;
        }
        let encoded = files.finish(&table.metadata, &options)?;
        Ok(Append {
            table_id: None,
            files: write::upload(&table.file_io, encoded, options.proceed).await?,
            partition_spec_id: table.metadata.default_partition_spec_id(),
            ids,
            request_bytes: 0,
        })
    }
}

fn request(number: u64) -> Vec<u8> {
    let text = |text: String| {
        Some(AnyValue {
            value: Some(any_value::Value::StringValue(text)),
        })
    };
    let attribute = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: text(value),
        ..KeyValue::default()
    };
    let first = FIRST_NANO + number * SECONDS_PER_COMMIT * 1_000_000_000;
    let records = (0..RECORDS).map(|record| LogRecord {
        time_unix_nano: first + record * SECONDS_PER_COMMIT * 1_000_000_000 / RECORDS,
        severity_text: "INFO".to_owned(),
        severity_number: 9,
        body: text(format!("request {record} of commit {number} was answered")),
        attributes: vec![attribute("http.route", format!("/api/v1/items/{}", record % 7))],
        trace_id: ((u128::from(number + 1) << 64) | u128::from(record))
            .to_be_bytes()
            .to_vec(),
        span_id: record.to_be_bytes().to_vec(),
        ..LogRecord::default()
    });
    let resource = Resource {
        attributes: vec![attribute("service.name", "checkout".to_owned())],
        ..Resource::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs {
                log_records: records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
