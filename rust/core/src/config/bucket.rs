//! Bucket names, which become part of URLs.

/// The problem of an `s3://` or `s3a://` location; `None` for other locations, too.
pub(super) fn problem(location: &str) -> Option<&'static str> {
    let rest = on_s3(location)?;
    let bucket = rest.split('/').next().unwrap_or_default();
    if bucket.is_empty() {
        Some("names no bucket")
    } else if !is_name(bucket) {
        Some("has a bucket with characters that no bucket's name has")
    } else if bucket.ends_with("--x-s3") {
        Some("is in a directory bucket (S3 Express One Zone), which this program cannot use")
    } else if rest.trim_end_matches('/').contains("//") {
        Some("has two slashes in a row, of which programs make different keys")
    } else {
        None
    }
}

/// The part of an S3 location after its scheme: the bucket, and usually a slash and a key. `None` for other
/// locations.
pub(crate) fn on_s3(location: &str) -> Option<&str> {
    ["s3://", "s3a://"]
        .iter()
        .find_map(|scheme| location.strip_prefix(scheme))
}

/// Whether a bucket or a region may have this name. S3-compatible services allow more than AWS: capitals and
/// underscores.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_part_of_a_host_name_or_nearly_one() {
        for location in [
            "s3://bucket",
            "s3a://my.Bucket_1/otel",
            "s3://bucket/otel/",
            "s3://bucket//",
            "./warehouse",
            "file:///w x",
            "a name",
        ] {
            assert_eq!(problem(location), None, "{location}");
        }
        for location in ["s3://", "s3:///otel", "s3a:///"] {
            assert_eq!(problem(location), Some("names no bucket"), "{location}");
        }
        for location in [
            "s3://bad bucket/wh",
            "s3://b_ü/",
            "s3://b:9/wh",
            "s3://b\n/wh",
            "s3://b@c/",
            "s3://b?c",
        ] {
            assert!(problem(location).is_some(), "{location}");
        }
        for location in ["s3://lake--euw1-az1--x-s3", "s3a://lake--euw1-az1--x-s3/otel"] {
            let problem = problem(location).unwrap_or_default();
            assert!(problem.contains("directory bucket"), "{location}: {problem}");
        }
        assert_eq!(problem("s3://lake/a--x-s3"), None);
        for location in ["s3://bucket//otel", "s3a://bucket//otel/", "s3://bucket/a//b"] {
            let problem = problem(location).unwrap_or_default();
            assert!(problem.contains("two slashes"), "{location}: {problem}");
        }
    }
}
