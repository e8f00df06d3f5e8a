//! Files replace others: the same rows, in one snapshot. The old files are deleted when no snapshot has them.

mod kept_files;
mod manifests;
mod races;
mod support;
