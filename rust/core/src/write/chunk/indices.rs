//! The values of a page as indices into its chunk's dictionary.

use super::hybrid::{Hybrid, RUN_MIN, bits};

/// The greatest number of indices for which memory is kept on clearing: a page of lists of a dozen elements, each
/// different from the one before. Parts are six times as large.
const KEPT_NUMBERS_MAX: usize = 1 << 18;
const KEPT_PARTS_MAX: usize = 1 << 15;

/// The greatest number of indices of a repeated list that are cheaper to encode one by one, with their neighbours.
const SINGLE_MAX: usize = 48;

/// Indices as single values, runs and repeated lists. Values that rows share take no time per row.
#[derive(Debug, Default)]
pub(super) struct Indices {
    numbers: Vec<u32>,
    parts: Vec<Part>,
    len: usize,
}

/// The numbers from `start` to `end`, repeated `times` times.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
    times: usize,
}

impl Indices {
    /// The number of indices.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no indices.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends an index.
    #[inline]
    pub fn push(&mut self, index: u32) {
        self.len += 1;
        self.numbers.push(index);
        let end = self.numbers.len();
        match self.parts.last_mut() {
            Some(part) if part.times == 1 => part.end = end,
            _ => self.parts.push(Part {
                start: end - 1,
                end,
                times: 1,
            }),
        }
    }

    /// Appends indices one by one; returns how many.
    #[inline]
    pub fn extend(&mut self, indices: impl Iterator<Item = u32>) -> usize {
        let start = self.numbers.len();
        self.numbers.extend(indices);
        let end = self.numbers.len();
        if end > start {
            self.len += end - start;
            match self.parts.last_mut() {
                Some(part) if part.times == 1 => part.end = end,
                _ => self.parts.push(Part { start, end, times: 1 }),
            }
        }
        end - start
    }

    /// Appends an index `count` times.
    #[inline]
    pub fn push_run(&mut self, index: u32, count: usize) {
        if count < RUN_MIN {
            (0..count).for_each(|_| self.push(index));
        } else {
            self.push_long_run(index, count);
        }
    }

    fn push_long_run(&mut self, index: u32, count: usize) {
        self.len += count;
        if let Some(last) = self.parts.last_mut()
            && last.times > 1
            && self.numbers.get(last.start..last.end) == Some(&[index])
        {
            last.times += count;
            return;
        }
        self.push_part(&[index], count);
    }

    /// Appends a list `times` times.
    #[inline]
    pub fn push_list(&mut self, list: &[u32], times: usize) {
        match list {
            [] => {}
            [index] => self.push_run(*index, times),
            _ if list.len() * times <= SINGLE_MAX => {
                (0..times).for_each(|_| {
                    self.extend(list.iter().copied());
                });
            }
            _ => {
                self.len += list.len() * times;
                self.push_part(list, times);
            }
        }
    }

    /// Appends the last `count` indices again. Returns `false` and appends nothing unless they were appended
    /// one by one or as one list.
    #[inline]
    pub fn repeat_last(&mut self, count: usize) -> bool {
        let Some(part) = self.parts.last_mut() else {
            return false;
        };
        match part.end - part.start {
            len if len == count => part.times += 1,
            len if part.times == 1 && len > count => {
                let end = part.end;
                part.end = end - count;
                self.parts.push(Part {
                    start: end - count,
                    end,
                    times: 2,
                });
            }
            _ => return false,
        }
        self.len += count;
        true
    }

    fn push_part(&mut self, list: &[u32], times: usize) {
        let start = self.numbers.len();
        self.numbers.extend_from_slice(list);
        self.parts.push(Part {
            start,
            end: self.numbers.len(),
            times,
        });
    }

    /// The last indices, if they were appended one by one or as one list.
    pub fn last(&self, count: usize) -> Option<&[u32]> {
        let part = self.parts.last()?;
        let start = part.end.checked_sub(count).filter(|start| *start >= part.start)?;
        let is_last = part.times == 1 || start == part.start;
        is_last.then(|| self.numbers.get(start..part.end))?
    }

    /// Every index that occurs, each at least once.
    pub fn occurring(&self) -> &[u32] {
        &self.numbers
    }

    /// All indices in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.parts.iter().flat_map(|part| {
            let numbers = self.numbers.get(part.start..part.end).unwrap_or_default();
            (0..part.times).flat_map(|_| numbers.iter().copied())
        })
    }

    /// Appends the values of a data page that uses a dictionary of `values` values: the indices' width, then
    /// the indices. Empties `self`.
    pub fn take_encoded(&mut self, values: usize, out: &mut Vec<u8>) {
        let width = bits((values as u32).saturating_sub(1));
        out.push(width);
        let mut hybrid = Hybrid::new(width, out);
        for part in &self.parts {
            let numbers = self.numbers.get(part.start..part.end).unwrap_or_default();
            match part.times {
                1 => hybrid.put_each(numbers),
                times => hybrid.put_list(numbers, times),
            }
        }
        hybrid.finish();
        self.empty();
    }

    fn empty(&mut self) {
        self.numbers.clear();
        self.parts.clear();
        self.len = 0;
    }

    /// Empties it, and keeps its memory unless that is large.
    pub fn clear(&mut self) {
        self.empty();
        self.numbers.shrink_to(KEPT_NUMBERS_MAX);
        self.parts.shrink_to(KEPT_PARTS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::super::hybrid::tests::decode;
    use super::*;

    #[test]
    fn indices_come_back_in_order_however_they_were_appended() {
        let mut indices = Indices::default();
        let mut expected = Vec::new();
        indices.push(7);
        indices.push(3);
        assert_eq!(indices.last(2), Some(&[7, 3][..]));
        expected.extend([7, 3]);
        for (index, count) in [(3, 2), (5, 100), (5, 9), (5, 3), (0, 8)] {
            indices.push_run(index, count);
            expected.extend(vec![index; count]);
        }
        for (list, times) in [
            (vec![1, 2, 9], 1),
            (vec![4, 8, 15, 6], 50),
            (vec![2], 40),
            (vec![], 3),
        ] {
            indices.push_list(&list, times);
            expected.extend(list.repeat(times));
        }
        indices.push(1);
        expected.push(1);
        for list in [vec![8, 1], vec![3, 3, 9]] {
            for index in &list {
                indices.push(*index);
            }
            assert!(!indices.repeat_last(1000));
            assert!((0..30).all(|_| indices.repeat_last(list.len())));
            assert!(!indices.repeat_last(list.len() - 1));
            assert_eq!(indices.last(list.len()), Some(list.as_slice()));
            indices.push(2);
            expected.extend(list.repeat(31));
            expected.push(2);
        }
        assert_eq!(indices.len(), expected.len());
        assert_eq!(indices.iter().collect::<Vec<_>>(), expected);
        assert!(expected.iter().all(|index| indices.occurring().contains(index)));
        let mut bytes = Vec::new();
        indices.take_encoded(16, &mut bytes);
        assert_eq!(bytes[0], 4);
        assert_eq!(decode(&bytes[1..], 4, expected.len()), expected);
        assert!(indices.is_empty());
    }
}
