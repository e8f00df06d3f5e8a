use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// No pause between renewals.
const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);

fn credentials(key_id: &str, expiry: Option<SystemTime>) -> Credentials {
    Credentials::new(key_id, "hush", None, expiry, "test")
}

/// Credentials that are renewed immediately.
fn stale(key_id: &str, expiry: Option<SystemTime>) -> Kept {
    Kept {
        credentials: credentials(key_id, expiry),
        fresh_until: Instant::now(),
        renewed_from: None,
    }
}

fn fresh(key_id: &str) -> Kept {
    Kept::new(credentials(key_id, None), Now::read())
}

fn renewal(limit: Duration, kept: Option<Kept>) -> Renewal {
    let renewal = Renewal {
        limit,
        ..Renewal::default()
    };
    renewal.state().kept = kept;
    renewal
}

fn in_a_minute() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn a_source_that_never_answers_is_asked_once_and_the_error_says_where_to_look() {
    let asked = AtomicUsize::new(0);
    let silence = || {
        asked.fetch_add(1, Ordering::Relaxed);
        std::future::pending()
    };
    for kept in [None, Some(stale("AKIDOLD", None))] {
        asked.store(0, Ordering::Relaxed);
        let renewal = renewal(Duration::from_millis(10), kept);
        for _ in 0..3 {
            let error = renewal.credentials(silence).await.expect_err("no answer");
            assert!(
                matches!(error.retry_class(), crate::error::RetryClass::Retry { .. }),
                "{error:?}"
            );
            for part in [
                "credential_process",
                "STS",
                "metadata service",
                "AWS_ACCESS_KEY_ID",
            ] {
                assert!(error.to_string().contains(part), "{part} in {error}");
            }
        }
        assert!(
            !renewal
                .has_other_than(&credentials("AKIDOLD", None), NOW, silence)
                .await
        );
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn all_wait_for_one_answer_at_the_same_time() {
    let renewal = renewal(TIMEOUT, None);
    let begun = tokio::time::Instant::now();
    let waiting = (0..8).map(|_| renewal.credentials(std::future::pending));
    let errors = futures::future::join_all(waiting).await;
    assert!(errors.iter().all(Result::is_err));
    let waited = begun.elapsed();
    assert!(waited >= TIMEOUT && waited < 2 * TIMEOUT, "{waited:?}");
}

#[tokio::test]
async fn what_comes_too_late_for_one_is_given_to_the_next() {
    let renewal = renewal(Duration::from_millis(10), None);
    let (answer, slow) = tokio::sync::oneshot::channel();
    renewal
        .credentials(|| async { Ok(slow.await.expect("sent")) })
        .await
        .expect_err("not yet");
    answer.send(fresh("AKIDSLOW")).expect("awaited");
    let second = || async { Ok(fresh("AKIDSECOND")) };
    let given = renewal.credentials(second).await.expect("answered");
    assert_eq!(given.access_key_id(), "AKIDSLOW");
}

#[tokio::test]
async fn credentials_that_are_good_yet_are_given_at_once_and_renewed_meanwhile() {
    let renewal = renewal(
        Duration::from_secs(3600),
        Some(stale("AKIDOLD", Some(in_a_minute()))),
    );
    let (answer, slow) = tokio::sync::oneshot::channel();
    let given = renewal
        .credentials(|| async { Ok(slow.await.expect("sent")) })
        .await;
    assert_eq!(given.expect("good yet").access_key_id(), "AKIDOLD");
    let given = renewal.credentials(std::future::pending).await;
    assert_eq!(given.expect("good yet").access_key_id(), "AKIDOLD");
    answer.send(fresh("AKIDNEW")).expect("awaited");
    let used = credentials("AKIDOLD", None);
    assert!(renewal.has_other_than(&used, NOW, std::future::pending).await);
    let given = renewal.credentials(std::future::pending).await;
    assert_eq!(given.expect("renewed").access_key_id(), "AKIDNEW");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_left_alone_for_a_while() {
    let now = SystemTime::now();
    for (kept, good) in [
        (None, false),
        (Some(stale("AKIDOLD", Some(now))), false),
        (Some(stale("AKIDOLD", None)), false),
        (Some(stale("AKIDOLD", Some(in_a_minute()))), true),
    ] {
        let asked = AtomicUsize::new(0);
        let failing = || {
            asked.fetch_add(1, Ordering::Relaxed);
            async { Err(Error::new(ErrorKind::Catalog, "none").because("no role")) }
        };
        let renewal = renewal(Duration::from_secs(60), kept);
        for _ in 0..3 {
            match renewal.credentials(failing).await {
                Ok(given) => assert!(good && given.access_key_id() == "AKIDOLD"),
                Err(error) => assert!(!good && error.to_string() == "none: no role", "{error}"),
            }
            tokio::task::yield_now().await;
        }
        assert!(
            !renewal
                .has_other_than(&credentials("AKIDOLD", None), NOW, failing)
                .await
        );
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(PAUSE).await;
        let renewed = renewal
            .has_other_than(&credentials("AKIDOLD", None), NOW, || async {
                Ok(fresh("AKIDNEW"))
            })
            .await;
        assert!(renewed, "asked again after the pause");
    }
}

/// The time on a clock that is ahead by this much.
fn ahead(by: Duration) -> Now {
    let now = Now::read();
    Now {
        wall: now.wall + by,
        ..now
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_came_while_the_clock_was_ahead_are_asked_for_again_after_the_pause() {
    for (expires_in, by) in [(HOUR, 8 * HOUR), (MARGIN, NOW), (MARGIN + PAUSE / 2, NOW)] {
        let expiry = Some(SystemTime::now() + expires_in);
        let kept = Kept::new(credentials("AKIDOLD", expiry), ahead(by));
        assert!(kept.is_fresh(ahead(by)), "they are what there is");
        tokio::time::advance(PAUSE).await;
        for by in [by, NOW] {
            assert!(!kept.is_fresh(ahead(by)), "{expires_in:?} {by:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_are_asked_for_again_when_either_clock_says_so() {
    let begun = SystemTime::now();
    let kept = Kept::new(credentials("AKIDOLD", Some(begun + HOUR)), ahead(NOW));
    let at = |wall| Now { wall, ..ahead(NOW) };
    assert!(kept.is_fresh(at(begun + HOUR - MARGIN - PAUSE)));
    assert!(!kept.is_fresh(at(begun + HOUR - MARGIN)), "a machine that slept");
    tokio::time::advance(HOUR.saturating_sub(MARGIN)).await;
    assert!(!kept.is_fresh(at(begun)), "a clock that was set back");
    // Even a distant expiry does not make them last forever.
    let kept = Kept::new(credentials("AKIDOLD", Some(begun + 100_000 * HOUR)), ahead(NOW));
    tokio::time::advance(LASTS_MAX.saturating_sub(PAUSE)).await;
    assert!(kept.is_fresh(at(begun)));
    tokio::time::advance(PAUSE).await;
    assert!(!kept.is_fresh(at(begun)));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_just_answered_is_not_asked_for_others_before_the_pause() {
    let asked = AtomicUsize::new(0);
    let same = || {
        asked.fetch_add(1, Ordering::Relaxed);
        async { Ok(fresh("AKIDOLD")) }
    };
    let renewal = renewal(TIMEOUT, None);
    let used = renewal.credentials(same).await.expect("given");
    for expected in [1, 2] {
        for _ in 0..3 {
            assert!(!renewal.has_other_than(&used, PAUSE, same).await);
            assert_eq!(asked.load(Ordering::Relaxed), expected);
        }
        tokio::time::advance(PAUSE).await;
        assert!(!renewal.has_other_than(&used, PAUSE, same).await);
    }
    let others = credentials("AKIDOLDER", None);
    assert!(
        renewal.has_other_than(&others, PAUSE, same).await,
        "those at hand"
    );
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}
