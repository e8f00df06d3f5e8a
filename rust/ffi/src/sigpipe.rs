//! Keeps a closed connection from ending the host's process.
//!
//! A write to a connection that the other side has closed raises SIGPIPE, unless it is made with
//! `MSG_NOSIGNAL`, which the standard library's vectored writes are not. A Rust program ignores the signal from its
//! start on; a library in another program does not. In a Go program the signal ends the process, if it comes
//! on a thread that Go did not start (`os/signal`, "Go programs that use cgo or SWIG"). Where the signal is
//! blocked, the write fails with an error only, as every caller expects.

/// Blocks SIGPIPE on this thread, and on those that it starts. The other threads of the host stay as they are.
#[cfg(not(miri))]
pub(crate) fn block() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set, the other calls read it, and null asks for no old set. They can
    // fail only for numbers that are no signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Does nothing: Miri has no signals.
#[cfg(miri)]
pub(crate) fn block() {}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::mem::MaybeUninit;
    use std::thread;

    use super::*;

    fn is_blocked() -> bool {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: null asks for no change, and the call initialises the set.
        unsafe {
            assert_eq!(
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set.as_mut_ptr()),
                0
            );
            libc::sigismember(set.as_ptr(), libc::SIGPIPE) == 1
        }
    }

    #[test]
    fn the_signal_is_blocked_on_this_thread_and_those_that_it_starts() {
        let blocked = thread::spawn(|| {
            assert!(!is_blocked());
            block();
            let started = thread::spawn(is_blocked).join().unwrap();
            [is_blocked(), started]
        });
        assert_eq!(blocked.join().unwrap(), [true, true]);
        assert!(
            !thread::spawn(is_blocked).join().unwrap(),
            "no other thread is affected"
        );
    }
}
