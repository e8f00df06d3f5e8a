//! The checks of the fuzz targets: decode and convert never panic, their results are consistent, and a configuration is
//! accepted or refused with a reason.

use otlp2iceberg::convert::{ConvertOptions, ValueLimits, convert};
use otlp2iceberg::config::Config;
use otlp2iceberg::{ErrorKind, RetryClass, Signal};

/// Small, so that batches are split.
const COLUMN_BYTES_MAX: usize = 4096;

/// Converts a request of a signal.
///
/// # Panics
/// When the outcome breaks a promise of [`convert`].
pub fn check_convert(signal: Signal, payload: &[u8]) {
    let options = ConvertOptions {
        arrival_time_unix_nano: 1_700_000_000_000_000_000,
        column_bytes_max: COLUMN_BYTES_MAX,
        batch_bytes_max: 8 * COLUMN_BYTES_MAX,
        values: ValueLimits::default(),
    };
    match convert(signal, payload, &options) {
        Ok(converted) => {
            for batch in &converted.batches {
                assert_eq!(batch.table.signal(), signal);
                assert_ne!(batch.batch.num_rows(), 0);
            }
            assert!(converted.rejections.len() as u64 <= converted.rejected);
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
            assert_eq!(error.retry_class(), RetryClass::Permanent, "{error}");
        }
    }
}

/// Reads a configuration.
///
/// # Panics
/// When the outcome breaks a promise of [`Config::from_json`].
pub fn check_config(json: &[u8]) {
    if let Err(error) = Config::from_json(json) {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(!error.to_string().is_empty());
    }
}
