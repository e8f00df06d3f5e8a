//! Configuration as JSON to what the library runs with.
#![no_main]

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    otlp2iceberg_fuzz::check_config(json);
});
