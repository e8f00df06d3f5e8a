//! Files that are left out, and joins that end without a file.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iceberg::spec::{NullOrder, SortDirection};
use otlp2iceberg::write::{Join, JoinOptions, Joined, join};
use otlp2iceberg::{Error, ErrorKind, Table};

use super::super::support::{TestTable, footer, rows_of, strings};
use super::support::{Folder, local, logs, multiset};

#[tokio::test]
async fn files_of_other_columns_and_of_others_are_left_out() {
    // The newer files have an additional column of ours with a default.
    let mut folder = Folder::logs(100);
    let narrow = |rows| logs(rows).project(&[0, 1, 2]).unwrap();
    let old = [
        folder.write(narrow(0..10)).await,
        folder.write(narrow(10..20)).await,
    ];
    let new = [folder.write(logs(20..30)).await, folder.write(logs(30..40)).await];
    let other = folder.write(logs(40..50)).await;
    let bytes = std::fs::read(local(&other)).unwrap();
    let at = bytes
        .windows(12)
        .position(|bytes| bytes == b"otlp2iceberg")
        .unwrap();
    let mut foreign = bytes.clone();
    foreign[at..at + 12].copy_from_slice(b"other-writer");
    std::fs::write(local(&other), foreign).unwrap();

    let all = [
        old[0].clone(),
        new[0].clone(),
        old[1].clone(),
        new[1].clone(),
        other.clone(),
    ];
    let join = folder.try_join(&all).await.unwrap();
    let places = |join: &Join| {
        join.other_columns
            .iter()
            .map(|(place, _)| *place)
            .collect::<Vec<_>>()
    };
    assert_eq!((places(&join), &join.unfit), (vec![0, 2], &vec![4]));
    let joined = join.joined.unwrap();
    assert_eq!((joined.taken, joined.other_columns), (vec![1, 3], None));
    let bytes = folder.bytes(&joined.data_file).await;
    assert_eq!(multiset([&bytes]), multiset([&folder.at_once(&[logs(20..40)]).0]));

    // More files are from before the column.
    let old_columns = join.other_columns[0].1;
    let join = folder.try_join(&all[..3]).await.unwrap();
    let joined = join.joined.as_ref().unwrap();
    assert_eq!(
        (&joined.taken, joined.other_columns),
        (&vec![0, 2], None),
        "old[1] is the newest"
    );
    let join = folder
        .try_join(&[old[0].clone(), old[1].clone(), new[0].clone()])
        .await
        .unwrap();
    let joined = join.joined.as_ref().unwrap();
    assert_eq!(
        (&joined.taken, joined.other_columns),
        (&vec![0, 1], Some(old_columns))
    );
    assert_eq!((places(&join), join.unfit.len()), (vec![0, 1], 0));

    let files = folder.files();
    for (alone, others, unfit) in [
        (&all[..2], vec![0], vec![]),
        (&[new[0].clone(), other], vec![], vec![1]),
        (&[new[0].clone()], vec![], vec![]),
        (&[], vec![], vec![]),
    ] {
        let join = folder.try_join(alone).await.unwrap();
        assert!(join.joined.is_none());
        assert_eq!((places(&join), join.unfit), (others, unfit));
    }
    assert_eq!(folder.files(), files);
}

/// Rows in another order are sorted again if they are few, and stay in their own file if they are many.
#[tokio::test]
async fn files_of_another_sort_order_are_sorted_by_the_tables_own() {
    let mut folder = Folder::new(Table::Logs, TestTable::ours(Table::Logs)).with_rows_max(100);
    let unsorted = [folder.write(logs(0..20)).await, folder.write(logs(20..90)).await];
    let location = folder.metadata.location().to_owned();
    let sorted =
        TestTable::ours(Table::Logs).sorted("ServiceName", SortDirection::Descending, NullOrder::Last);
    folder.metadata = sorted.located(location).build();
    let newest = folder.write(logs(90..150)).await;
    let [small, large] = unsorted;
    let Joined { data_file, taken, .. } = folder.join(&[small, large, newest]).await;
    assert_eq!(taken, [0, 2]);
    let bytes = folder.bytes(&data_file).await;
    let joined = footer(&bytes);
    assert_eq!(joined.num_row_groups(), 2);
    assert!(joined.row_group(0).sorting_columns().is_some());
    let services = strings(&rows_of(&bytes).slice(0, 20), "ServiceName");
    let mut expected = services.clone();
    expected.sort_by(|a, b| b.cmp(a));
    assert_eq!(services, expected);
}

