//! The minimum and the maximum text of a page.

/// Two texts with their first bytes, which decide nearly all comparisons.
#[derive(Debug, Default)]
pub(super) struct TextRange {
    least: Vec<u8>,
    greatest: Vec<u8>,
    least_start: u64,
    greatest_start: u64,
    is_set: bool,
}

impl TextRange {
    /// Extends the range by a text.
    #[inline]
    pub fn widen(&mut self, text: &[u8]) {
        let start = start(text);
        if self.is_set && self.least_start < start && start < self.greatest_start {
            return;
        }
        self.widen_by(text, start);
    }

    fn widen_by(&mut self, text: &[u8], start: u64) {
        if !self.is_set || text < self.least.as_slice() {
            text.clone_into(&mut self.least);
            self.least_start = start;
        }
        if !self.is_set || text > self.greatest.as_slice() {
            text.clone_into(&mut self.greatest);
            self.greatest_start = start;
        }
        self.is_set = true;
    }

    /// The minimum and the maximum since the last call.
    pub fn take(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let Self {
            least,
            greatest,
            is_set,
            ..
        } = std::mem::take(self);
        is_set.then_some((least, greatest))
    }
}

/// A number from the first eight bytes. A text with a smaller number is less than one with a greater number;
/// equal numbers decide nothing.
#[inline]
fn start(text: &[u8]) -> u64 {
    u64::from_be_bytes(first_bytes(text))
}

/// The first eight bytes, padded with zeros.
#[inline]
pub(super) fn first_bytes(text: &[u8]) -> [u8; 8] {
    if let Some(first) = text.first_chunk() {
        return *first;
    }
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(text) {
        *to = *from;
    }
    first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_range_of_all_texts(
            texts in prop::collection::vec(prop_oneof!["[ab\u{0}]{0,10}", "a{7}[ab\u{0}]{0,4}", ".{0,12}"], 0..20),
        ) {
            let mut range = TextRange::default();
            for text in &texts {
                range.widen(text.as_bytes());
            }
            let expected = texts.iter().min().zip(texts.iter().max());
            let expected = expected.map(|(least, greatest)| (least.clone().into_bytes(), greatest.clone().into_bytes()));
            prop_assert_eq!(range.take(), expected);
            prop_assert_eq!(range.take(), None);
        }
    }
}
