//! The boundary around an open handle, called as a host calls it, on real warehouses.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "support/otlp.rs"]
mod otlp;
#[path = "boundary/receipts.rs"]
mod receipts;
mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::{fs, ptr, thread};

use otlp2iceberg_ffi::abi::*;
use otlp2iceberg_ffi::cancel::{o2i_cancel_free, o2i_cancel_new, o2i_cancel_trigger};
use otlp2iceberg_ffi::test_hooks::{Point, at};
use serde_json::json;
use support::{
    FOR_EVER, Opened, Request, append, batch, begin_shutdown, close, copy, export, export_batch, free,
    log_take, merge, open, part,
};
use tempfile::TempDir;

/// Opens the library on a new warehouse.
fn opened() -> (TempDir, Opened) {
    let directory = TempDir::new().unwrap();
    let handle = reopen(&directory);
    (directory, handle)
}

fn reopen(directory: &TempDir) -> Opened {
    open(&json!({"catalog": {"warehouse": directory.path()}}).to_string()).unwrap()
}

/// Holds a call inside the handle: arms the current thread's next export, which tells `entered` that
/// it is in and goes on when `go_on` is sent to or dropped.
fn hold() -> (mpsc::Receiver<()>, mpsc::Sender<()>, impl FnOnce() + Send) {
    let (entered_sender, entered) = mpsc::channel();
    let (go_on, go_on_receiver) = mpsc::channel::<()>();
    let arm = move || {
        at(Point::Handle, move || {
            entered_sender.send(()).unwrap();
            let _ = go_on_receiver.recv();
        });
    };
    (entered, go_on, arm)
}

