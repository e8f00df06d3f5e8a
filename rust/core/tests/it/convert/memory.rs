//! The memory of columns is reused, unless their content is still referenced.

use arrow_array::cast::AsArray;
use otlp2iceberg::convert::{BatchSink, ConvertOptions, Memory, TableBatch, ValueLimits, convert_all_into};
use otlp2iceberg::{Result, Signal};

use super::rows::ARRIVAL;
use crate::decode::encode::nested;

const BATCH_BYTES: usize = 1 << 20;

/// Records the addresses of bodies, their number in each batch, and the capacity in bytes. Keeps the batches
/// if requested.
#[derive(Default)]
struct Places {
    bodies: Vec<(*const u8, usize)>,
    room: Vec<usize>,
    keeps: Option<Vec<TableBatch>>,
}

impl BatchSink for Places {
    fn batch(&mut self, batch: &TableBatch) -> Result<()> {
        let bodies = batch.batch.column_by_name("Body").unwrap().as_string::<i32>();
        self.bodies
            .push((bodies.value_data().as_ptr(), batch.batch.num_rows()));
        self.room.push(bodies.values().capacity());
        if let Some(kept) = &mut self.keeps {
            kept.push(batch.clone());
        }
        Ok(())
    }

    fn restart(&mut self) {
        panic!("all text is UTF-8");
    }
}

/// Log records with a body of 1,000 bytes.
fn logs(records: usize, letter: &str) -> Vec<u8> {
    with_bodies(records, &letter.repeat(1000))
}

fn with_bodies(records: usize, body: &str) -> Vec<u8> {
    nested(&[1, 2], nested(&[2, 5, 1], body).repeat(records))
}

fn convert(payload: &[u8], memory: &mut Memory, sink: &mut Places) {
    let options = ConvertOptions {
        arrival_time_unix_nano: ARRIVAL,
        column_bytes_max: usize::MAX,
        batch_bytes_max: BATCH_BYTES,
        values: ValueLimits::default(),
    };
    convert_all_into(Signal::Logs, [payload].into_iter(), &options, memory, sink).unwrap();
}

#[test]
fn batches_and_calls_lie_in_the_memory_of_the_one_before() {
    let (mut places, mut memory) = (Places::default(), Memory::default());
    convert(&logs(2500, "a"), &mut memory, &mut places);
    convert(&logs(1500, "b"), &mut memory, &mut places);
    let rows: Vec<usize> = places.bodies.iter().map(|(_, rows)| *rows).collect();
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert_eq!(rows.iter().sum::<usize>(), 4000);
    let first = places.bodies[0].0;
    assert!(
        places.bodies.iter().all(|(place, _)| *place == first),
        "{:?}",
        places.bodies
    );
}

#[test]
fn what_is_kept_is_left_alone() {
    let mut memory = Memory::default();
    let mut places = Places {
        keeps: Some(Vec::new()),
        ..Places::default()
    };
    convert(&logs(2500, "a"), &mut memory, &mut places);
    convert(&logs(2500, "b"), &mut memory, &mut Places::default());
    let kept = places.keeps.unwrap();
    for batch in &kept {
        let bodies = batch.batch.column_by_name("Body").unwrap().as_string::<i32>();
        assert!(bodies.iter().all(|body| body == Some("a".repeat(1000).as_str())));
    }
    let mut places: Vec<_> = places.bodies.iter().map(|(place, _)| *place).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), kept.len());
}

/// Two and a half full batches become three of equal size.
#[test]
fn batches_of_a_call_are_about_even() {
    let (mut places, mut memory) = (Places::default(), Memory::default());
    convert(&logs(2500, "a"), &mut memory, &mut places);
    let rows: Vec<usize> = places.bodies.iter().map(|(_, rows)| *rows).collect();
    assert_eq!(rows.len(), 3);
    let (least, most) = (rows.iter().min().unwrap(), rows.iter().max().unwrap());
    assert!(*least >= 700 && *most <= 900, "{rows:?}");
}

/// Falling load releases memory.
#[test]
fn memory_of_far_more_than_is_needed_is_not_kept() {
    let (mut places, mut memory) = (Places::default(), Memory::default());
    for records in [900, 100, 90] {
        convert(&logs(records, "a"), &mut memory, &mut places);
    }
    let [large, small, next] = places.room.try_into().unwrap();
    assert!(large >= 900_000 && large == small, "{large}, then {small}");
    assert!(next < 300_000, "{next} for a hundred");
}

/// Whether or not the columns were measured after the last row.
#[test]
fn memory_of_a_few_large_records_is_not_kept_for_small_ones() {
    for bytes in [4_000, 100_000] {
        let (mut places, mut memory) = (Places::default(), Memory::default());
        convert(&with_bodies(7, &"a".repeat(bytes)), &mut memory, &mut places);
        for _ in 0..2 {
            convert(&logs(1, "a"), &mut memory, &mut places);
        }
        let [large, small, next] = places.room.try_into().unwrap();
        assert!(large >= 7 * bytes && large == small, "{large}, then {small}");
        assert!(next < 7 * bytes, "{next} for one");
    }
}
