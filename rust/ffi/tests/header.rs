//! The committed header is what the sources say.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The sources with exports, in the order in which the header tells them.
const SOURCES: [&str; 8] = [
    "abi", "error", "config", "handle", "cancel", "batch", "export", "logging",
];

#[test]
fn the_committed_header_is_fresh() {
    let generated = generate();
    let path = committed();
    if env::var_os("UPDATE_HEADER").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    assert!(
        committed == generated,
        "{} is stale; run: UPDATE_HEADER=1 cargo test -p otlp2iceberg-ffi --test header",
        path.display()
    );
}

#[test]
fn every_exported_function_is_in_the_header() {
    let header = generate();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut exported = 0;
    for entry in fs::read_dir(sources).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for after in text.split("#[unsafe(no_mangle)]").skip(1) {
            let name = after.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            assert!(
                header.contains(&format!("{name}(")),
                "{name} is exported but not in the header; is its file in SOURCES?"
            );
            exported += 1;
        }
    }
    assert_eq!(exported, 20);
}

/// The header as text. Reads single files, so that it needs neither cargo nor the network.
fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let builder = SOURCES
        .iter()
        .fold(cbindgen::Builder::new().with_config(config), |builder, name| {
            builder.with_src(root.join("src").join(name).with_extension("rs"))
        });
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../collector-exporter/internal/native/otlp2iceberg.h")
}