#[test]
fn what_is_stored_is_counted_and_a_repeat_is_recognised() {
    let (_directory, handle) = opened();
    let payload = otlp::logs(3);
    let parts = [part(1, payload.len())];
    let request = Request::new(O2I_SIGNAL_LOGS, &payload, &parts);

    let (outcome, result) = export(handle, request);
    assert_eq!(result, Ok(()));
    assert!(outcome.file_bytes > 0 && outcome.commit_micros > 0);
    assert_eq!(
        AbiOutcome {
            file_bytes: 0,
            commit_micros: 0,
            ..outcome
        },
        AbiOutcome {
            rows: 3,
            files: 1,
            commits: 1,
            commit_attempts: 1,
            ..AbiOutcome::default()
        }
    );

    let (outcome, result) = export(handle, request);
    assert_eq!(result, Ok(()));
    assert_eq!(
        outcome,
        AbiOutcome {
            already_committed: 1,
            ..AbiOutcome::default()
        }
    );
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

#[test]
fn requests_may_be_merged_by_concatenation() {
    let (_directory, handle) = opened();
    let (first, second) = (otlp::logs(2), otlp::logs(5));
    let parts = [part(1, first.len()), part(2, second.len())];
    let payload = [first, second].concat();
    let (outcome, result) = export(handle, Request::new(O2I_SIGNAL_LOGS, &payload, &parts));
    assert_eq!(result, Ok(()));
    assert_eq!((outcome.rows, outcome.commits), (7, 1));
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

#[test]
fn a_batch_is_stored_once_and_its_bytes_are_let_go() {
    let (_directory, handle) = opened();
    let (first, second) = (otlp::logs(2), otlp::logs(5));
    let held = batch(O2I_SIGNAL_LOGS, &first, &[part(1, first.len())]);
    let other = batch(O2I_SIGNAL_LOGS, &second, &[part(2, second.len())]);
    merge(held, other).unwrap();
    free(other);
    let cancel = o2i_cancel_new();
    // SAFETY: made above.
    unsafe { o2i_cancel_trigger(cancel) };
    let failure = export_batch(handle, held, cancel).1.unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_CANCELLED);
    // SAFETY: made above, and no call uses it any more.
    unsafe { o2i_cancel_free(cancel) };
    let payload = [first, second].concat();
    assert_eq!(
        copy(held, payload.len()).unwrap(),
        payload,
        "nothing is stored yet"
    );

    let (outcome, result) = export_batch(handle, held, ptr::null());
    assert_eq!(result, Ok(()));
    assert_eq!((outcome.rows, outcome.files, outcome.commits), (7, 1, 1));
    let gone = copy(held, payload.len()).unwrap_err();
    assert_eq!(gone.code, O2I_ERROR_INVALID_ARGUMENT);
    assert_eq!(append(held, &[], &[]).unwrap_err().message, gone.message);
    assert_eq!(
        export_batch(handle, held, ptr::null()),
        (outcome, Ok(())),
        "stored is stored"
    );

    let parts = [part(1, payload.len())];
    let (again, _) = export(handle, Request::new(O2I_SIGNAL_LOGS, &payload, &parts));
    assert_eq!((again.rows, again.already_committed), (0, 1));
    assert_eq!(close(handle, FOR_EVER), Ok(()));
    assert_eq!(
        export_batch(handle, held, ptr::null()).1.unwrap_err().code,
        O2I_ERROR_SHUTDOWN
    );
    free(held);
}

#[test]
fn a_batch_in_use_is_an_error_for_others() {
    let (_directory, handle) = opened();
    let payload = otlp::logs(1);
    let held = batch(O2I_SIGNAL_LOGS, &payload, &[part(1, payload.len())]);
    let (entered, go_on, arm) = hold();
    thread::scope(|scope| {
        let exporting = scope.spawn(move || {
            arm();
            let held = held;
            export_batch(handle, held, std::ptr::null())
        });
        entered.recv().unwrap();
        let failure = export_batch(handle, held, ptr::null()).1.unwrap_err();
        assert_eq!(failure.message, "batch is in use by another call");
        drop(go_on);
        assert_eq!(exporting.join().unwrap().0.rows, 1);
    });
    free(held);
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

#[test]
fn nothing_at_all_may_be_exported() {
    let (directory, handle) = opened();
    for signal in [O2I_SIGNAL_LOGS, O2I_SIGNAL_TRACES, O2I_SIGNAL_METRICS] {
        let (outcome, result) = export(handle, Request::new(signal, &[], &[]));
        assert_eq!(result, Ok(()));
        assert_eq!(outcome, AbiOutcome::default());
    }
    assert_eq!(close(handle, FOR_EVER), Ok(()));
    drop(directory);
}

#[test]
fn rejected_records_are_a_partial_failure_with_the_outcome() {
    let (_directory, handle) = opened();
    let payload = otlp::histogram_with_one_bad_point();
    let parts = [part(1, payload.len())];
    let (outcome, result) = export(handle, Request::new(O2I_SIGNAL_METRICS, &payload, &parts));
    let failure = result.unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_REJECTED);
    assert_eq!(failure.retry_class, O2I_RETRY_CLASS_PARTIAL);
    assert!(failure.message.contains("data_points[1]"), "{failure:?}");
    assert_eq!((outcome.rows, outcome.rejected, outcome.commits), (1, 1, 1));
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

#[test]
fn a_payload_that_is_not_otlp_is_a_permanent_failure() {
    let (_directory, handle) = opened();
    // Field 1 with a length of 127 and nothing behind it.
    let payload = [0x0a, 0x7f];
    let parts = [part(1, payload.len())];
    let (outcome, result) = export(handle, Request::new(O2I_SIGNAL_TRACES, &payload, &parts));
    let failure = result.unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_DECODE);
    assert_eq!(failure.retry_class, O2I_RETRY_CLASS_PERMANENT);
    assert!(failure.message.contains("resource_spans"), "{failure:?}");
    assert_eq!(outcome, AbiOutcome::default());
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

#[test]
fn a_call_cancelled_before_it_begins_stores_nothing_and_may_be_repeated() {
    let (_directory, handle) = opened();
    let payload = otlp::logs(2);
    let parts = [part(1, payload.len())];
    let request = Request::new(O2I_SIGNAL_LOGS, &payload, &parts);

    let cancel = o2i_cancel_new();
    // SAFETY: made above.
    unsafe { o2i_cancel_trigger(cancel) };
    let out_of_time = Request {
        timeout_ms: 0,
        ..request
    };
    for request in [Request { cancel, ..request }, out_of_time] {
        let (outcome, result) = export(handle, request);
        let failure = result.unwrap_err();
        assert_eq!(failure.code, O2I_ERROR_CANCELLED);
        assert_eq!(failure.retry_class, O2I_RETRY_CLASS_RETRY);
        assert_eq!(outcome, AbiOutcome::default());
    }
    // SAFETY: made above, and no call uses it any more.
    unsafe { o2i_cancel_free(cancel) };

    let (outcome, result) = export(handle, request);
    assert_eq!(result, Ok(()));
    assert_eq!((outcome.rows, outcome.already_committed), (2, 0));
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

#[test]
fn a_call_is_cancelled_from_another_thread() {
    let (_directory, handle) = opened();
    let payload = otlp::logs(1);
    let parts = [part(1, payload.len())];
    let (entered, go_on, arm) = hold();
    let cancel = o2i_cancel_new();
    let request = Request {
        cancel,
        ..Request::new(O2I_SIGNAL_LOGS, &payload, &parts)
    };
    thread::scope(|scope| {
        let call = scope.spawn(|| {
            arm();
            export(handle, request).1
        });
        entered.recv().unwrap();
        // SAFETY: made above, and freed after the call's end.
        unsafe { o2i_cancel_trigger(cancel) };
        drop(go_on);
        assert_eq!(call.join().unwrap().unwrap_err().code, O2I_ERROR_CANCELLED);
    });
    // SAFETY: made above, and no call uses it any more.
    unsafe { o2i_cancel_free(cancel) };
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

#[test]
fn a_warehouse_that_cannot_be_written_is_told_at_open_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("a-file");
    fs::write(&file, b"").unwrap();
    let config = json!({"catalog": {"warehouse": file.join("warehouse")}}).to_string();
    let failure = open(&config).unwrap_err();
    assert!(
        failure.message.contains("a-file"),
        "the message names the place: {failure:?}"
    );
}

#[test]
fn a_panic_inside_a_call_poisons_its_handle_and_no_other() {
    let (_directory, handle) = opened();
    let (_other_directory, other) = opened();
    let payload = otlp::logs(1);
    let parts = [part(1, payload.len())];
    let request = Request::new(O2I_SIGNAL_LOGS, &payload, &parts);

    at(Point::Handle, || panic!("forced by a test"));
    let (outcome, result) = export(handle, request);
    let failure = result.unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_INTERNAL);
    assert!(
        failure.message.ends_with("panicked: forced by a test"),
        "{failure:?}"
    );
    assert_eq!(outcome, AbiOutcome::default());

    let failure = export(handle, request).1.unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_INTERNAL);
    assert_eq!(failure.retry_class, O2I_RETRY_CLASS_SHUTDOWN);
    assert!(
        failure.message.contains("poisoned") && failure.message.contains("restart"),
        "{failure:?}"
    );

    let (outcome, result) = export(other, request);
    assert_eq!(result, Ok(()));
    assert_eq!(outcome.rows, 1);

    let failure = close(handle, FOR_EVER).unwrap_err();
    assert_eq!(failure.code, O2I_ERROR_INTERNAL);
    assert!(failure.message.contains("poisoned"), "{failure:?}");
    // Consumed all the same.
    assert_eq!(export(handle, request).1.unwrap_err().code, O2I_ERROR_SHUTDOWN);
    assert_eq!(close(other, FOR_EVER), Ok(()));
}

/// A panic in a call's arguments is before the handle, and harms it not.
#[test]
fn a_panic_before_a_call_enters_its_handle_does_not_poison_it() {
    let (_directory, handle) = opened();
    at(Point::Guard, || panic!("forced by a test"));
    let request = Request::new(O2I_SIGNAL_LOGS, &[], &[]);
    // The place for the outcome is not reached; `export` gives what was there before.
    assert_eq!(export(handle, request).1.unwrap_err().code, O2I_ERROR_INTERNAL);
    assert_eq!(export(handle, request).1, Ok(()));
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

#[test]
fn close_waits_for_a_call_in_flight_and_refuses_new_ones() {
    let (_directory, handle) = opened();
    let (entered, go_on, arm) = hold();
    let ended = AtomicBool::new(false);
    let request = Request::new(O2I_SIGNAL_LOGS, &[], &[]);
    thread::scope(|scope| {
        let in_flight = scope.spawn(|| {
            arm();
            let result = export(handle, request).1;
            ended.store(true, Ordering::SeqCst);
            result
        });
        entered.recv().unwrap();
        let closing = scope.spawn(|| close(handle, FOR_EVER));
        // Once a new call is refused, close has begun.
        let refused = loop {
            if let Err(failure) = export(handle, request).1 {
                break failure;
            }
        };
        assert_eq!(refused.code, O2I_ERROR_SHUTDOWN);
        assert_eq!(refused.retry_class, O2I_RETRY_CLASS_SHUTDOWN);
        assert!(!closing.is_finished(), "close returned with a call in flight");
        drop(go_on);
        assert_eq!(closing.join().unwrap(), Ok(()));
        // Whether the pipeline took it or not is a race; that it ended in one of the two is not.
        if let Err(failure) = in_flight.join().unwrap() {
            assert_eq!(failure.retry_class, O2I_RETRY_CLASS_SHUTDOWN);
        }
    });
}

/// Of calls that follow each other at once, the second would wait an hour for its turn.
#[test]
fn a_hurried_handle_commits_without_waiting_for_its_turn() {
    let directory = TempDir::new().unwrap();
    let config = json!({"catalog": {"warehouse": directory.path()}, "commit": {"interval": "1h"}});
    let handle = open(&config.to_string()).unwrap();
    let payload = otlp::logs(1);
    let store = |sequence| {
        let parts = [part(sequence, payload.len())];
        let (outcome, result) = export(handle, Request::new(O2I_SIGNAL_LOGS, &payload, &parts));
        assert_eq!((result, outcome.rows), (Ok(()), 1));
    };
    store(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store(2));
        // It waits, or is about to: haste is for calls to come as well.
        assert_eq!(begin_shutdown(handle), Ok(()));
        waiting.join().unwrap();
    });
    store(3);
    assert_eq!(close(handle, FOR_EVER), Ok(()));
    assert_eq!(begin_shutdown(handle).unwrap_err().code, O2I_ERROR_SHUTDOWN);
    assert_eq!(
        begin_shutdown(Opened(ptr::null_mut())).unwrap_err().code,
        O2I_ERROR_INVALID_ARGUMENT
    );
}

