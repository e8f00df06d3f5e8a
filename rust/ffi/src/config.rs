//! Checks a configuration without opening anything.

use otlp2iceberg::config::Config;

use crate::borrow;
use crate::error::AbiError;
use crate::guard::guard;

/// Checks a configuration: no file is touched, nothing is connected to.
///
/// # Arguments
/// - `config_json` (borrowed), `config_json_len`: a JSON object in UTF-8, its length in bytes.
/// - `error` (owned by the caller, filled): why not; null to drop it. Free with `o2i_error_free`.
///
/// # Returns
/// `O2I_OK`, or the code with `error` filled: `O2I_ERROR_CONFIG` lists every problem with its key.
///
/// # Safety
/// `config_json` is null or readable for `config_json_len` bytes; `error` is null or writable and
/// aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn o2i_config_check(
    config_json: *const u8,
    config_json_len: usize,
    error: *mut AbiError,
) -> i32 {
    let body = || {
        // SAFETY: by this function's contract.
        let json = unsafe { borrow::slice("config_json", config_json, config_json_len) }?;
        Config::from_json(json).map(drop)
    };
    // SAFETY: by this function's contract.
    unsafe { guard(error, body) }
}
