//! What conversion holds is bounded by its batches, whatever the input: nothing short makes it large.
//!
//! Reads the seeds of the fuzz targets, or those below `O2I_FUZZ_CORPUS` (folders `logs`, `traces`, `metrics`), such as a long
//! run of the fuzzers left behind.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use otlp2iceberg::convert::{BatchSink, ConvertOptions, TableBatch, ValueLimits, convert_into};
use otlp2iceberg::{Result, Signal};

/// The system's allocator, which remembers the most that was held.
struct Peak;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; only numbers are added.
unsafe impl GlobalAlloc for Peak {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Peak = Peak;

/// Bytes of a batch, small so that inputs of some KiB fill several.
const BATCH_BYTES: usize = 64 << 10;
/// For a batch that is full, the room that its builders grew into, and what metrics' other four tables began.
const ALLOWED_BYTES: usize = 8 * BATCH_BYTES;
/// Times the input that may be held besides.
const TIMES_MAX: usize = 6;
/// To this size an input is repeated: messages one after another are one.
const REPEATED_BYTES: usize = 1 << 20;

/// Takes batches and lets them go, as encoding does.
struct Gone;

impl BatchSink for Gone {
    fn batch(&mut self, _: &TableBatch) -> Result<()> {
        Ok(())
    }

    fn restart(&mut self) {}
}

/// The most bytes that converting a payload held.
fn held_by(signal: Signal, payload: &[u8]) -> usize {
    let options = ConvertOptions {
        arrival_time_unix_nano: 1_700_000_000_000_000_000,
        column_bytes_max: BATCH_BYTES,
        batch_bytes_max: BATCH_BYTES,
        values: ValueLimits::default(),
    };
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    // Whether it is read or refused is for other tests.
    drop(convert_into(signal, payload, &options, &mut Gone));
    MOST.load(Ordering::Relaxed) - before
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no seeds", folder.display());
    files
}

/// One test, because the count is the process's.
#[test]
fn conversion_holds_its_batches_and_six_times_its_input_at_most() {
    let corpus = std::env::var_os("O2I_FUZZ_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/fuzz"),
        PathBuf::from,
    );
    let mut most = 0.0_f64;
    for (signal, folder) in [
        (Signal::Logs, "logs"),
        (Signal::Traces, "traces"),
        (Signal::Metrics, "metrics"),
    ] {
        for file in files(&corpus.join(folder)) {
            let seed = fs::read(&file).unwrap();
            let times = REPEATED_BYTES.div_ceil(seed.len().max(1));
            for payload in [seed.clone(), seed.repeat(times)] {
                let held = held_by(signal, &payload);
                let besides = held.saturating_sub(ALLOWED_BYTES);
                assert!(
                    besides <= TIMES_MAX * payload.len(),
                    "{} of {} bytes held {held}",
                    file.display(),
                    payload.len(),
                );
                if payload.len() >= REPEATED_BYTES {
                    most = most.max(held as f64 / payload.len() as f64);
                }
            }
        }
    }
    println!("at most {most:.2} times an input of {REPEATED_BYTES} bytes and more");
}
