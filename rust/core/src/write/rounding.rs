//! Ends of a range that are rounded outwards, so that the range still holds all of its values.

/// Sets the signs of a range's zeros so that it holds both zeros.
pub(super) fn with_zeros(least: f64, greatest: f64) -> (f64, f64) {
    (
        if least == 0.0 { -0.0 } else { least },
        if greatest == 0.0 { 0.0 } else { greatest },
    )
}

/// The least text that is above all texts with this prefix and not longer than it: the last code point that
/// can be incremented is incremented by one.
pub(super) fn raised(beginning: &str) -> Option<String> {
    let mut raised = beginning.to_owned();
    while let Some(last) = raised.pop() {
        if let Some(next) = next_code_point(last) {
            raised.push(next);
            return Some(raised);
        }
    }
    None
}

/// The next Unicode scalar value; surrogates are skipped.
fn next_code_point(code_point: char) -> Option<char> {
    match code_point {
        '\u{D7FF}' => Some('\u{E000}'),
        other => char::from_u32(u32::from(other) + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_ends_take_the_sign_that_covers_both() {
        for (least, greatest, expected) in [
            (0.0, 0.0, (-0.0, 0.0)),
            (0.0, -0.0, (-0.0, 0.0)),
            (-1.5, 2.5, (-1.5, 2.5)),
        ] {
            let bits = |(least, greatest): (f64, f64)| (least.to_bits(), greatest.to_bits());
            assert_eq!(
                bits(with_zeros(least, greatest)),
                bits(expected),
                "{least} to {greatest}"
            );
        }
    }

    #[test]
    fn raising_skips_surrogates_and_carries_over_the_last_code_point() {
        assert_eq!(raised("ab\u{D7FF}").as_deref(), Some("ab\u{E000}"));
        assert_eq!(raised("ab\u{10FFFF}").as_deref(), Some("ac"));
        assert_eq!(raised("\u{10FFFF}\u{10FFFF}"), None);
        assert_eq!(raised(""), None);
    }
}
