//! The C interface of otlp2iceberg: the functions that a host written in Go, C or another language calls.
//!
//! The header is `collector-exporter/internal/native/otlp2iceberg.h`. It is generated from this crate, and
//! `tests/header.rs` checks that it is current (`UPDATE_HEADER=1 cargo test -p otlp2iceberg-ffi --test
//! header` regenerates it).
//!
//! # Modules
//!
//! | module | holds |
//! |---|---|
//! | [`abi`] | the structs and numbers that both sides share, and the calls that compare them |
//! | [`config`] | `o2i_config_check` |
//! | [`handle`] | `o2i_open`, `o2i_begin_shutdown`, `o2i_close`, and the register of open handles |
//! | [`batch`] | `o2i_batch_*`: requests that the library holds for the host |
//! | [`export`] | `o2i_export`, `o2i_batch_export` |
//! | [`cancel`] | `o2i_cancel_new`, `o2i_cancel_trigger`, `o2i_cancel_free` |
//! | [`error`] | `o2i_error`, its making and `o2i_error_free` |
//! | [`logging`] | warnings of the process's `tracing`: `o2i_log_take`, or lines on stderr |
//! | `instance` | what stands behind a handle: pipeline, runtime, calls in flight |
//! | `allocator` | mimalloc, with the feature of its name |
//! | `sigpipe` | SIGPIPE does not end the host |
//! | `guard` | the one way into every call: panics become errors |
//! | `borrow` | pointer and length pairs become slices, or an error |
//!
//! # Design: main assumptions
//!
//! Everything `unsafe` in the project is in this crate, and it is sound under these assumptions.
//!
//! * **Callers follow three terms.** *Borrowed*: the caller's memory, read during the call and never kept.
//!   *Owned*: the caller must return it to the named free function. *Consumed*: the caller must not use it
//!   again, whatever the call returns.
//! * **A pointer with a length above 0 points to that many readable, initialised, aligned elements** that
//!   nothing writes to during the call. A null pointer with length 0 is an empty slice. Null with another
//!   length, or a misaligned pointer, returns an error; any other violation is undefined behaviour, as in C.
//! * **A location for a result is writable and aligned** or null. It may hold anything before the call: it is
//!   written, never read.
//! * **A handle is never dereferenced.** It is a key in a registry inside the library, so a call that races
//!   with `o2i_close` on another thread gets an error instead of freed memory.
//! * **A batch is used by one call at a time**, and not after it was freed. The first is checked: each call
//!   takes the batch's lock or gets an error. The second cannot be checked.
//! * **No panic crosses the boundary.** Each export runs inside `guard`. A panic poisons the handle of its
//!   call, which then rejects further work. This needs unwinding, so `panic = "abort"` does not compile.
//! * **One allocator on each side.** The library frees what it allocates: the caller never passes these
//!   pointers to `free`.
//! * **No thread of ours calls into the host.** There are no callbacks; `o2i_export` does its work on
//!   the calling thread and on the handle's own Tokio runtime, so a payload stays borrowed.
//! * **No call comes from a thread inside a Tokio runtime**: it could not wait there. Such a call ends in a
//!   caught panic.
//! * **SIGPIPE does not end the process when it comes on a thread of the host**, which connections may be made on.
//!   So it is in Go; a C program ignores the signal. The library blocks it on its own threads.
//! * **The process does not fork** between `o2i_open` and `o2i_close`; threads do not survive a fork.
//!
//! `tests/miri.rs` says which of these assumptions Miri checks.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![deny(missing_docs)]

#[cfg(panic = "abort")]
compile_error!(
    "otlp2iceberg-ffi needs panic = \"unwind\": a panic must become an error in the host, not its end"
);

pub mod abi;
#[cfg(feature = "mimalloc")]
mod allocator;
pub mod batch;
mod borrow;
pub mod cancel;
pub mod config;
pub mod error;
pub mod export;
mod guard;
pub mod handle;
mod instance;
pub mod logging;
mod sigpipe;
#[doc(hidden)]
pub mod test_hooks;
