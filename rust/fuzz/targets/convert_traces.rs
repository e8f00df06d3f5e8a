//! `ExportTraceServiceRequest` bytes to rows.
#![no_main]

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    otlp2iceberg_fuzz::check_convert(otlp2iceberg::Signal::Traces, payload);
});
