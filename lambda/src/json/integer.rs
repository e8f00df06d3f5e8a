//! Reads 64-bit signed integers, also those beyond the range: JavaScript's numbers and Python's integers have
//! no such bounds, and their SDKs write what they are given.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use super::messages::Field;
use super::unexpected;

/// The most digits that an exponent is written out to, which are those of the greatest double. What is longer
/// stays as it was sent.
const DIGITS_MAX: usize = 309;

/// A whole number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Integer {
    Fits(i64),
    /// Its decimal digits.
    Outside(String),
}

impl Integer {
    /// Reads a number or a string; `None` when it is `null`. The digits are taken from the text, because a
    /// parser of JSON makes a double of a number that it has no integer for.
    pub(super) fn read<'de, D: Deserializer<'de>>(
        json: D,
        field: &'static Field,
    ) -> Result<Option<Self>, D::Error> {
        let raw: &'de RawValue = Deserialize::deserialize(json)?;
        let raw = raw.get();
        if raw == "null" {
            return Ok(None);
        }
        let text = match raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            None => Cow::Borrowed(raw),
            // Nobody escapes digits, but JSON allows it.
            Some(text) if text.contains('\\') => {
                Cow::Owned(serde_json::from_str::<String>(raw).map_err(D::Error::custom)?)
            }
            Some(text) => Cow::Borrowed(text),
        };
        Self::of_text(&text).map(Some).ok_or_else(|| {
            D::Error::custom(format_args!(
                "invalid value: {}, expected a 64-bit integer, as a number or a string for {}",
                unexpected::raw(raw),
                field.json
            ))
        })
    }

    fn of_text(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse() {
            return Some(Integer::Fits(value));
        }
        let digits = digits(text)?;
        Some(match digits.parse() {
            Ok(value) => Integer::Fits(value),
            Err(_) => Integer::Outside(digits),
        })
    }
}

/// The decimal digits of a number in any form (`1e3`, `1.0`); `None` if it is not whole, or no number.
fn digits(text: &str) -> Option<String> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", text),
    };
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent: i64 = exponent.parse().ok()?;
    let significant = all.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".into());
    }
    // How many of the digits are before the point. Zeros are added at the end up to there.
    let length = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let zeros = usize::try_from(length).ok()?.checked_sub(significant.len())?;
    if zeros > 0 && significant.len() + zeros > DIGITS_MAX.max(text.len()) {
        return Some(text.to_owned());
    }
    let digits = [significant, &"0".repeat(zeros)].concat();
    Some([sign, digits.trim_start_matches('0')].concat())
}