#[test]
fn a_call_that_outlasts_close_ends_safely() {
    let (_directory, handle) = opened();
    let (entered, go_on, arm) = hold();
    let payload = otlp::logs(1);
    let parts = [part(1, payload.len())];
    let request = Request::new(O2I_SIGNAL_LOGS, &payload, &parts);
    thread::scope(|scope| {
        let in_flight = scope.spawn(|| {
            arm();
            export(handle, request).1
        });
        entered.recv().unwrap();
        let failure = close(handle, 1).unwrap_err();
        assert_eq!(failure.code, O2I_ERROR_SHUTDOWN);
        assert!(failure.message.contains("calls still running: 1"), "{failure:?}");
        drop(go_on);
        // The pipeline had nothing in it and is closed, so the call that comes late is refused.
        let failure = in_flight.join().unwrap().unwrap_err();
        assert_eq!(failure.code, O2I_ERROR_SHUTDOWN);
    });
}

/// Every call has had its answer, so a host need not hear of what is left of the work behind them.
#[test]
fn a_close_without_time_for_the_background_is_no_error() {
    let (_directory, handle) = opened();
    let payload = otlp::logs(1);
    let parts = [part(1, payload.len())];
    let (outcome, result) = export(handle, Request::new(O2I_SIGNAL_LOGS, &payload, &parts));
    assert_eq!((result, outcome.rows), (Ok(()), 1));
    assert_eq!(close(handle, 0), Ok(()));
}

