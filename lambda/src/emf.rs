//! Counts of each invocation as log lines in `CloudWatch`'s embedded metric format, which needs no API calls.
//!
//! `CloudWatch` makes metrics of the declared fields only. All fields can be searched in the log.
//!
//! With its JSON log format, Lambda drops lines below the function's log level. A line without `level` and
//! `timestamp` is INFO to it, so at WARN the metrics would end and the alarms stay quiet.
//!
//! Sources: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use otlp2iceberg::{Outcome, Registered, Result, Signal};
use serde_json::{Map, Value, json};

use crate::log::rfc3339;
use crate::repairs::Repairs;
use crate::store::Batch;

/// The namespace in `CloudWatch`.
const NAMESPACE: &str = "otlp2iceberg";

/// The fields that are metrics: those that the alarms of the template watch. `CloudWatch` bills each metric for
/// each signal, 0 or not.
const METRICS: [&str; 3] = ["RejectedRecords", "Failures", "RefusedRequests"];

/// The counts of one invocation, per signal.
#[derive(Debug, Default, Clone)]
pub struct Metrics {
    signals: [Sums; Signal::ALL.len()],
}

#[derive(Debug, Default, Clone)]
struct Sums {
    batches: u64,
    payload_bytes: u64,
    rows: u64,
    files: u64,
    file_bytes: u64,
    store_ms: f64,
    conflicts: u64,
    rejected: u64,
    repairs: Repairs,
    repeated: u64,
    receipts: u64,
    receipt_rows: u64,
    receipts_committed: u64,
    commit_ms: f64,
    failures: u64,
    refused: u64,
    registered_files: u64,
    registered_rows: u64,
}

impl Metrics {
    pub(crate) fn stored(&mut self, batch: &Batch<'_>, result: &Result<Outcome>, time: Duration) {
        let sums = &mut self.signals[batch.signal as usize];
        sums.batches += 1;
        sums.payload_bytes += batch.payload.len() as u64;
        sums.store_ms += time.as_secs_f64() * 1e3;
        match result {
            Ok(outcome) => {
                sums.rows += outcome.rows;
                sums.files += outcome.files;
                sums.file_bytes += outcome.file_bytes;
                sums.conflicts += outcome.commit_attempts.saturating_sub(outcome.commits);
                sums.rejected += outcome.rejected;
                sums.repairs.add(&Repairs::of(outcome));
                sums.repeated += outcome.already_committed;
                sums.receipts += outcome.receipts_written;
                sums.receipt_rows += outcome.receipt_rows;
                sums.receipts_committed += outcome.receipts_committed;
                sums.commit_ms += outcome.commit_micros as f64 / 1e3;
            }
            Err(_) => sums.failures += 1,
        }
    }

    /// Corrects the counts after requests stored `together` were stored again one by one to find out which of
    /// them fail. Removes what was counted `before` and what the repetition caused.
    pub(crate) fn stored_again(&mut self, signal: Signal, before: &Self, together: &Result<Outcome>) {
        let (sums, before) = (
            &mut self.signals[signal as usize],
            &before.signals[signal as usize],
        );
        sums.payload_bytes = before.payload_bytes;
        sums.repeated = before.repeated;
        match together {
            Ok(_) => {
                sums.rejected = before.rejected;
                sums.repairs = before.repairs;
            }
            // Each request has counted its own failure.
            Err(_) => sums.failures = sums.failures.saturating_sub(1),
        }
    }

    /// Counts an object that could not be read or registered. Its signal may be unknown, so it is counted
    /// with the first signal.
    pub(crate) fn failed(&mut self) {
        let [first, ..] = &mut self.signals;
        first.failures += 1;
    }

    /// Counts a request that was answered with an error after which senders drop it. Without a signal, which the
    /// request's path does not name, it is counted with the first one.
    pub(crate) fn refused(&mut self, signal: Option<Signal>) {
        let [first, ..] = Signal::ALL;
        self.signals[signal.unwrap_or(first) as usize].refused += 1;
    }

    /// Counts a request as refused that was counted as a failure when it was [`stored`](Self::stored), but is
    /// itself the cause: one bad sender must not raise the alarm on failures.
    pub(crate) fn refused_not_failed(&mut self, signal: Signal) {
        let sums = &mut self.signals[signal as usize];
        sums.failures = sums.failures.saturating_sub(1);
        sums.refused += 1;
    }

    /// Counts Parquet files of the signal's tables that were registered in place.
    pub(crate) fn registered<'a>(&mut self, signal: Signal, files: impl Iterator<Item = &'a Registered>) {
        let sums = &mut self.signals[signal as usize];
        for file in files.filter(|file| !file.already_there) {
            if file.in_receipt {
                sums.receipts += 1;
                sums.receipt_rows += file.rows;
            } else {
                sums.registered_files += 1;
                sums.registered_rows += file.rows;
            }
        }
    }

    /// One line for each signal that was received.
    pub fn lines(&self, function: &str, request_id: &str) -> impl Iterator<Item = String> {
        let now = SystemTime::now();
        Signal::ALL
            .iter()
            .zip(&self.signals)
            .filter(|(_, sums)| {
                let files = sums.registered_files + sums.receipts;
                sums.batches + files + sums.refused + sums.failures > 0
            })
            .map(move |(signal, sums)| line(now, function, request_id, *signal, sums))
    }
}

