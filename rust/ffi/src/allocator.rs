//! What ships allocates with mimalloc: it is faster than the system's allocator. A batch is made of a few large
//! blocks that are freed at once, so memory that is freed goes back to the system at once, too: kept for a second, as
//! mimalloc would, it made half as much again of the Collector's memory. And it comes in pages of 4 KiB: where the system gives
//! huge ones to those who ask, as mimalloc would, 2 MiB are cleared for a block that needs some of them, and go back with it
//! (`docs/decisions/0016`).

use std::ffi::{c_int, c_long};
use std::sync::Once;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in the enumeration `mi_option_e` of mimalloc.h, versions 2 and 3.
const PURGE_DELAY: c_int = 15;
/// `mi_option_allow_thp` there, version 3.
const ALLOW_THP: c_int = 43;

unsafe extern "C" {
    /// Sets an option, unless the environment has (`MIMALLOC_PURGE_DELAY`, in milliseconds; `MIMALLOC_ALLOW_THP`).
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// Has memory come in small pages, and go back at once when it is freed. Every call of a host sets this up first, before
/// anything is allocated.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: declared so in mimalloc.h, which the crate `mimalloc` links; options may be set at any time.
        unsafe {
            mi_option_set_default(PURGE_DELAY, 0);
            mi_option_set_default(ALLOW_THP, 0);
        }
    });
}
