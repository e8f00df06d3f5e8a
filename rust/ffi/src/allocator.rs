//! What ships allocates with mimalloc: it is faster than the system's allocator. A batch is made of a few large
//! blocks that are freed at once, so memory that is freed goes back to the system at once, too: kept for a second, as
//! mimalloc would, it made half as much again of the Collector's memory (`docs/decisions/0016`).

use std::ffi::{c_int, c_long};
use std::sync::Once;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in the enumeration `mi_option_e` of mimalloc.h, versions 2 and 3.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    /// Sets an option, in milliseconds here, unless the environment has (`MIMALLOC_PURGE_DELAY`).
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// Has freed memory given back at once, from the first call on.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: declared so in mimalloc.h, which the crate `mimalloc` links; options may be set at any time.
        unsafe { mi_option_set_default(PURGE_DELAY, 0) }
    });
}