fn line(now: SystemTime, function: &str, request_id: &str, signal: Signal, sums: &Sums) -> String {
    let now_ms = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    // Those that are metrics.
    let is_bad = sums.rejected + sums.failures + sums.refused > 0;
    let values = [
        ("Rows", json!(sums.rows)),
        ("PayloadBytes", json!(sums.payload_bytes)),
        ("Files", json!(sums.files)),
        ("FileBytes", json!(sums.file_bytes)),
        ("StoreTime", milliseconds(sums.store_ms)),
        ("CommitTime", milliseconds(sums.commit_ms)),
        ("CommitConflicts", json!(sums.conflicts)),
        ("RejectedRecords", json!(sums.rejected)),
        ("RepeatedRequests", json!(sums.repeated)),
        ("ReceiptsWritten", json!(sums.receipts)),
        ("ReceiptRows", json!(sums.receipt_rows)),
        ("ReceiptsCommitted", json!(sums.receipts_committed)),
        ("Failures", json!(sums.failures)),
        ("RefusedRequests", json!(sums.refused)),
        ("RegisteredFiles", json!(sums.registered_files)),
        ("RegisteredRows", json!(sums.registered_rows)),
    ];
    let declared = METRICS.map(|name| json!({"Name": name, "Unit": "Count"}));
    let mut line = Map::new();
    let metrics =
        json!([{"Namespace": NAMESPACE, "Dimensions": [["FunctionName", "Signal"]], "Metrics": declared}]);
    line.insert(
        "_aws".into(),
        json!({"Timestamp": now_ms, "CloudWatchMetrics": metrics}),
    );
    line.insert("timestamp".into(), rfc3339(now).into());
    line.insert("level".into(), if is_bad { "ERROR" } else { "INFO" }.into());
    line.insert("FunctionName".into(), function.into());
    line.insert("Signal".into(), signal.as_str().into());
    line.insert("requestId".into(), request_id.into());
    line.extend(values.map(|(name, value)| (name.to_owned(), value)));
    // Rare, so zeros would only lengthen the line. Logs Insights names a count `Repairs.<reason>`.
    if !sums.repairs.is_empty() {
        let by_reason = sums.repairs.by_reason();
        let by_reason: Map<String, Value> = by_reason
            .map(|(reason, count)| (reason.to_owned(), count.into()))
            .collect();
        line.insert("Repairs".into(), by_reason.into());
    }
    Value::Object(line).to_string()
}

