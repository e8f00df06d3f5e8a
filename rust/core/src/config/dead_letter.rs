//! `dead_letter`: where rejected data is stored.

use serde::Deserialize;

use super::place::WANTED;
use super::secret::shown;
use super::{bucket, place};

/// `dead_letter`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterConfig {
    /// A directory, a `file:` URL or an `s3://` URL. Default: none, rejected data is only counted.
    pub path: Option<String>,
    /// An object is closed before its records exceed this many bytes. Default 16 MiB, which a Collector's
    /// OTLP/HTTP receiver accepts (20 MiB by default). Records of a large resource, scope or metric stay
    /// together.
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

/// Adds the problems of `dead_letter`, each with its key.
pub(super) fn problems(dead_letter: &DeadLetterConfig, problems: &mut Vec<String>) {
    if let Some(path) = &dead_letter.path
        && let Some(problem) = problem(path)
    {
        problems.push(format!(
            "dead_letter.path: {:?} {problem}; give {WANTED}",
            shown(path)
        ));
    }
    if dead_letter.object_bytes_max < 1 << 10 {
        problems.push("dead_letter.object_bytes_max: must be at least 1024 bytes (1 KiB)".into());
    }
}

fn problem(path: &str) -> Option<&'static str> {
    if bucket::on_s3(path).is_some() {
        return bucket::problem(path);
    }
    match place::local(path) {
        Ok(local) if local.contains("://") || local.trim().is_empty() || local.starts_with('~') => {
            Some("is no place for files")
        }
        Ok(_) => None,
        Err(problem) => Some(problem),
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
            "file:/dead",
            "s3://bucket/dead",
            "s3a://bucket",
        ] {
            assert_eq!(problem(path), None, "{path}");
        }
        for path in [
            "",
            " ",
            "~/dead",
            "file://dead",
            "file:dead",
            "s3:/dead/otel",
            "s3://",
            "s3:///dead",
            "gs://bucket",
            "s3://my bucket/dead",
            "s3://bucket//dead",
        ] {
            assert!(problem(path).is_some(), "{path}");
        }
    }
}
