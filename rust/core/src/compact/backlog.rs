//! Notices when a table's small files come faster than they are merged.

/// A table is behind after this number of rounds in a row that left work over.
const ROUNDS: u32 = 10;

/// What the last rounds left over of one table.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Number of rounds in a row that left files over.
    rounds: u32,
    /// How many files the first of the last [`ROUNDS`] left over.
    at_first: u64,
    is_told: bool,
}

impl Backlog {
    /// Records how many files a round left that could have been merged. Returns whether this is news: the table is
    /// behind and does not catch up, and this was not said since it last had caught up.
    pub(crate) fn is_news(&mut self, left: u64) -> bool {
        if left == 0 {
            *self = Self::default();
            return false;
        }
        if self.rounds.is_multiple_of(ROUNDS) {
            self.at_first = left;
        }
        self.rounds = self.rounds.saturating_add(1);
        let is_news = !self.is_told && self.rounds.is_multiple_of(ROUNDS) && left >= self.at_first;
        self.is_told |= is_news;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rounds after which there was news, counted from 1.
    fn news(left: impl IntoIterator<Item = u64>) -> Vec<usize> {
        let mut backlog = Backlog::default();
        let told = left.into_iter().map(|left| backlog.is_news(left));
        let told: Vec<bool> = told.collect();
        (1..)
            .zip(told)
            .filter_map(|(round, is_news)| is_news.then_some(round))
            .collect()
    }

    #[test]
    fn a_table_that_falls_behind_is_told_once_until_it_catches_up() {
        assert_eq!(news(1..=30), [10]);
        assert_eq!(news([5; 30]), [10]);
        let caught_up_between = (1..=12).chain([0]).chain(1..=12);
        assert_eq!(news(caught_up_between), [10, 23]);
    }

    #[test]
    fn one_that_stops_catching_up_is_told() {
        assert_eq!(news([90].into_iter().chain([5; 30])), [20]);
    }

    #[test]
    fn one_that_catches_up_is_not() {
        assert!(news((1..=30).rev()).is_empty());
        assert!(news([3; 9].into_iter().chain([0]).chain([3; 9])).is_empty());
    }
}