/// Rounds to microseconds; more digits would be noise.
fn milliseconds(time: f64) -> Value {
    json!((time * 1e3).round() / 1e3)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use otlp2iceberg::{Error, ErrorKind, Table};

    use super::*;

    #[test]
    fn a_line_holds_every_count_and_declares_the_metrics_of_the_alarms() {
        let mut metrics = Metrics::default();
        let batch = Batch {
            signal: Signal::Traces,
            payload: b"12345",
            parts: &[],
            received_unix_nano: 0,
        };
        let outcome = Outcome {
            rows: 3,
            commits: 1,
            commit_attempts: 3,
            ..Outcome::default()
        };
        metrics.stored(&batch, &Ok(outcome), Duration::from_millis(12));
        let lines: Vec<String> = metrics.lines("f", "r-1").collect();
        assert_eq!(lines.len(), 1);
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["Signal"], "traces");
        assert_eq!(line["requestId"], "r-1");
        assert_eq!((&line["Rows"], &line["PayloadBytes"]), (&json!(3), &json!(5)));
        assert_eq!(line["CommitConflicts"], 2);
        assert_eq!(line.get("Repairs"), None);
        let declared = line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
            .as_array()
            .unwrap();
        let names: Vec<&str> = declared
            .iter()
            .map(|metric| metric["Name"].as_str().unwrap())
            .collect();
        assert_eq!(names, METRICS);
        assert!(names.iter().all(|name| line[*name].is_number()));
        assert_eq!(
            line.as_object()
                .unwrap()
                .values()
                .filter(|value| value.is_number())
                .count(),
            16
        );
    }

    #[test]
    fn repairs_are_counted_by_reason_and_once() {
        let batch = Batch {
            signal: Signal::Traces,
            payload: b"12345",
            parts: &[],
            received_unix_nano: 0,
        };
        let outcome = || {
            Ok(Outcome {
                rows: 3,
                repaired_ids: 2,
                cut_texts: 1,
                ..Outcome::default()
            })
        };
        let mut metrics = Metrics::default();
        metrics.stored(&batch, &outcome(), Duration::ZERO);
        metrics.stored(&batch, &outcome(), Duration::ZERO);
        let before = metrics.clone();
        metrics.stored(&batch, &outcome(), Duration::ZERO);
        metrics.stored_again(Signal::Traces, &before, &outcome());
        let [line] = <[String; 1]>::try_from(metrics.lines("f", "r-1").collect::<Vec<_>>()).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["Repairs"], json!({"invalid_id": 4, "text_length": 2}));
        // The rows are stored, so no alarm is meant.
        assert_eq!(line["level"], "INFO");
    }

    /// A line that is not zero must pass a function's log level of ERROR.
    #[test]
    fn a_line_with_a_metric_above_zero_is_an_error_with_a_timestamp_for_lambda() {
        let bad: [fn(&mut Sums); 3] = [
            |sums| sums.rejected = 1,
            |sums| sums.failures = 1,
            |sums| sums.refused = 1,
        ];
        assert_eq!(bad.len(), METRICS.len());
        let good: fn(&mut Sums) = |sums| sums.rows = 1;
        let told = |change: fn(&mut Sums)| {
            let mut sums = Sums::default();
            change(&mut sums);
            let line = line(UNIX_EPOCH, "f", "r-1", Signal::Logs, &sums);
            serde_json::from_str::<Value>(&line).unwrap()
        };
        for (change, level) in bad.map(|one| (one, "ERROR")).into_iter().chain([(good, "INFO")]) {
            let line = told(change);
            assert_eq!(line["level"], level, "{line}");
            let above_zero = METRICS.iter().any(|name| line[*name] != json!(0));
            assert_eq!(above_zero, level == "ERROR", "{line}");
            assert_eq!(line["timestamp"], "1970-01-01T00:00:00.000Z");
            assert_eq!(line["_aws"]["Timestamp"], 0);
        }
    }

    #[test]
    fn a_registered_file_is_counted_once_in_a_table_or_in_a_receipt() {
        let file = |rows, already_there, in_receipt| Registered {
            table: Table::Logs,
            rows,
            bytes: 1,
            already_there,
            in_receipt,
        };
        let files = [
            file(1, false, false),
            file(20, false, true),
            file(300, true, false),
        ];
        let mut metrics = Metrics::default();
        metrics.registered(Signal::Logs, files.iter());
        let [sums, ..] = &metrics.signals;
        assert_eq!((sums.registered_files, sums.registered_rows), (1, 1));
        assert_eq!((sums.receipts, sums.receipt_rows), (1, 20));
        // A receipt is worth a line by itself.
        let mut metrics = Metrics::default();
        metrics.registered(Signal::Logs, files[1..].iter());
        assert_eq!(metrics.lines("f", "r-1").count(), 1);
    }

    #[test]
    fn what_is_stored_again_piece_by_piece_is_counted_once() {
        let batch = |payload| Batch {
            signal: Signal::Logs,
            payload,
            parts: &[],
            received_unix_nano: 0,
        };
        let outcome = |rows, rejected, already_committed| {
            Ok(Outcome {
                rows,
                rejected,
                already_committed,
                ..Outcome::default()
            })
        };
        let failure = || Err(Error::new(ErrorKind::TableMismatch, "no"));
        for (together, pieces, expected) in [
            // One of three objects is rejected completely, and one was stored before.
            (
                outcome(5, 4, 1),
                [outcome(0, 0, 1), outcome(0, 4, 0), outcome(0, 0, 1)],
                (5, 4, 1, 0),
            ),
            (
                outcome(5, 4, 0),
                [outcome(0, 0, 1), outcome(0, 4, 0), failure()],
                (5, 4, 0, 1),
            ),
            (failure(), [outcome(2, 1, 0), failure(), failure()], (2, 1, 0, 2)),
        ] {
            let mut metrics = Metrics::default();
            metrics.stored(&batch(b"123456"), &together, Duration::ZERO);
            let before = metrics.clone();
            for piece in pieces {
                metrics.stored(&batch(b"12"), &piece, Duration::ZERO);
            }
            metrics.stored_again(Signal::Logs, &before, &together);
            let [sums, ..] = &metrics.signals;
            let counted = (sums.rows, sums.rejected, sums.repeated, sums.failures);
            assert_eq!((counted, sums.payload_bytes), (expected, 6));
        }
    }

    #[test]
    fn a_request_that_is_refused_is_counted_though_nothing_was_tried() {
        let mut metrics = Metrics::default();
        assert_eq!(metrics.lines("f", "r-1").count(), 0);
        metrics.refused(None);
        metrics.refused(Some(Signal::Logs));
        let malformed = Batch {
            signal: Signal::Logs,
            payload: b"\x0a\xff",
            parts: &[],
            received_unix_nano: 0,
        };
        let failure = Err(Error::new(ErrorKind::Decode, "malformed"));
        metrics.stored(&malformed, &failure, Duration::ZERO);
        metrics.refused_not_failed(Signal::Logs);
        let [line] = <[String; 1]>::try_from(metrics.lines("f", "r-1").collect::<Vec<_>>()).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&line["Signal"], &line["RefusedRequests"]),
            (&json!("logs"), &json!(3))
        );
        assert_eq!(line["Failures"], 0);
    }
}
