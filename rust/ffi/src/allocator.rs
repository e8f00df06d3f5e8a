//! Release builds allocate with mimalloc, which is faster than the system's allocator. A batch consists of a
//! few large blocks that are freed together. Freed memory is therefore returned to the system at once:
//! mimalloc's default keeps it for a second, which increased the Collector's memory by half. Memory comes in
//! pages of 4 KiB. mimalloc's default requests huge pages where the system allows it: 2 MiB would then be
//! cleared for a block that needs part of them, and released with it (`docs/decisions/0016`).

use std::ffi::{c_int, c_long};
use std::sync::Once;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in the enumeration `mi_option_e` of mimalloc.h, versions 2 and 3.
const PURGE_DELAY: c_int = 15;
/// `mi_option_allow_thp` there, version 3.
const ALLOW_THP: c_int = 43;

unsafe extern "C" {
    /// Sets an option, unless the environment sets it (`MIMALLOC_PURGE_DELAY`, in milliseconds;
    /// `MIMALLOC_ALLOW_THP`).
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// Sets small pages and the immediate return of freed memory. Every call of a host runs this first, before
/// anything is allocated.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: declared so in mimalloc.h, which the crate `mimalloc` links; options may be set at any
        // time.
        unsafe {
            mi_option_set_default(PURGE_DELAY, 0);
            mi_option_set_default(ALLOW_THP, 0);
        }
    });
}
