//! Random requests, serialized by prost: every value of every column against the plain conversion.

use otlp2iceberg::signal::{Signal, Table};
use proptest::prelude::*;
use prost::Message;

use super::oracle::{self, Expected};
use super::oracle_metrics;
use super::rows::{converted, rows};
use crate::decode::samples;
use crate::strategies;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn logs_are_as_by_the_plain_conversion(request in strategies::logs_request()) {
        check(Signal::Logs, &request.encode_to_vec(), &oracle::logs(&request))?;
    }

    #[test]
    fn traces_are_as_by_the_plain_conversion(request in strategies::traces_request()) {
        check(Signal::Traces, &request.encode_to_vec(), &oracle::traces(&request))?;
    }

    #[test]
    fn metrics_are_as_by_the_plain_conversion(request in strategies::metrics_request()) {
        check(Signal::Metrics, &request.encode_to_vec(), &oracle_metrics::metrics(&request))?;
    }
}

/// The samples have every field set, so every column of every table holds a value.
#[test]
fn samples_with_every_field_set_fill_every_column() {
    let expected = [
        (Signal::Logs, oracle::logs(&samples::logs())),
        (Signal::Traces, oracle::traces(&samples::traces())),
        (Signal::Metrics, oracle_metrics::metrics(&samples::metrics())),
    ];
    for (signal, expected) in expected {
        let payload = samples::sample(signal);
        check(signal, &payload, &expected).unwrap();
        let converted = converted(signal, &payload);
        for table in Table::ALL.into_iter().filter(|table| table.signal() == signal) {
            for column in otlp2iceberg::schema::columns(table, &[]) {
                let batches = converted.batches.iter().filter(|batch| batch.table == table);
                let values: usize = batches
                    .map(|batch| batch.batch.column_by_name(column.name).unwrap())
                    .map(|array| array.len() - array.null_count())
                    .sum();
                assert!(values > 0, "{table}.{} holds no value", column.name);
            }
        }
    }
}

fn check(signal: Signal, payload: &[u8], expected: &Expected) -> Result<(), TestCaseError> {
    let converted = converted(signal, payload);
    for table in Table::ALL {
        let (found, wanted) = (rows(&converted, table), &expected.tables[table as usize]);
        prop_assert_eq!(found.len(), wanted.len(), "rows of {}", table);
        for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            prop_assert!(found.keys().eq(wanted.keys()), "columns of {}", table);
            for (column, wanted) in wanted {
                prop_assert_eq!(&found[column], wanted, "{}[{}].{}", table, at, column);
            }
        }
    }
    prop_assert_eq!(converted.rejected, expected.rejected);
    prop_assert_eq!(converted.rejections.len() as u64, expected.rejected.min(16));
    prop_assert_eq!(converted.repairs, expected.repairs);
    Ok(())
}
