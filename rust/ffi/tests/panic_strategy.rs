//! A build whose panics end the process is refused.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const REFUSAL: &str = "otlp2iceberg-ffi needs panic = \"unwind\"";

#[test]
fn the_crate_does_not_compile_with_panic_abort() {
    assert!(compiler_says("abort").contains(REFUSAL));
}

#[test]
fn the_crate_is_not_refused_with_panic_unwind() {
    assert!(!compiler_says("unwind").contains(REFUSAL));
}

/// What rustc says of the crate's root alone. Its imports cannot be found that way, in both cases; the
/// refusal comes before that.
fn compiler_says(panic_strategy: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(panic_strategy);
    fs::create_dir_all(&output).expect("the target directory can be written");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
        .arg(format!("-Cpanic={panic_strategy}"))
        .arg("--out-dir")
        .arg(output)
        .arg(root)
        .output()
        .expect("rustc runs");
    assert!(!said.status.success(), "the imports cannot be found");
    String::from_utf8_lossy(&said.stderr).into_owned()
}
