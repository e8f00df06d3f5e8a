//! JSON configuration to the library's `Config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    otlp2iceberg_fuzz::check_config(json);
});
