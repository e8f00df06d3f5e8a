//! Points in a call where this crate's tests can intervene: to make it panic, or to hold it there. Without
//! the feature `test-hooks` it is empty.

/// A point in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// In the guard, before the call's own code.
    Guard,
    /// In `o2i_export`, after it has entered an open handle.
    Handle,
}

#[cfg(feature = "test-hooks")]
mod armed {
    use std::cell::RefCell;

    use super::Point;

    type Action = Box<dyn FnOnce()>;

    thread_local! {
        static ARMED: RefCell<Option<(Point, Action)>> = const { RefCell::new(None) };
    }

    /// Makes the next call on this thread that reaches `point` run `action` there, once.
    pub fn at(point: Point, action: impl FnOnce() + 'static) {
        ARMED.set(Some((point, Box::new(action))));
    }

    pub(crate) fn reach(point: Point) {
        let action =
            ARMED.with_borrow_mut(|armed| armed.take_if(|(at, _)| *at == point).map(|(_, action)| action));
        if let Some(action) = action {
            action();
        }
    }
}

#[cfg(feature = "test-hooks")]
pub use armed::at;
#[cfg(feature = "test-hooks")]
pub(crate) use armed::reach;

/// Does nothing in release builds.
#[cfg(not(feature = "test-hooks"))]
pub(crate) fn reach(_: Point) {}
