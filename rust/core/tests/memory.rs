//! Memory of conversion is bounded by its batches for every input: a short input never needs much memory.
//!
//! Reads the seeds of the fuzz targets, or those below `O2I_FUZZ_CORPUS` (folders `logs`, `traces`,
//! `metrics`), for example the corpus of a long fuzzing run.

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

/// The system's allocator, with a record of the most bytes held.
struct Peak;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged; only numbers are added.
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
/// For a full batch, the spare capacity of its builders, and the open batches of metrics' other four tables.
const ALLOWED_BYTES: usize = 8 * BATCH_BYTES;
/// Additional memory, as a multiple of the input.
const TIMES_MAX: usize = 6;
/// An input is repeated up to this size: concatenated messages are one message.
const REPEATED_BYTES: usize = 1 << 20;

/// Drops its batches, like encoding does.
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
    // Other tests check whether it is read or refused.
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

/// One test only, because the count is of the whole process.
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
