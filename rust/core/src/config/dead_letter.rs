//! `dead_letter`: where rejected data is kept.

use serde::Deserialize;

use super::bucket;
use super::secret::shown;

/// `dead_letter`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterConfig {
    /// A directory, a `file:` URL or an `s3://` URL. Default: none, rejected data is only counted.
    pub path: Option<String>,
    /// An object is closed before its records pass this many bytes. Default 16 MiB, which a Collector's
    /// OTLP/HTTP receiver takes (20 MiB by default).
    pub object_bytes_max: usize,
}

impl Default for DeadLetterConfig {
    fn default() -> Self {
        Self {
            path: None,
            object_bytes_max: 16 << 20,
        }
    }
}

/// Adds what is wrong with `dead_letter`, each with its key.
pub(super) fn problems(dead_letter: &DeadLetterConfig, problems: &mut Vec<String>) {
    if let Some(path) = &dead_letter.path
        && !is_place(path)
    {
        let problem = bucket::problem(path).unwrap_or("is no place for files");
        problems.push(format!(
            "dead_letter.path: {:?} {problem}; give a directory, file:///<absolute path> or s3://<bucket>/<prefix>",
            shown(path)
        ));
    }
    if dead_letter.object_bytes_max < 1 << 10 {
        problems.push("dead_letter.object_bytes_max: must be at least 1024 bytes (1 KiB)".into());
    }
}

fn is_place(path: &str) -> bool {
    match path.split_once("://") {
        Some(("s3" | "s3a", _)) => bucket::problem(path).is_none(),
        Some(("file", place)) => place.starts_with('/'),
        Some(_) => false,
        None => !path.trim().is_empty() && !path.starts_with('~'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_or_a_bucket() {
        for path in [
            "./dead",
            "/var/lib/dead",
            "file:///dead",
            "s3://bucket/dead",
            "s3a://bucket",
        ] {
            assert!(is_place(path), "{path}");
        }
        for path in [
            "",
            " ",
            "~/dead",
            "file://dead",
            "s3://",
            "s3:///dead",
            "gs://bucket",
            "s3://my bucket/dead",
            "s3://bucket//dead",
        ] {
            assert!(!is_place(path), "{path}");
        }
    }
}
