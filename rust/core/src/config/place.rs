//! Locations of local files, in the forms that users write.

/// The accepted locations, for error messages.
pub(super) const WANTED: &str = "a directory, file:///<absolute path> or s3://<bucket>/<prefix>";

/// The path in `/path`, `./path`, `file:///path` or `file:/path`, the form of Hadoop and Spark. Not for
/// `s3://` and `s3a://`.
///
/// # Errors
/// The problem of the location. An incomplete URL is not treated as a folder of that name, because users
/// would not look for their files there.
pub(crate) fn local(place: &str) -> Result<&str, &'static str> {
    match place.split_once(':') {
        Some(("file", rest)) => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let is_absolute = path.starts_with('/');
            is_absolute.then_some(path).ok_or("names no absolute path")
        }
        Some(("s3" | "s3a", _)) => Err("lacks the two slashes of s3://"),
        _ => Ok(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_path_or_refused_and_never_a_folder_of_its_name() {
        for (place, path) in [
            ("./warehouse", "./warehouse"),
            ("/w", "/w"),
            ("a:b", "a:b"),
            ("./file:/w", "./file:/w"),
            ("file:/w x", "/w x"),
            ("file:///w", "/w"),
        ] {
            assert_eq!(local(place), Ok(path), "{place}");
        }
        for place in ["file:w", "file:", "file://", "file://w", "file://host/w"] {
            assert_eq!(local(place), Err("names no absolute path"), "{place}");
        }
        for place in ["s3:/bucket/w", "s3:bucket", "s3a:/bucket/w"] {
            assert_eq!(local(place), Err("lacks the two slashes of s3://"), "{place}");
        }
    }
}
