//! Local files, written atomically and fsynced.
