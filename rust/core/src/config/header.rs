//! Values of HTTP headers.

use reqwest::header::HeaderValue;

/// Adds a problem when the value is invalid in a header; the value is not repeated.
pub(super) fn problem(problems: &mut Vec<String>, key: &str, value: &str) {
    if !can_carry(value) {
        problems.push(format!(
            "{key}: holds characters that no header can carry, such as a line break"
        ));
    }
}

/// Whether the value is valid in a header.
pub(crate) fn can_carry(value: &str) -> bool {
    HeaderValue::from_str(value).is_ok()
}
