//! Tests that need internals, such as how often a payload is converted.

mod own_files;

use super::admission::Admission;
use super::buffer_pool::CallBuffers;
use super::call::Call;
use super::table_files::Encoding;
use super::work::Work;
use super::*;
use crate::convert::{self, ConvertOptions, ValueLimits};
use crate::error::RetryClass;
use crate::reason::Reason;
use crate::request::RequestId;
use crate::write;

/// A metrics request: a gauge and a sum, each with one point without fields.
const GAUGE_AND_SUM: &[u8] = b"\x0a\x0e\x12\x0c\x12\x04\x2a\x02\x0a\x00\x12\x04\x3a\x02\x0a\x00";

fn export(parts: &[Part]) -> Export<'_> {
    Export {
        signal: Signal::Metrics,
        payload: GAUGE_AND_SUM,
        parts,
        received_unix_nano: 1_750_000_000_000_000_000,
        cancel: CancellationToken::new(),
        timeout: Duration::from_secs(60),
    }
}

fn part(sequence: u64) -> Part {
    let writer = [7; 16];
    Part {
        id: RequestId { writer, sequence },
        len: GAUGE_AND_SUM.len() as u64,
    }
}

#[tokio::test]
async fn tables_that_are_open_do_not_restart_the_conversion() {
    let warehouse = tempfile::tempdir().expect("temporary folder");
    let json = format!(r#"{{"catalog": {{"warehouse": {:?}}}}}"#, warehouse.path());
    let config = Config::from_json(json.as_bytes()).expect("valid");
    let pipeline = Pipeline::open(config).await.expect("opens");

    let restarts = |sequence| {
        let parts = [part(sequence)];
        let pipeline = &pipeline;
        async move {
            let export = export(&parts);
            let work = Work::of(&export).expect("consistent");
            let call = Call::new(&export.cancel, export.timeout).expect("time left");
            let mut memory = write::Memory::default();
            let mut encoding = Encoding::new(&pipeline.config, &call, &mut memory);
            pipeline.add_known(&mut encoding, &work);
            let options = ConvertOptions {
                arrival_time_unix_nano: export.received_unix_nano,
                column_bytes_max: 1 << 20,
                batch_bytes_max: 1 << 20,
                values: ValueLimits::default(),
            };
            let mut restarts = 0;
            while convert::convert_into(export.signal, export.payload, &options, &mut encoding).is_err() {
                let table = encoding.take_missing().expect("nothing else is wrong");
                encoding.add(pipeline.look_at(table, &work, &call).await);
                restarts += 1;
            }
            restarts
        }
    };
    assert_eq!(
        restarts(1).await,
        2,
        "each table once while the process does not know it"
    );
    let parts = [part(1)];
    let outcome = pipeline.export(export(&parts)).await.expect("stored");
    assert_eq!((outcome.rows, outcome.commits), (2, 2));
    assert_eq!(restarts(2).await, 0, "later calls convert once");
    pipeline.close().await;
}

/// Simulates a bug: panics at a payload that contains `PANIC!`.
pub(super) fn panic_at(payload: &[u8]) {
    let trigger: &[u8] = b"PANIC!";
    assert!(
        !payload.windows(trigger.len()).any(|bytes| bytes == trigger),
        "as told by the test"
    );
}

/// A logs request with this body.
fn logs(body: &str) -> Vec<u8> {
    let mut request = body.as_bytes().to_vec();
    // The value, the body, the record, the scope's logs and the resource's.
    for tag in [0x0a, 0x2a, 0x12, 0x12, 0x0a] {
        let len = u8::try_from(request.len()).expect("short");
        request.splice(0..0, [tag, len]);
    }
    request
}

/// Numbers requests from 1.
fn parts_of(requests: &[Vec<u8>]) -> Vec<Part> {
    let numbered = (1..).zip(requests);
    let part = |(sequence, request): (u64, &Vec<u8>)| Part {
        len: request.len() as u64,
        ..part(sequence)
    };
    numbered.map(part).collect()
}

async fn export_logs(pipeline: &Pipeline, bodies: &[&str]) -> Result<Outcome> {
    let requests: Vec<Vec<u8>> = bodies.iter().map(|body| logs(body)).collect();
    let parts = parts_of(&requests);
    let payload = requests.concat();
    pipeline
        .export(Export {
            signal: Signal::Logs,
            payload: &payload,
            ..export(&parts)
        })
        .await
}

#[tokio::test]
async fn a_request_that_makes_the_library_panic_is_kept_and_the_others_are_stored() {
    let home = tempfile::tempdir().expect("temporary folder");
    let dead = home.path().join("dead");
    let json = format!(
        r#"{{"catalog": {{"warehouse": {:?}}}, "dead_letter": {{"path": {dead:?}}}}}"#,
        home.path().join("warehouse")
    );
    let config = Config::from_json(json.as_bytes()).expect("valid");
    let pipeline = Pipeline::open(config).await.expect("opens");
    let outcome = export_logs(&pipeline, &["one", "PANIC!", "three"])
        .await
        .expect("the rest is stored");
    assert_eq!((outcome.rows, outcome.rejected_by.of(Reason::Panic)), (2, 1));
    assert!(
        outcome.rejection.contains("panicked: as told by the test"),
        "{}",
        outcome.rejection
    );
    let writer = "07".repeat(16);
    let kept = dead.join(format!("logs/2025-06-15/{writer}-2.request.otlp.pb"));
    assert_eq!(std::fs::read(kept).expect("kept"), logs("PANIC!"));
    // The library continues, and the request can be sent again.
    let outcome = export_logs(&pipeline, &["one", "PANIC!", "three"])
        .await
        .expect("known");
    assert_eq!((outcome.rows, outcome.already_committed), (0, 2));
    pipeline.close().await;
}

#[tokio::test]
async fn a_malformed_request_is_found_by_conversion_alone() {
    let home = tempfile::tempdir().expect("temporary folder");
    let json = format!(r#"{{"catalog": {{"warehouse": {:?}}}}}"#, home.path());
    let config = Config::from_json(json.as_bytes()).expect("valid");
    let pipeline = Pipeline::open(config).await.expect("opens");
    // A length beyond the end, between two valid requests.
    let requests = [logs("one"), vec![0x0a, 0x7f], logs("three")];
    let parts = parts_of(&requests);
    let payload = requests.concat();
    let export = Export {
        signal: Signal::Logs,
        payload: &payload,
        ..export(&parts)
    };
    let call = Call::new(&export.cancel, export.timeout).expect("time left");
    let work = Work::of(&export).expect("consistent");
    let mut admission = Admission::new(&work);
    let error = Error::new(ErrorKind::Decode, "malformed");
    pipeline
        .refuse_bad(
            &mut admission,
            Reason::Malformed,
            error,
            &mut CallBuffers::default(),
            &call,
        )
        .await
        .expect("two are left");
    assert_eq!(admission.left_indices(), [0, 2]);
    // Encoding them would have opened their table.
    assert!(
        pipeline
            .destinations
            .iter()
            .all(|committer| committer.get().is_none())
    );
}

#[tokio::test]
async fn without_a_place_for_dead_letters_a_panic_is_the_hosts() {
    let home = tempfile::tempdir().expect("temporary folder");
    let json = format!(r#"{{"catalog": {{"warehouse": {:?}}}}}"#, home.path());
    let config = Config::from_json(json.as_bytes()).expect("valid");
    let pipeline = Pipeline::open(config).await.expect("opens");
    let call = std::panic::AssertUnwindSafe(export_logs(&pipeline, &["PANIC!"]));
    assert!(futures::FutureExt::catch_unwind(call).await.is_err());
}

#[tokio::test]
async fn calls_wait_while_others_hold_the_bytes_in_flight() {
    let in_flight = InFlight::new(4 << 20);
    let call = Call::new(&CancellationToken::new(), Duration::from_secs(60)).expect("time left");
    let first = in_flight.enter(3 << 20, &call).await.expect("free");
    assert!(!first.waited);
    let second = in_flight.enter(1 << 20, &call).await.expect("free");
    {
        let mut third = std::pin::pin!(in_flight.enter(1, &call));
        assert!(futures::poll!(third.as_mut()).is_pending(), "all is taken");
        drop(second);
        assert!(third.await.expect("its turn").waited);
    }
    drop(first);
    // A payload larger than the limit runs alone.
    let large = in_flight.enter(1 << 30, &call).await.expect("free");
    let cancel = CancellationToken::new();
    let stopped = Call::new(&cancel, Duration::from_secs(60)).expect("time left");
    let mut waiting = std::pin::pin!(in_flight.enter(1, &stopped));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    cancel.cancel();
    let error = waiting.await.expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(
        error
            .to_string()
            .contains("limits.in_flight_bytes_max (4194304 bytes)"),
        "{error}"
    );
    drop(large);
    assert!(
        !InFlight::new(0)
            .enter(1 << 40, &call)
            .await
            .expect("no limit")
            .waited
    );
}

#[tokio::test]
async fn a_call_does_not_wait_beyond_its_end_for_others_that_make_files() {
    let home = tempfile::tempdir().expect("temporary folder");
    let json = format!(
        r#"{{"catalog": {{"warehouse": {:?}}}, "limits": {{"parallel_calls_max": 1}}}}"#,
        home.path()
    );
    let config = Config::from_json(json.as_bytes()).expect("valid");
    let pipeline = Pipeline::open(config).await.expect("opens");
    let other = pipeline.encoders.acquire().await.expect("open");
    let parts = [part(1)];
    let waiting = export(&parts);
    let cancel = waiting.cancel.clone();
    {
        let mut waiting = std::pin::pin!(pipeline.export(waiting));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        cancel.cancel();
        let error = waiting.await.expect_err("cancelled");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(matches!(error.retry_class(), RetryClass::Retry { .. }));
        let told = "limits.parallel_calls_max (1) at a time, were making files";
        assert!(error.to_string().contains(told), "{error}");
    }
    drop(other);
    let outcome = pipeline.export(export(&parts)).await.expect("its turn");
    assert_eq!(outcome.rows, 2);
    pipeline.close().await;
}

#[tokio::test]
async fn what_only_shows_when_a_table_is_made_costs_no_request() {
    let home = tempfile::tempdir().expect("temporary folder");
    for kind in ["sql", "none"] {
        let json = format!(
            r#"{{"catalog": {{"type": "{kind}", "warehouse": {:?}}}}}"#,
            home.path()
        );
        let mut config = Config::from_json(json.as_bytes()).expect("valid");
        // Simulates an error that the configuration rules do not know.
        config.tables.properties.insert("uuid".into(), "mine".into());
        let pipeline = Pipeline::open(config).await.expect("opens");
        let error = pipeline.export(export(&[part(1)])).await.expect_err("no table");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
        pipeline.close().await;
    }
}