fn assert_names(error: &Error, path: &str) {
    assert!(error.to_string().contains(path), "{error} names {path}");
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_named_and_nothing_is_left_behind() {
    let mut folder = Folder::logs(100);
    let sources = [
        folder.write(logs(0..60)).await,
        folder.write(logs(60..80)).await,
        folder.write(logs(80..100)).await,
    ];
    let path = local(&sources[1]).to_owned();
    let whole = std::fs::read(&path).unwrap();
    let files = folder.files();

    let mut torn = whole.clone();
    torn.truncate(whole.len() - 20);
    let mut no_footer = whole.clone();
    let end = no_footer.len() - 1;
    no_footer[end] = b'X';
    let mut rotten = whole.clone();
    rotten[10..200].fill(0xAA);
    for broken in [torn, no_footer, rotten] {
        std::fs::write(&path, broken).unwrap();
        let error = folder.try_join(&sources).await.unwrap_err();
        assert_names(&error, &path);
        assert_eq!(folder.files(), files);
    }
    std::fs::remove_file(&path).unwrap();
    let error = folder.try_join(&sources).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_names(&error, &path);
    std::fs::write(&path, whole).unwrap();
    assert_eq!(folder.files(), files);
    assert_eq!(folder.join(&sources).await.taken, [0, 1, 2]);
}

/// Changing any byte leads to an error that names the file, or to a file with as many rows; never to half a
/// file. Some of the bytes make the parquet crate panic.
#[tokio::test]
async fn no_byte_of_a_source_breaks_more_than_the_join() {
    let mut folder = Folder::logs(100);
    let sources = [
        folder.write(logs(0..60)).await,
        folder.write(logs(60..80)).await,
        folder.write(logs(80..90)).await,
    ];
    let files = folder.files();
    // The first is copied, the others are encoded again.
    for (source, step) in [(&sources[0], 13), (&sources[1], 1)] {
        let path = local(source);
        let whole = std::fs::read(path).unwrap();
        for at in (4..whole.len()).step_by(step) {
            let mut broken = whole.clone();
            broken[at] ^= 0x55;
            std::fs::write(path, broken).unwrap();
            match folder.try_join(&sources).await {
                Ok(join) => {
                    if let Some(joined) = join.joined {
                        std::fs::remove_file(local(&joined.data_file)).unwrap();
                    }
                }
                Err(error) => assert_names(&error, path),
            }
            assert_eq!(folder.files(), files, "byte {at}");
        }
        std::fs::write(path, whole).unwrap();
    }
}

#[tokio::test]
async fn an_entry_that_does_not_fit_its_file_is_refused() {
    let mut folder = Folder::logs(100);
    let (first, second) = (folder.write(logs(0..10)).await, folder.write(logs(10..30)).await);
    std::fs::copy(local(&second), local(&first)).unwrap();
    let files = folder.files();
    let error = folder.try_join(&[first.clone(), second]).await.unwrap_err();
    assert_names(&error, local(&first));
    assert_eq!(folder.files(), files);
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_and_leaves_nothing_behind() {
    let mut folder = Folder::logs(100);
    let sources = [folder.write(logs(0..60)).await, folder.write(logs(60..120)).await];
    let files = folder.files();
    let asked = AtomicUsize::new(0);
    let mut ended = 0;
    for steps in 0.. {
        asked.store(0, Ordering::Relaxed);
        let proceed = || match asked.fetch_add(1, Ordering::Relaxed) {
            step if step < steps => Ok(()),
            _ => Err(Error::new(ErrorKind::Shutdown, "stopping")),
        };
        let options = JoinOptions {
            parquet: &folder.config,
            proceed: &proceed,
        };
        match join(&folder.metadata, &folder.file_io, &sources, &options).await {
            Ok(join) => {
                assert_eq!(join.joined.unwrap().data_file.record_count(), 120);
                break;
            }
            Err(error) => {
                ended += 1;
                assert_eq!(error.kind(), ErrorKind::Shutdown);
                assert_eq!(folder.files(), files);
            }
        }
    }
    assert_eq!(ended, 3, "before the footers and before each row group");
}

/// Work outside the async threads waits until the join is dropped.
#[test]
fn it_can_be_spawned_and_dropped_half_way() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut folder = Folder::logs(100);
        let sources = [folder.write(logs(0..60)).await, folder.write(logs(60..120)).await];
        let files = folder.files();
        let (metadata, config, file_io) = (
            folder.metadata.clone(),
            folder.config.clone(),
            folder.file_io.clone(),
        );
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let waits = Mutex::new(Some(waits));
        let asked = AtomicUsize::new(0);
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let begun = Mutex::new(Some(begun));
        let task = tokio::spawn(async move {
            let options = JoinOptions {
                parquet: &config,
                proceed: &|| {
                    // Before the second row group.
                    if asked.fetch_add(1, Ordering::Relaxed) == 2 {
                        let waits = waits.lock().unwrap().take().unwrap();
                        tokio::task::spawn_blocking(move || waits.recv());
                        begun.lock().unwrap().take().unwrap().send(()).unwrap();
                    }
                    Ok(())
                },
            };
            join(&metadata, &file_io, &sources, &options).await
        });
        is_begun.await.unwrap();
        assert_eq!(folder.files().len(), files.len() + 1, "a temporary one");
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        drop(go_on);
        // The last reference to the file may be on the other thread.
        for _ in 0..1_000 {
            if folder.files() == files {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?} are left", folder.files());
    });
}
