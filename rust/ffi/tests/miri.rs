//! The tests that Miri can run: everything in the boundary that does no I/O.
//!
//! `rust/ffi/miri.sh` runs them under Miri, `cargo test` without it. Miri proves, for what is called
//! here, that no pointer is misused, nothing uninitialised is read, and nothing leaks. It does not
//! cover what it cannot run: an open handle (SQLite and zstd are C code, Tokio polls the operating
//! system), so neither the body of `o2i_export` nor draining in `o2i_close`; those are called under
//! AddressSanitizer by `smoke/smoke.c` and natively by `tests/boundary.rs`. Nor does it check that the
//! caller, in C or Go, keeps its side of the contract.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::ffi::CStr;
use std::mem::{MaybeUninit, align_of, offset_of, size_of};
use std::panic::panic_any;
use std::ptr;

use otlp2iceberg_ffi::abi::*;
use otlp2iceberg_ffi::batch::{o2i_batch_copy, o2i_batch_new, o2i_batch_set_redelivered};
use otlp2iceberg_ffi::cancel::{o2i_cancel_free, o2i_cancel_new, o2i_cancel_trigger};
use otlp2iceberg_ffi::config::o2i_config_check;
use otlp2iceberg_ffi::error::{AbiError, o2i_error_free};
use otlp2iceberg_ffi::export::o2i_export;
use otlp2iceberg_ffi::handle::{Handle, o2i_close, o2i_open};
use otlp2iceberg_ffi::logging::o2i_log_take;
use otlp2iceberg_ffi::test_hooks::{Point, at};
use support::{
    Failure, Held, Opened, Request, append, batch, call, config_check, copy, export, export_batch, free,
    log_take, merge, open, part,
};

/// An address that no handle has: handles are looked up, so a stray one is an error.
fn stray() -> Opened {
    Opened(ptr::without_provenance_mut::<Handle>(64))
}

fn panic_next() {
    at(Point::Guard, || panic!("forced by a test"));
}

fn assert_panicked(result: Result<(), Failure>) {
    let failure = result.unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_INTERNAL);
    assert_eq!(failure.retry_class, O2I_RETRY_CLASS_RETRY);
    assert_eq!(
        failure.message,
        "a bug in otlp2iceberg: it panicked: forced by a test"
    );
}

fn assert_invalid(result: Result<(), Failure>, message: &str) {
    let failure = result.unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_INVALID_ARGUMENT);
    assert_eq!(failure.retry_class, O2I_RETRY_CLASS_PERMANENT);
    assert_eq!(failure.message, message);
}

