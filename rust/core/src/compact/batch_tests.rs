use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::super::Compactor;
use super::*;
use crate::catalog;
use crate::config::Config;
use crate::error::Error;
use crate::pipeline::{Export, Pipeline};
use crate::request::{Part, RequestId};
use crate::signal::Signal;

const DAY_NANOS: u64 = 86_400 * 1_000_000_000;
/// A day in 2025.
const FIRST_DAY: u64 = 20_200;

/// Stores a request with a record of each of two days.
async fn export(pipeline: &Pipeline, sequence: u64) {
    let records = (0..2).map(|day| LogRecord {
        time_unix_nano: (FIRST_DAY + day) * DAY_NANOS,
        ..LogRecord::default()
    });
    let scope_logs = vec![ScopeLogs {
        log_records: records.collect(),
        ..ScopeLogs::default()
    }];
    let resource_logs = vec![ResourceLogs {
        scope_logs,
        ..ResourceLogs::default()
    }];
    let payload = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    let id = RequestId {
        writer: [1; 16],
        sequence,
    };
    let len = payload.len() as u64;
    let export = Export {
        signal: Signal::Logs,
        payload: &payload,
        parts: &[Part { id, len }],
        received_unix_nano: FIRST_DAY * DAY_NANOS,
        cancel: CancellationToken::new(),
        timeout: Duration::from_secs(60),
    };
    pipeline.export(export).await.unwrap();
}

/// The number of the table's files in storage.
fn stored(warehouse: &Path) -> usize {
    let partitions = fs::read_dir(warehouse.join("otel/logs/data")).unwrap();
    let files = partitions.map(|partition| fs::read_dir(partition.unwrap().path()).unwrap().count());
    files.sum()
}

/// Wherever it is stopped: what was joined by then is in no snapshot, and its files are not left behind.
#[tokio::test]
async fn a_stop_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        r#"{{"catalog": {{"warehouse": "{}"}}, "compaction": {{"min_files": 2}}}}"#,
        folder.path().display()
    );
    let config = Config::from_json(config.as_bytes()).unwrap();
    let pipeline = Pipeline::open(config.clone()).await.unwrap();
    for sequence in 1..=2 {
        export(&pipeline, sequence).await;
    }
    pipeline.close().await;
    let opened = catalog::open(&config).await.unwrap();
    let ident = iceberg::TableIdent::from_strs(["otel", "logs"]).unwrap();
    let committer = Committer::open(opened, ident, None, None, config.commit.clone());
    let committer = committer.await.unwrap();

    let (mut compactor, mut done) = (Compactor::default(), Compacted::default());
    let mut stops = 0;
    loop {
        let table = committer.table();
        let rules = (&config.compaction, &config.parquet);
        let age = committer.snapshot_age_max().unwrap();
        let merges = compactor
            .choose(&table, committer.odd_manifests(), rules, age)
            .await;
        let merges = merges.unwrap();
        assert_eq!(merges.len(), 2, "one for each day");
        let asked = AtomicUsize::new(0);
        let proceed = || {
            if asked.fetch_add(1, Ordering::Relaxed) < stops {
                Ok(())
            } else {
                Err(Error::new(ErrorKind::Cancelled, "stopped"))
            }
        };
        let options = JoinOptions {
            parquet: &config.parquet,
            proceed: &proceed,
        };
        let merged = merge(
            &committer,
            &table,
            merges,
            &options,
            &mut compactor.known,
            &mut done,
        )
        .await;
        let Err(error) = merged else {
            break;
        };
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert_eq!(done, Compacted::default());
        assert_eq!(stored(folder.path()), 4, "after {stops} looks");
        assert_eq!(committer.table().metadata.snapshots().len(), 2);
        stops += 1;
    }
    assert!(stops > 2, "also after a file was joined");
    let expected = Compacted { made: 2, replaced: 4 };
    assert_eq!(done, expected);
    assert_eq!(committer.table().metadata.snapshots().len(), 3);
}
