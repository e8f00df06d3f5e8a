//! What only the inside shows: how often a payload is converted.

use super::*;
use crate::request::RequestId;

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
            let call = Call::new(&export).expect("consistent");
            let mut encoding = Encoding::new(&pipeline.config, &call);
            pipeline.add_known(&mut encoding, &export);
            let options = ConvertOptions {
                arrival_time_unix_nano: export.received_unix_nano,
                column_bytes_max: 1 << 20,
                batch_bytes_max: 1 << 20,
            };
            let mut restarts = 0;
            while convert::convert_into(export.signal, export.payload, &options, &mut encoding).is_err() {
                let table = encoding.take_missing().expect("nothing else is wrong");
                encoding.add(pipeline.look_at(table, &export, &call).await);
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