/// Threads export until they are refused. What they were told is stored must be there afterwards, and
/// what they were refused must not.
#[test]
fn exports_on_many_threads_during_close_are_stored_or_refused() {
    const THREADS: u64 = 4;
    let (directory, handle) = opened();
    let payload = otlp::logs(1);
    let next = AtomicU64::new(1);
    let (first_stored, is_stored) = mpsc::channel();

    let mut stored = Vec::new();
    let mut refused = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let first_stored = first_stored.clone();
                let (payload, next) = (&payload, &next);
                scope.spawn(move || {
                    let mut stored = Vec::new();
                    loop {
                        let sequence = next.fetch_add(1, Ordering::SeqCst);
                        let parts = [part(sequence, payload.len())];
                        let request = Request::new(O2I_SIGNAL_LOGS, payload, &parts);
                        match export(handle, request).1 {
                            Ok(()) => stored.push(sequence),
                            Err(failure) => {
                                assert_eq!(failure.code, O2I_ERROR_SHUTDOWN, "{failure:?}");
                                return (stored, sequence);
                            }
                        }
                        first_stored.send(()).unwrap();
                    }
                })
            })
            .collect();
        // Only the threads hold it now: if none of them stores anything, the test fails.
        drop(first_stored);
        is_stored.recv().unwrap();
        assert_eq!(close(handle, FOR_EVER), Ok(()));
        for thread in threads {
            let (own, last) = thread.join().unwrap();
            stored.extend(own);
            refused.push(last);
        }
    });
    assert!(!stored.is_empty());

    let handle = reopen(&directory);
    let held = |sequence: u64| {
        let parts = [part(sequence, payload.len())];
        let (outcome, result) = export(handle, Request::new(O2I_SIGNAL_LOGS, &payload, &parts));
        assert_eq!(result, Ok(()));
        outcome.already_committed == 1
    };
    for sequence in stored {
        assert!(held(sequence), "{sequence} was acknowledged and is lost");
    }
    for sequence in refused {
        assert!(!held(sequence), "{sequence} was refused and is there");
    }
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}

/// Other tests of this process may warn meanwhile, so theirs are passed over.
#[test]
fn a_host_takes_the_warnings_of_the_process() {
    assert_eq!(log_take(0), (O2I_LOG_NONE, String::new()), "it only begins");
    let (_directory, handle) = opened();
    tracing::warn!(target: "test", attempts = 2, "for the host");
    tracing::error!(target: "test", "for somebody");
    let ours = |(_, text): &(i32, String)| text.starts_with("test: ");
    let mut taken: Vec<(i32, String)> = Vec::new();
    while taken.last() != Some(&(O2I_LOG_NONE, String::new())) {
        taken.push(log_take(1000));
    }
    taken.retain(ours);
    assert_eq!(
        taken,
        [
            (O2I_LOG_WARN, "test: for the host attempts=2".to_owned()),
            (O2I_LOG_ERROR, "test: for somebody".to_owned()),
        ]
    );
    assert_eq!(close(handle, FOR_EVER), Ok(()));
}
