//! Replacements that are overtaken, lost or refused.

use otlp2iceberg::ErrorKind;

use super::support::{live, names, opened, replace, window};
use crate::commit_support::Fault::{Conflict, LostAnswer, LostRequest, Refusal, Twice};
use crate::commit_support::summary;

/// Otherwise rows would be lost or doubled.
#[tokio::test]
async fn files_with_another_number_of_rows_than_the_replaced_ones_are_refused() {
    for rows in [19, 21] {
        let (stored, _, committer) = opened([]).await;
        let metadata = stored.0.metadata_files("");
        let error = replace(&committer, stored.file("joined", rows), &["1-2", "1-3"])
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Catalog, "{error}");
        assert!(error.to_string().contains("rows"), "{error}");
        assert_eq!(stored.0.metadata_files(""), metadata, "nothing is left behind");
        assert_eq!(live(&committer).await, names(["1-1", "1-2", "1-3", "1-4"]));
    }
}

#[tokio::test]
async fn a_lost_race_is_run_again_on_what_the_winner_left() {
    for fault in [Conflict, Twice, LostAnswer, LostRequest] {
        let (stored, catalog, committer) = opened([fault]).await;
        let committed = replace(&committer, stored.file("joined", 20), &["1-2", "1-3"]).await;
        let committed = committed.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(
            Some(committed.snapshot_id),
            committer.table().metadata.current_snapshot_id()
        );
        assert_eq!(
            live(&committer).await,
            names(["1-1", "1-4", "joined"]),
            "{fault:?}"
        );
        stored.commit(&committer, 5..=5).await;
        assert_eq!(
            live(&committer).await,
            names(["1-1", "1-4", "1-5", "joined"]),
            "{fault:?}"
        );
        assert_eq!(summary(&committer.table())["total-data-files"], "4");
        drop(catalog);
    }
}

#[tokio::test]
async fn appends_of_others_meanwhile_stay() {
    let (stored, _, committer) = opened([]).await;
    let other = stored.0.committer_with(stored.0.catalog().await, window()).await;
    stored.commit(&other, 5..=9).await;
    // Chosen from an older state of the table. Its manifests have been merged since.
    replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    let all = ["1-1", "1-4", "1-5", "1-6", "1-7", "1-8", "1-9", "joined"];
    assert_eq!(live(&committer).await, names(all));
}

#[tokio::test]
async fn what_somebody_else_replaced_is_not_replaced_again() {
    let (stored, _, committer) = opened([]).await;
    let other = stored.0.committer_with(stored.0.catalog().await, window()).await;
    replace(&other, stored.file("first", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    let metadata = stored.0.metadata_files("");
    let error = replace(&committer, stored.file("second", 20), &["1-3", "1-4"])
        .await
        .expect_err("one of them is gone");
    assert_eq!(
        error.kind(),
        ErrorKind::Catalog,
        "so the file is of no use: {error}"
    );
    assert!(error.to_string().contains("not in the table any more"), "{error}");
    assert_eq!(stored.0.metadata_files(""), metadata, "nothing is left behind");
    assert_eq!(live(&committer).await, names(["1-1", "1-4", "first"]));
}

#[tokio::test]
async fn manifests_that_were_written_before_a_file_was_found_to_be_gone_are_deleted() {
    let (stored, _, committer) = opened([]).await;
    // The fifth manifest causes a merge of all five, so that other files stay in it.
    stored.commit(&committer, 5..=5).await;
    let other = stored.0.committer_with(stored.0.catalog().await, window()).await;
    replace(&other, stored.file("first", 20), &["1-2", "1-3"])
        .await
        .expect("replaced");
    let metadata = stored.0.metadata_files("");
    replace(&committer, stored.file("second", 20), &["1-3", "1-4"])
        .await
        .expect_err("one of them is gone");
    assert_eq!(stored.0.metadata_files(""), metadata);
    assert_eq!(live(&committer).await, names(["1-1", "1-4", "1-5", "first"]));
}

#[tokio::test]
async fn a_refusal_leaves_everything_as_it_was() {
    let (stored, _, committer) = opened([Refusal]).await;
    let metadata = stored.0.metadata_files("");
    let error = replace(&committer, stored.file("joined", 20), &["1-2", "1-3"])
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Catalog, "{error}");
    assert_eq!(stored.0.metadata_files(""), metadata);
    assert_eq!(live(&committer).await, names(["1-1", "1-2", "1-3", "1-4"]));
}
