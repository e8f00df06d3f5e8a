//! Requests that are refused as a whole.

use otlp2iceberg::{ErrorKind, Reason, RetryClass, Signal};

use super::support::{Home, export, logs, record};

#[tokio::test]
async fn a_request_with_too_many_records_is_refused_and_the_others_are_stored() {
    for keeps in [true, false] {
        let home = Home::new();
        let limit = r#""limits": {"records_per_request_max": 2}"#;
        let pipeline = if keeps {
            home.opened(limit).await
        } else {
            home.opened_as(limit).await
        };
        let three = logs("three", &[record("a", 0), record("b", 0), record("c", 0)]);
        let requests = [
            (1, logs("two", &[record("a", 0), record("b", 0)])),
            (2, three.clone()),
        ];
        let outcome = export(&pipeline, Signal::Logs, &requests).await.unwrap();
        assert_eq!(
            (outcome.rows, outcome.rejected, outcome.refused_requests),
            (2, 3, 1)
        );
        assert_eq!(outcome.rejected_by.of(Reason::TooManyRecords), 3);
        assert!(
            outcome.rejection.contains("limits.records_per_request_max (2)"),
            "{}",
            outcome.rejection
        );
        pipeline.close().await;
        if !keeps {
            assert!(!home.dead().exists());
            continue;
        }
        let (name, bytes, why) = home.letter();
        let writer = "07".repeat(16);
        assert_eq!(name, format!("logs/2025-06-15/{writer}-2.request"));
        assert_eq!(bytes, three);
        assert_eq!(
            (&why["whole_request"], &why["records"]),
            (&true.into(), &3.into())
        );

        // After the limit is raised.
        let pipeline = home.opened("").await;
        let outcome = export(&pipeline, Signal::Logs, &[(3, bytes)]).await.unwrap();
        assert_eq!((outcome.rows, outcome.rejected), (3, 0));
        pipeline.close().await;
    }
}

#[tokio::test]
async fn a_malformed_request_does_not_hold_up_the_others() {
    for keeps in [true, false] {
        let home = Home::new();
        let pipeline = if keeps {
            home.opened("").await
        } else {
            home.opened_as("").await
        };
        // A length that ends beyond the request.
        let malformed = vec![0x0a, 0x7f, 1];
        let requests = [
            (1, logs("good", &[record("a", 0)])),
            (2, malformed.clone()),
            (3, logs("good", &[record("b", 0)])),
        ];
        let outcome = export(&pipeline, Signal::Logs, &requests).await.unwrap();
        assert_eq!((outcome.rows, outcome.rejected, outcome.commits), (2, 1, 1));
        assert_eq!(outcome.rejected_by.of(Reason::Malformed), 1);
        assert_eq!(outcome.dead_letter_objects, u64::from(keeps));
        if keeps {
            let (name, bytes, why) = home.letter();
            assert!(name.ends_with("-2.request"), "{name}");
            assert_eq!(bytes, malformed);
            assert_eq!(why["runs"][0]["reason"], "malformed");
        }
        // As the only request it fails the call, unless it is kept as a dead letter.
        let alone = export(&pipeline, Signal::Logs, &[(2, malformed)]).await;
        if keeps {
            assert_eq!(alone.unwrap().rejected_by.of(Reason::Malformed), 1);
            assert_eq!(home.letters().len(), 1, "under the same name");
        } else {
            let error = alone.expect_err("refused");
            assert_eq!(
                (error.kind(), error.retry_class()),
                (ErrorKind::Decode, RetryClass::Permanent)
            );
        }
        pipeline.close().await;
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_and_the_others_are_stored() {
    for keeps in [true, false] {
        let home = Home::new();
        let small = logs("small", &[record("a", 0)]);
        let large = logs("large", &[record("a", 0), record("b", 0)]);
        assert!(small.len() < large.len());
        let limit = format!(r#""limits": {{"payload_bytes_max": {}}}"#, small.len());
        let pipeline = if keeps {
            home.opened(&limit).await
        } else {
            home.opened_as(&limit).await
        };
        // Together they are far above the limit, and each small one is exactly at the limit.
        let requests = [(1, small.clone()), (2, large.clone()), (3, small)];
        let outcome = export(&pipeline, Signal::Logs, &requests).await.unwrap();
        assert_eq!(
            (outcome.rows, outcome.rejected, outcome.refused_requests),
            (2, 1, 1)
        );
        assert_eq!(outcome.rejected_by.of(Reason::PayloadTooLarge), 1);
        let told = format!(
            "a request of {} bytes is above limits.payload_bytes_max",
            large.len()
        );
        assert!(outcome.rejection.contains(&told), "{}", outcome.rejection);
        // Without other requests, they fail the call, unless they are kept as dead letters.
        let two = [(2, large.clone()), (4, large.clone())];
        let alone = export(&pipeline, Signal::Logs, &two).await;
        pipeline.close().await;
        if keeps {
            let outcome = alone.unwrap();
            assert_eq!(
                (outcome.rows, outcome.rejected_by.of(Reason::PayloadTooLarge)),
                (0, 2)
            );
            let kept: Vec<Vec<u8>> = home.letters().into_values().map(|(bytes, _)| bytes).collect();
            assert_eq!(kept, [large.clone(), large]);
        } else {
            let error = alone.expect_err("refused");
            assert_eq!(
                (error.kind(), error.retry_class()),
                (ErrorKind::Limit, RetryClass::Permanent)
            );
        }
    }
}
