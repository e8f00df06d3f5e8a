//! The repetition and definition levels of a page's entries.

use super::hybrid::{Hybrid, bits};

/// The greatest number of runs for which memory is kept: a page of lists of different lengths has a run per row.
const KEPT_RUNS_MAX: usize = 1 << 15;

/// Levels, stored as runs and as sequences of lists of one length.
#[derive(Debug, Default)]
pub(super) struct Levels {
    runs: Vec<Run>,
    len: usize,
}

/// `first`, then `others` up to `len` levels in all; the whole repeated `times` times.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    first: u8,
    others: u8,
    len: u32,
    times: u32,
}

impl Run {
    /// Whether all its levels are equal.
    fn is_even(self) -> bool {
        self.first == self.others
    }
}

impl Levels {
    /// Appends a level `count` times.
    #[inline]
    pub fn push(&mut self, level: u8, count: usize) {
        if count == 0 {
            return;
        }
        self.len += count;
        // A page has far fewer than 2^32 levels.
        let count = count as u32;
        match self.runs.last_mut() {
            Some(last) if last.first == level && last.is_even() => last.len += count,
            _ => self.runs.push(Run {
                first: level,
                others: level,
                len: count,
                times: 1,
            }),
        }
    }

    /// Appends the levels of `times` lists of `len` elements, at least one: `first`, then `others`.
    #[inline]
    pub fn push_lists(&mut self, first: u8, others: u8, len: usize, times: usize) {
        if len == 1 || first == others {
            return self.push(first, len * times);
        }
        self.len += len * times;
        let run = Run {
            first,
            others,
            len: len as u32,
            times: times as u32,
        };
        match self.runs.last_mut() {
            Some(last)
                if (Run {
                    times: run.times,
                    ..*last
                }) == run =>
            {
                last.times += run.times;
            }
            _ => self.runs.push(run),
        }
    }

    /// The number of levels.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Removes all levels.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
    }

    /// Returns the memory, emptied, for the levels of another chunk, unless it is large.
    pub fn into_memory(mut self) -> Self {
        self.clear();
        self.runs.shrink_to(KEPT_RUNS_MAX);
        self
    }

    /// Writes them in the format of a data page (version 1), after their length. Empties `self`.
    pub fn take_encoded(&mut self, level_max: u8, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut hybrid = Hybrid::new(bits(level_max.into()), out);
        let mut list = Vec::new();
        for run in &self.runs {
            let (first, others) = (run.first.into(), run.others.into());
            if run.is_even() {
                hybrid.put(first, run.len as usize);
            } else if run.times == 1 {
                hybrid.put(first, 1);
                hybrid.put(others, run.len as usize - 1);
            } else {
                list.clear();
                list.resize(run.len as usize, others);
                if let Some(place) = list.first_mut() {
                    *place = first;
                }
                hybrid.put_list(&list, run.times as usize);
            }
        }
        hybrid.finish();
        let length = (out.len() - at - 4) as u32;
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::hybrid::tests::decode;
    use super::*;

    fn read(levels: &mut Levels) -> Vec<u32> {
        let len = levels.len();
        let mut bytes = Vec::new();
        levels.take_encoded(2, &mut bytes);
        let length = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        assert_eq!(length as usize, bytes.len() - 4);
        assert_eq!(levels.len(), 0);
        decode(&bytes[4..], 2, len)
    }

    #[test]
    fn runs_come_back_after_their_length() {
        let runs = [(1, 3), (1, 90), (0, 1), (2, 4), (0, 8), (1, 1), (2, 7), (2, 200)];
        let mut levels = Levels::default();
        let mut expected = Vec::new();
        for (level, count) in runs {
            levels.push(level, count);
            expected.extend(std::iter::repeat_n(u32::from(level), count));
        }
        assert_eq!(levels.len(), expected.len());
        assert_eq!(read(&mut levels), expected);
    }

    #[test]
    fn lists_come_back_however_they_follow_each_other() {
        let mut levels = Levels::default();
        let mut expected = Vec::new();
        let lists = [
            (0, 5, 1),
            (0, 5, 700),
            (0, 5, 3),
            (1, 1, 9),
            (0, 40, 2),
            (2, 2, 50),
            (0, 100, 30),
            (0, 1, 77),
        ];
        for (first, len, times) in lists {
            levels.push_lists(first, 2, len, times);
            for _ in 0..times {
                expected.push(u32::from(first));
                expected.extend(std::iter::repeat_n(2, len - 1));
            }
        }
        assert_eq!(levels.len(), expected.len());
        assert_eq!(read(&mut levels), expected);
        assert_eq!(levels.runs, []);
    }
}
