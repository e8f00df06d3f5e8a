//! What is known of a table's files beyond their manifests, from earlier attempts to merge them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::choice::{Candidate, Merge};
use super::listing::Listed;
use crate::error::{Error, ErrorKind};
use crate::write::{Columns, Join};

/// By the files' locations.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Files that cannot be merged with others: other programs wrote them, or they cannot be read.
    excluded: HashSet<String>,
    /// Files that storage did not return once: archived, forbidden or deleted ones, or after an outage any.
    unread: HashSet<String>,
    /// Files that can only be merged with files of the same columns: mostly those from before the table got a
    /// column.
    columns: HashMap<String, Columns>,
}

impl Known {
    /// Those of a table's files that may be merged. Forgets files that the table no longer has.
    ///
    /// Files that are listed more than once are left out. A request that was sent again after it left the
    /// deduplication window is in the table twice, with one file. It would be unclear which of the two entries a
    /// snapshot removes.
    pub(super) fn candidates(&mut self, files: &[Arc<Listed>]) -> Vec<Candidate> {
        let mut listed: HashMap<&str, u32> = HashMap::with_capacity(files.len());
        for file in files {
            *listed.entry(file.path.as_str()).or_default() += 1;
        }
        self.excluded.retain(|path| listed.contains_key(path.as_str()));
        self.unread.retain(|path| listed.contains_key(path.as_str()));
        self.columns.retain(|path, _| listed.contains_key(path.as_str()));
        files
            .iter()
            .filter(|file| listed.get(file.path.as_str()) == Some(&1) && !self.excluded.contains(&file.path))
            .map(|file| Candidate {
                file: Arc::clone(file),
                columns: self.columns.get(&file.path).copied(),
            })
            .collect()
    }

    /// Remembers the columns of new files that differ from those of newer files.
    pub(super) fn add_columns(&mut self, columns: Vec<(String, Columns)>) {
        self.columns.extend(columns);
    }

    /// Prevents files of a merge that were not joined from being chosen with the same files again.
    pub(super) fn learn(&mut self, merge: &Merge, join: &Join) {
        let taken = join.joined.as_ref().map_or(&[][..], |joined| &joined.taken);
        let left: Vec<(usize, &Arc<Listed>)> = merge
            .files
            .iter()
            .enumerate()
            .filter(|(place, _)| !taken.contains(place))
            .collect();
        // Otherwise the same files would be chosen again without being joined.
        let mut is_stuck = join.joined.is_none() && join.unfit.is_empty();
        for (place, file) in &left {
            let others = join.other_columns.iter().find(|(other, _)| other == place);
            if let Some((_, columns)) = others {
                is_stuck &= merge.columns == Some(*columns);
                self.columns.insert(file.path.clone(), *columns);
            }
        }
        let unfit = left
            .into_iter()
            .filter(|(place, _)| is_stuck || join.unfit.contains(place));
        self.excluded.extend(unfit.map(|(_, file)| file.path.clone()));
    }

    /// Excludes files of a merge of which one cannot be read by anybody, or not be joined by us, so that it does
    /// not block the table's other files. If the error does not name the file, all of the merge's are excluded.
    ///
    /// A file that storage does not return is excluded at the second failure, and only if the error names it.
    /// So an outage costs at most one file in two rounds.
    pub(super) fn exclude_broken(&mut self, merge: &Merge, error: &Error) {
        let named = error.context("path");
        let named = named.filter(|path| merge.files.iter().any(|file| file.path == *path));
        let is_broken = match (error.kind(), named) {
            (ErrorKind::Decode | ErrorKind::Internal, _) => true,
            (ErrorKind::Storage, Some(path)) => !self.unread.insert(path.to_owned()),
            _ => false,
        };
        if !is_broken {
            return;
        }
        let paths = merge.files.iter().map(|file| &file.path);
        let broken = paths.filter(|path| named.is_none_or(|named| named == path.as_str()));
        self.excluded.extend(broken.cloned());
    }
}

#[cfg(test)]
mod tests {
    use iceberg::spec::Struct;

    use super::*;

    fn listed(path: &str, sequence_number: i64) -> Arc<Listed> {
        Arc::new(Listed {
            path: path.to_owned(),
            bytes: 1,
            partition: Struct::empty(),
            sequence_number,
            manifest: Arc::from("m"),
        })
    }

    fn merge<const N: usize>(paths: [&str; N]) -> Merge {
        let files = (1..).zip(paths).map(|(number, path)| listed(path, number));
        Merge {
            files: files.collect(),
            columns: None,
        }
    }

    /// Whatever the result of a join, the same files are not chosen in the same way again.
    #[test]
    fn files_that_were_not_joined_are_told_apart() {
        let [columns, others] = [Columns::of_test(1), Columns::of_test(2)];
        let join = |other_columns: &[(usize, Columns)], unfit: &[usize]| Join {
            joined: None,
            other_columns: other_columns.to_vec(),
            unfit: unfit.to_vec(),
        };
        let mut known = Known::default();
        let all = merge(["a", "b", "c"]);
        let columns_of = |known: &mut Known| {
            let files = known.candidates(&all.files).into_iter();
            files
                .map(|candidate| (candidate.file.path.clone(), candidate.columns))
                .collect::<Vec<_>>()
        };
        known.learn(&all, &join(&[(0, columns), (1, others)], &[]));
        let [a, b, c] = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            columns_of(&mut known),
            [(a, Some(columns)), (b, Some(others)), (c.clone(), None)]
        );
        known.learn(&all, &join(&[], &[0, 1]));
        assert_eq!(columns_of(&mut known), [(c, None)]);
        // The join gives no reason for any file.
        known.learn(&all, &join(&[], &[]));
        assert_eq!(columns_of(&mut known), []);
    }

    #[test]
    fn a_broken_file_is_set_apart_alone_where_it_is_known() {
        let apart = |errors: &[Error]| {
            let mut known = Known::default();
            for error in errors {
                known.exclude_broken(&merge(["a", "b"]), error);
            }
            let mut excluded: Vec<String> = known.excluded.into_iter().collect();
            excluded.sort();
            excluded
        };
        let decode = || Error::new(ErrorKind::Decode, "it cannot be read");
        assert_eq!(apart(&[decode().with("path", "b")]), ["b"]);
        assert_eq!(apart(&[decode()]), ["a", "b"]);
        assert_eq!(apart(&[decode().with("path", "the merged one")]), ["a", "b"]);
        let storage = |path: &str| Error::new(ErrorKind::Storage, "it does not answer").with("path", path);
        assert_eq!(
            apart(&[storage("b"), storage("a")]),
            [""; 0],
            "they may be there again"
        );
        assert_eq!(apart(&[storage("b"), storage("a"), storage("b")]), ["b"]);
        assert_eq!(apart(&["the merged one"; 2].map(storage)), [""; 0]);
    }

    #[test]
    fn a_file_that_is_listed_twice_is_left_alone() {
        let mut known = Known::default();
        known.excluded.extend(["others".to_owned(), "gone".to_owned()]);
        let files = merge(["a", "twice", "others", "twice", "b"]).files;
        let alone = known.candidates(&files).into_iter();
        let alone: Vec<_> = alone.map(|candidate| candidate.file).collect();
        assert_eq!(alone, [listed("a", 1), listed("b", 5)]);
        assert_eq!(known.excluded, HashSet::from(["others".to_owned()]));
    }
}
