//! Forced panics for this crate's tests. Without the feature `test-hooks` it is all empty.

/// A place in a call where a test can make it panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// In the guard, before the call's own code.
    Guard,
    /// After the call has entered an open handle.
    Handle,
}

#[cfg(feature = "test-hooks")]
mod armed {
    use std::cell::Cell;

    use super::Point;

    thread_local! {
        static ARMED: Cell<Option<Point>> = const { Cell::new(None) };
    }

    /// Makes the next call on this thread that comes to `point` panic there, once.
    pub fn panic_at(point: Point) {
        ARMED.set(Some(point));
    }

    pub(crate) fn reach(point: Point) {
        if ARMED.get() == Some(point) {
            ARMED.set(None);
            panic!("forced by a test");
        }
    }
}

#[cfg(feature = "test-hooks")]
pub use armed::panic_at;
#[cfg(feature = "test-hooks")]
pub(crate) use armed::reach;

/// Does nothing in what ships.
#[cfg(not(feature = "test-hooks"))]
pub(crate) fn reach(_: Point) {}
