//! Writes Parquet files of the same rows by every library, to compare readers.

use std::fs;
use std::path::Path;

use crate::Failure;
use crate::contestants::ours::{Layout, Ours};
use crate::contestants::{otel_arrow, otlp2records};
use crate::payloads::{Kind, Payload, merged};

/// Rows of a file.
const FILE_ROWS: usize = 131_072;
/// Rows that otel-arrow accepts in one request, since its ids have 16 bits.
const PART_ROWS: usize = 32_768;
/// Records per request. A million spans cover an hour here, so a larger request would cover minutes.
const REQUEST_ROWS: usize = 8_192;

/// Writes `<folder>/<who>/<set>/...`, where a set is the tables of one kind of payload.
pub fn all(folder: &Path) -> Result<(), Failure> {
    for kind in Kind::ALL {
        let (set, files) = match kind {
            // Tables of a million rows.
            Kind::Logs300 => ("logs", 8),
            Kind::Spans => ("spans", 8),
            Kind::Metrics => ("metrics", 8),
            // These are only compared with each other.
            _ => (kind.name(), 1),
        };
        for file in 0..files {
            eprintln!("files of {set}: {} of {files}", file + 1);
            write(folder, set, kind, file)?;
        }
    }
    Ok(())
}

fn write(folder: &Path, set: &str, kind: Kind, file: usize) -> Result<(), Failure> {
    let (rows, part, request) = match kind {
        Kind::LogsManyResources | Kind::LogsOneResource => [kind.batches()[0]; 3].into(),
        Kind::Logs1k => (PART_ROWS, PART_ROWS, REQUEST_ROWS),
        _ => (FILE_ROWS, PART_ROWS, REQUEST_ROWS),
    };
    let first = file * rows;
    let whole = merged(kind, first, rows, request)?;
    let column = (kind == Kind::Logs300).then_some(("ours", "logs-column", Layout::Column));
    let layouts = [("ours", set, Layout::Default), ("plain", set, Layout::Plain)];
    for (who, set, layout) in layouts.into_iter().chain(column) {
        let folder = folder.join(who).join(set);
        fs::create_dir_all(&folder)?;
        Ours::in_folder(&folder, layout)?.write(&whole, file as u64 + 1)?;
    }
    let name = format!("{file:04}");
    otlp2records::to_files(&whole, &folder.join("otlp2records").join(set), &name)?;

    let parts = (first..first + rows)
        .step_by(part)
        .map(|first| merged(kind, first, part, request));
    let parts = parts.collect::<Result<Vec<Payload>, Failure>>()?;
    // An upper bound of the ids that the previous files can have used.
    let mut next_id = u32::try_from(file * rows * 4)?;
    otel_arrow::to_files(&parts, &folder.join("otel-arrow").join(set), &name, &mut next_id)
}
