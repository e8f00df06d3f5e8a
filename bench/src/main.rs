//! Benchmarks of the library on one thread, beside other libraries. `bench/run.sh` runs them and renders the
//! output.
//!
//! - `measure [--rounds N] [--only KIND:RECORDS,...] [--stages STAGE,...]` times every stage of every library,
//!   interleaved, and prints a line of JSON for each.
//! - `count STAGE KIND RECORDS` runs a stage once inside [`counted`], for valgrind.
//! - `files FOLDER` writes Parquet files of the same rows by every library.
//! - `pages FOLDER COLUMN text:ID|hex:ID` prints which data pages of Parquet files a look-up by id must read.

mod contestants;
mod files;
mod measure;
mod otap_ids;
mod pages;
mod payloads;
mod scan;
mod walk;

use std::path::Path;

use contestants::{Contestants, Stage};
use payloads::{Kind, Payload, payload};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any error ends the run.
type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: measure [--rounds N] [--only KIND:RECORDS,...] [--stages STAGE,...] | \
                     count STAGE KIND RECORDS | files FOLDER | pages FOLDER COLUMN text:ID|hex:ID";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["measure", options @ ..] => measure::all(&measure::Options::from(options)?),
        ["count", stage, kind, records] => count(stage, kind, records),
        ["files", folder] => files::all(Path::new(folder)),
        ["pages", folder, column, id] => pages::by_id(Path::new(folder), column, &id_of(id)?),
        _ => Err(USAGE.into()),
    }
}

/// Runs a stage once to warm up, and once inside [`counted`].
fn count(stage: &str, kind: &str, records: &str) -> Result<(), Failure> {
    let stage = stage_named(stage)?;
    let payload = payload(kind_named(kind)?, 0, records.parse()?)?;
    let contestants = Contestants::new()?;
    contestants.run(stage, &payload)?;
    counted(&contestants, stage, &payload)
}

/// valgrind counts the instructions below this function.
#[inline(never)]
fn counted(contestants: &Contestants, stage: Stage, payload: &Payload) -> Result<(), Failure> {
    contestants.run(stage, payload).map(drop)
}

fn stage_named(name: &str) -> Result<Stage, Failure> {
    let stage = Stage::ALL.into_iter().find(|stage| stage.name() == name);
    stage.ok_or_else(|| format!("no such stage: {name}").into())
}

fn kind_named(name: &str) -> Result<Kind, Failure> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| format!("no such kind of payload: {name}").into())
}

/// Parses an id: a text, or bytes in hexadecimal.
fn id_of(argument: &str) -> Result<Vec<u8>, Failure> {
    if let Some(text) = argument.strip_prefix("text:") {
        return Ok(text.as_bytes().to_vec());
    }
    let digits = argument.strip_prefix("hex:").ok_or(USAGE)?;
    let pairs = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    pairs.collect()
}