#[test]
fn the_version_and_the_layout_are_told() {
    assert_eq!(o2i_abi_version(), O2I_ABI_VERSION);
    assert_eq!(o2i_abi_layout(), 32 | 320 << 16 | 32 << 32);
    // SAFETY: NUL-terminated and static by contract.
    let version = unsafe { CStr::from_ptr(o2i_version()) };
    assert_eq!(version.to_str().unwrap(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_structs_have_no_padding_and_the_fields_are_where_c_puts_them() {
    assert_eq!(size_of::<AbiPart>(), 32);
    assert_eq!(offset_of!(AbiPart, sequence), 16);
    assert_eq!(offset_of!(AbiPart, len), 24);
    assert_eq!(size_of::<AbiOutcome>(), 40 * 8);
    assert_eq!(offset_of!(AbiOutcome, receipts_committed), 72);
    assert_eq!(offset_of!(AbiOutcome, repaired_times), 104);
    assert_eq!(offset_of!(AbiOutcome, values_left_out), 112);
    assert_eq!(offset_of!(AbiOutcome, rejected_by), 136);
    assert_eq!(offset_of!(AbiOutcome, in_flight_waits), 288);
    assert_eq!(offset_of!(AbiOutcome, merge_failures), 312);
    assert_eq!(offset_of!(AbiError, retry_after_ms), 8);
    assert_eq!(offset_of!(AbiError, message), 16);
    assert_eq!(align_of::<AbiError>(), 8);
}

#[test]
fn a_config_that_is_right_passes() {
    assert_eq!(config_check("{}"), Ok(()));
}

#[test]
fn a_config_that_is_wrong_is_told_with_every_problem() {
    let failure =
        config_check(r#"{"parquet": {"compression_level": 99}, "catalog": {"namespace": ""}}"#).unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_CONFIG);
    assert_eq!(failure.retry_class, O2I_RETRY_CLASS_PERMANENT);
    assert!(
        failure.message.contains("parquet.compression_level"),
        "{failure:?}"
    );
    assert!(failure.message.contains("catalog.namespace"), "{failure:?}");
}

#[test]
fn a_config_that_is_not_utf8_is_an_error() {
    let bytes = [b'{', b'"', 0xff, b'"', b':', b'1', b'}'];
    // SAFETY: a live slice and the place that `call` gives.
    let result = call(|error| unsafe { o2i_config_check(bytes.as_ptr(), bytes.len(), error) });
    assert_eq!(result.unwrap_err().code, O2I_ERROR_CONFIG);
}

#[test]
fn null_with_length_0_is_an_empty_config() {
    // SAFETY: null goes with length 0.
    let result = call(|error| unsafe { o2i_config_check(ptr::null(), 0, error) });
    assert_eq!(result.unwrap_err().code, O2I_ERROR_CONFIG);
}

#[test]
fn null_with_another_length_is_refused() {
    let message = "config_json is null but its length is 3";
    // SAFETY: null is checked for.
    let result = call(|error| unsafe { o2i_config_check(ptr::null(), 3, error) });
    assert_invalid(result, message);
    let mut handle = ptr::dangling_mut();
    // SAFETY: null is checked for; live places.
    let result = call(|error| unsafe { o2i_open(ptr::null(), 3, &raw mut handle, error) });
    assert_invalid(result, message);
    assert!(handle.is_null());
}

#[test]
fn open_needs_a_place_for_the_handle() {
    // SAFETY: null is checked for.
    let result = call(|error| unsafe { o2i_open(b"{}".as_ptr(), 2, ptr::null_mut(), error) });
    assert_invalid(result, "handle is null");
}

#[test]
fn open_refuses_a_wrong_config_and_leaves_null() {
    let failure = open(r#"{"no_such_key": 1}"#).unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_CONFIG);
    assert!(failure.message.contains("no_such_key"), "{failure:?}");
}

#[test]
fn an_error_may_go_nowhere() {
    // SAFETY: a live slice; a null place drops the error.
    let code = unsafe { o2i_config_check(b"[".as_ptr(), 1, ptr::null_mut()) };
    assert_eq!(code, O2I_ERROR_CONFIG);
}

#[test]
fn freeing_nothing_is_safe() {
    // SAFETY: null, and a zeroed error.
    unsafe {
        o2i_error_free(ptr::null_mut());
        let mut zeroed = MaybeUninit::<AbiError>::zeroed();
        o2i_error_free(zeroed.as_mut_ptr());
        o2i_cancel_free(ptr::null_mut());
        o2i_cancel_trigger(ptr::null());
    }
}

#[test]
fn a_cancel_token_is_made_triggered_twice_and_freed() {
    let cancel = o2i_cancel_new();
    assert!(!cancel.is_null());
    // SAFETY: made above, freed once.
    unsafe {
        o2i_cancel_trigger(cancel);
        o2i_cancel_trigger(cancel);
        o2i_cancel_free(cancel);
    }
}

#[test]
fn a_batch_gives_back_what_it_was_given() {
    let first = batch(O2I_SIGNAL_LOGS, b"onetwo", &[part(1, 3), part(2, 3)]);
    let second = batch(O2I_SIGNAL_LOGS, b"", &[]);
    append(second, b"three", &[part(3, 5)]).unwrap();
    assert_eq!(merge(first, second), Ok(()));
    assert_eq!(copy(first, 11).unwrap(), b"onetwothree");
    assert_eq!(copy(second, 0).unwrap(), b"");
    // SAFETY: a live batch, and null.
    unsafe {
        o2i_batch_set_redelivered(first.0);
        o2i_batch_set_redelivered(ptr::null());
    }
    free(second);
    assert_eq!(copy(first, 11).unwrap(), b"onetwothree");
    free(first);
    free(Held(ptr::null_mut()));
}

#[test]
fn batches_check_what_they_are_told() {
    let null = Held(ptr::null_mut());
    let held = batch(O2I_SIGNAL_LOGS, b"abc", &[part(1, 3)]);
    let wrong = append(held, b"de", &[part(2, 1)]);
    assert_invalid(
        wrong,
        "the lengths of the parts add up to 1, but the payload has 2 bytes",
    );
    assert_invalid(
        copy(held, 4).map(drop),
        "payload_len is 4, but the batch holds 3 bytes",
    );
    // SAFETY: null is checked for.
    let nowhere = call(|error| unsafe { o2i_batch_copy(held.0, ptr::null_mut(), 3, error) });
    assert_invalid(nowhere, "payload is null");
    for (result, message) in [
        (append(null, b"", &[]), "batch is null"),
        (merge(null, held), "batch is null"),
        (merge(held, null), "other is null"),
        (merge(held, held), "other is in use by another call"),
        (copy(null, 0).map(drop), "batch is null"),
        (export_batch(stray(), null, ptr::null()).1, "batch is null"),
    ] {
        assert_invalid(result, message);
    }
    let traces = batch(O2I_SIGNAL_TRACES, b"x", &[part(1, 1)]);
    assert_invalid(
        merge(held, traces),
        "batches of different signals cannot be merged",
    );
    assert_eq!(copy(held, 3).unwrap(), b"abc", "as it was");

    let mut made = ptr::dangling_mut();
    // SAFETY: live places, and null, which is checked for.
    let (signal, place) = unsafe {
        (
            call(|error| o2i_batch_new(4, &raw mut made, error)),
            call(|error| o2i_batch_new(1, ptr::null_mut(), error)),
        )
    };
    assert_invalid(
        signal,
        "signal is 4; it must be 1 (logs), 2 (traces) or 3 (metrics)",
    );
    assert!(made.is_null());
    assert_invalid(place, "batch is null");

    let failure = export_batch(stray(), held, ptr::null()).1.unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_SHUTDOWN);
    assert_eq!(copy(held, 3).unwrap(), b"abc", "it can be exported elsewhere");
    free(held);
    free(traces);
}

#[test]
fn a_batch_is_used_by_one_call_at_a_time_from_any_thread() {
    let held = batch(O2I_SIGNAL_LOGS, b"", &[]);
    let threads: Vec<_> = (0..4_u8)
        .map(|number| {
            std::thread::spawn(move || {
                let held = held;
                let mut appended = 0;
                for sequence in 0..50 {
                    match append(held, &[number], &[part(sequence, 1)]) {
                        Ok(()) => appended += 1,
                        busy => assert_invalid(busy, "batch is in use by another call"),
                    }
                }
                appended
            })
        })
        .collect();
    let appended: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(copy(held, appended).unwrap().len(), appended);
    free(held);
}

#[test]
fn export_checks_what_it_is_told_before_it_looks_for_the_handle() {
    let parts = [part(1, 2), part(2, 1)];
    let request = Request::new(O2I_SIGNAL_LOGS, b"abc", &parts);

    let wrong_signal = Request { signal: 4, ..request };
    let (outcome, result) = export(stray(), wrong_signal);
    assert_invalid(
        result,
        "signal is 4; it must be 1 (logs), 2 (traces) or 3 (metrics)",
    );
    assert_eq!(outcome, AbiOutcome::default());

    let short = Request {
        parts: &parts[..1],
        ..request
    };
    assert_invalid(
        export(stray(), short).1,
        "the lengths of the parts add up to 2, but the payload has 3 bytes",
    );

    let overflowing = [part(1, usize::MAX), part(2, 4)];
    let overflowing = Request {
        parts: &overflowing,
        ..request
    };
    assert_invalid(
        export(stray(), overflowing).1,
        "the lengths of the parts add up to more than 64 bits hold, but the payload has 3 bytes",
    );
}

#[test]
fn export_refuses_null_and_misaligned_pointers() {
    let payload = b"abc";
    let parts = [part(1, 3), part(2, 0)];
    let mut outcome = AbiOutcome::default();
    let try_with = |payload: *const u8, parts: *const AbiPart, outcome: *mut AbiOutcome| {
        // SAFETY: what is not null is live, and null and misaligned are checked for.
        call(|error| unsafe {
            o2i_export(
                stray().0,
                O2I_SIGNAL_LOGS,
                payload,
                3,
                parts,
                1,
                0,
                ptr::null(),
                0,
                outcome,
                error,
            )
        })
    };
    let (payload, parts) = (payload.as_ptr(), parts.as_ptr());
    let outcome = &raw mut outcome;
    assert_invalid(
        try_with(ptr::null(), parts, outcome),
        "payload is null but its length is 3",
    );
    assert_invalid(
        try_with(payload, ptr::null(), outcome),
        "parts is null but its length is 1",
    );
    assert_invalid(try_with(payload, parts, ptr::null_mut()), "outcome is null");
    assert_invalid(
        try_with(payload, parts.wrapping_byte_add(1), outcome),
        "parts is not aligned",
    );
}

#[test]
fn a_length_that_memory_cannot_hold_is_refused() {
    let parts = [part(1, 0)];
    let mut outcome = AbiOutcome::default();
    // SAFETY: the length is checked before anything is read.
    let result = call(|error| unsafe {
        o2i_export(
            stray().0,
            O2I_SIGNAL_LOGS,
            ptr::null(),
            0,
            parts.as_ptr(),
            usize::MAX,
            0,
            ptr::null(),
            0,
            &raw mut outcome,
            error,
        )
    });
    assert_invalid(result, &format!("parts cannot have {} elements", usize::MAX));
}

#[test]
fn a_null_handle_breaks_the_contract() {
    let null = Opened(ptr::null_mut());
    assert_invalid(
        export(null, Request::new(O2I_SIGNAL_LOGS, &[], &[])).1,
        "handle is null",
    );
    assert_invalid(support::begin_shutdown(null), "handle is null");
    assert_invalid(support::close(null, 0), "handle is null");
}

#[test]
fn a_handle_that_is_not_open_is_shut_down() {
    let request = Request::new(O2I_SIGNAL_LOGS, &[], &[]);
    for result in [
        export(stray(), request).1,
        support::begin_shutdown(stray()),
        support::close(stray(), 0),
    ] {
        let failure = result.unwrap_err();
        assert_eq!(failure.code, O2I_ERROR_SHUTDOWN);
        assert_eq!(failure.retry_class, O2I_RETRY_CLASS_SHUTDOWN);
        assert!(failure.message.contains("not open"), "{failure:?}");
    }
}

#[test]
fn a_panic_in_any_call_that_can_fail_becomes_an_error() {
    panic_next();
    assert_panicked(config_check("{}"));

    let mut handle = ptr::null_mut();
    panic_next();
    // SAFETY: a live slice and live places.
    assert_panicked(call(|error| unsafe {
        o2i_open(b"{}".as_ptr(), 2, &raw mut handle, error)
    }));
    assert!(handle.is_null());

    panic_next();
    assert_panicked(support::begin_shutdown(stray()));

    panic_next();
    // SAFETY: the place that `call` gives.
    assert_panicked(call(|error| unsafe { o2i_close(stray().0, 0, error) }));

    let held = batch(O2I_SIGNAL_LOGS, b"abc", &[part(1, 3)]);
    panic_next();
    assert_panicked(append(held, b"", &[]));
    panic_next();
    assert_panicked(export_batch(stray(), held, ptr::null()).1);
    panic_next();
    // The panic comes before anything is done, so the batch is still there.
    free(held);
    assert_eq!(copy(held, 3).unwrap(), b"abc");
    free(held);

    let mut outcome = AbiOutcome::default();
    panic_next();
    // SAFETY: nulls with length 0 and live places.
    assert_panicked(call(|error| unsafe {
        o2i_export(
            stray().0,
            O2I_SIGNAL_LOGS,
            ptr::null(),
            0,
            ptr::null(),
            0,
            0,
            ptr::null(),
            0,
            &raw mut outcome,
            error,
        )
    }));
}

#[test]
fn a_panic_in_any_call_that_cannot_fail_gives_its_fallback() {
    panic_next();
    assert_eq!(o2i_abi_version(), 0);
    panic_next();
    assert_eq!(o2i_abi_layout(), 0);
    panic_next();
    // SAFETY: NUL-terminated and static by contract.
    assert_eq!(unsafe { CStr::from_ptr(o2i_version()) }, c"");
    panic_next();
    assert!(o2i_cancel_new().is_null());

    let cancel = o2i_cancel_new();
    panic_next();
    // SAFETY: made above. The panic comes before anything is done, so the token is still there.
    unsafe { o2i_cancel_trigger(cancel) };
    panic_next();
    // SAFETY: as above.
    unsafe { o2i_cancel_free(cancel) };
    // SAFETY: as above.
    unsafe { o2i_cancel_free(cancel) };

    let mut error = MaybeUninit::<AbiError>::zeroed();
    panic_next();
    // SAFETY: a zeroed error.
    unsafe { o2i_error_free(error.as_mut_ptr()) };
}

#[test]
fn a_panic_may_carry_anything() {
    at(Point::Guard, || panic_any(String::from("owned ü")));
    let failure = config_check("{}").unwrap_err();
    assert!(failure.message.ends_with("panicked: owned ü"), "{failure:?}");

    at(Point::Guard, || panic_any(7_u8));
    let failure = config_check("{}").unwrap_err();
    assert!(
        failure.message.ends_with("panicked: (without a message)"),
        "{failure:?}"
    );
}

/// A payload whose own `drop` panics must not get through either.
#[test]
#[cfg_attr(miri, ignore = "forgets the second payload on purpose, which is a leak")]
fn a_panic_whose_payload_panics_is_contained() {
    struct Spiteful;
    impl Drop for Spiteful {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    at(Point::Guard, || panic_any(Spiteful));
    assert_eq!(config_check("{}").unwrap_err().code, O2I_ERROR_INTERNAL);
}

#[test]
fn a_log_without_lines_gives_none() {
    assert_eq!(log_take(100), (O2I_LOG_NONE, String::new()));
    // SAFETY: null is no place, and has room for nothing.
    assert_eq!(unsafe { o2i_log_take(ptr::null_mut(), 9, ptr::null_mut()) }, 0);
    panic_next();
    let mut level = 7;
    // SAFETY: null has room for nothing; the level's place is a local.
    assert_eq!(unsafe { o2i_log_take(ptr::null_mut(), 0, &raw mut level) }, 0);
    assert_eq!(level, 7, "a call that panicked wrote nothing");
}
