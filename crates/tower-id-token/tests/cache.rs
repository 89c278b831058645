//! The cache's rules, each as a dialogue between a caller, the cache and its source.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tower::{BoxError, ServiceExt, service_fn};
use tower_id_token::{Cache, Clock, ErrorKind, Expires, IdToken, Lookup, SourceError};

use support::*;

const URL: &str = "https://hello-abc123-uc.a.run.app";

fn denied() -> SourceError {
    SourceError::new(ErrorKind::Denied, "the role is missing")
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_make_one_flight() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let waits: Vec<_> = (0..1000).map(|_| tokio::spawn(tokens.get(&url))).collect();
    let (asked, answer) = fetch(&mut source).await;
    assert_eq!(asked, url);
    answer.send_response(token("a", 3600));
    for wait in waits {
        assert_eq!(wait.await.unwrap().unwrap().secret(), "a");
    }
    assert!(is_idle(&mut source).await);
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_flight_of_its_own() {
    let (tokens, mut source) = tokens();
    let first = tokio::spawn(tokens.get(&audience("https://a.run.app")));
    let (_, slow) = fetch(&mut source).await;
    let second = tokio::spawn(tokens.get(&audience("https://b.run.app")));
    let (asked, quick) = fetch(&mut source).await;
    assert_eq!(asked.as_str(), "https://b.run.app");
    quick.send_response(token("b", 3600));
    assert_eq!(second.await.unwrap().unwrap().secret(), "b");
    slow.send_response(token("a", 3600));
    assert_eq!(first.await.unwrap().unwrap().secret(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_that_goes_away_cancels_nothing() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let first = tokens.get(&url);
    let second = tokio::spawn(tokens.get(&url));
    let (_, answer) = fetch(&mut source).await;
    drop(first);
    settle().await;
    answer.send_response(token("a", 3600));
    assert_eq!(second.await.unwrap().unwrap().secret(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_nobody_waits_for_any_more_still_fills_the_cache() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    drop(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("a", 3600));
    settle().await;
    assert!(matches!(tokens.get(&url), Lookup::Hit(_)));
}

#[tokio::test(start_paused = true)]
async fn making_a_cache_starts_nothing_and_an_idle_one_fetches_nothing() {
    let (tokens, mut source) = tokens();
    assert!(is_idle(&mut source).await);
    let wait = tokio::spawn(tokens.get(&audience(URL)));
    fetch(&mut source).await.1.send_response(token("a", 3600));
    wait.await.unwrap().unwrap();
    seconds(3 * 3600).await;
    assert!(
        is_idle(&mut source).await,
        "nobody asked, so nothing is renewed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panicking_source_harms_nobody_else_and_is_asked_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let source = service_fn(move |_| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(call > 0, "a bug in the source");
            Ok::<_, BoxError>(token("a", 3600))
        }
    });
    let tokens = Cache::builder().clock(clock()).build(source);
    let (one, two) = (tokens.get(&audience(URL)), tokens.get(&audience(URL)));
    let error = one.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("panicked"), "{error}");
    two.await.unwrap_err();
    seconds(5).await;
    assert_eq!(tokens.get(&audience(URL)).await.unwrap().secret(), "a");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hung_source_holds_a_caller_for_ten_seconds_at_most() {
    let (tokens, mut source) = tokens();
    let start = Instant::now();
    let wait = tokio::spawn(tokens.get(&audience(URL)));
    let (_, never) = fetch(&mut source).await;
    let error = wait.await.unwrap().unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(never);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_never_ready_is_given_up_too() {
    let (tokens, _source) = tokens();
    let start = Instant::now();
    tokens.get(&audience(URL)).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn after_a_hang_the_next_caller_finds_a_healed_source() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    let (_, hung) = fetch(&mut source).await;
    wait.await.unwrap().unwrap_err();
    drop(hung);
    seconds(2).await;
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("a", 3600));
    assert_eq!(wait.await.unwrap().unwrap().secret(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_of_its_end_while_the_old_one_serves() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("old", 3600));
    wait.await.unwrap().unwrap();

    seconds(3600 - 225 - 23).await;
    assert_eq!(answer(&tokens, &url).await.unwrap().unwrap(), "old");
    assert!(
        is_idle(&mut source).await,
        "225 s and a jitter of a tenth before the end, not sooner"
    );

    seconds(23).await;
    assert_eq!(answer(&tokens, &url).await.unwrap().unwrap(), "old");
    let (_, renewal) = fetch(&mut source).await;
    for _ in 0..100 {
        assert_eq!(answer(&tokens, &url).await.unwrap().unwrap(), "old");
    }
    renewal.send_response(token("new", 7200));
    settle().await;
    assert_eq!(answer(&tokens, &url).await.unwrap().unwrap(), "new");
    assert!(is_idle(&mut source).await, "one flight a rotation");
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_leaves_the_old_token_serving_until_two_seconds_before_its_end() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("old", 3600));
    wait.await.unwrap().unwrap();

    let start = Instant::now();
    let mut attempts = 0;
    let mut last_good = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(3600) {
        match answer(&tokens, &url).await {
            Some(Ok(_)) => last_good = start.elapsed(),
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Denied);
                assert!(
                    start.elapsed() >= Duration::from_secs(3598),
                    "{:?}",
                    start.elapsed()
                );
            }
            None => panic!("a caller waits at {:?}", start.elapsed()),
        }
        if let Some(request) = asked(&mut source).await {
            request.send_error(denied());
            attempts += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        last_good >= Duration::from_millis(3_597_800),
        "{last_good:?}"
    );
    // 1 + 2 + 4 + … + 60 s over some 225 s, and every 5 s for the last two.
    assert!((7..=14).contains(&attempts), "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn while_there_is_no_token_the_source_is_not_hammered_and_callers_fail_at_once() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_error(denied());
    assert_eq!(wait.await.unwrap().unwrap_err().kind(), ErrorKind::Denied);

    let start = Instant::now();
    let mut attempts = Vec::new();
    while start.elapsed() < Duration::from_secs(60) {
        let before = Instant::now();
        let error = tokens.get(&url).await.unwrap_err();
        assert_eq!(before.elapsed(), Duration::ZERO, "at {:?}", start.elapsed());
        assert_eq!(error.to_string(), "the role is missing");
        if let Some(request) = asked(&mut source).await {
            request.send_error(denied());
            settle().await;
            attempts.push(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let gaps: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.iter().all(|gap| *gap >= Duration::from_secs(1)),
        "{gaps:?}"
    );
    assert!(
        gaps.iter().all(|gap| *gap <= Duration::from_millis(5_100)),
        "{gaps:?}"
    );
    assert!(
        gaps[3..].iter().all(|gap| *gap >= Duration::from_secs(4)),
        "{gaps:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_that_was_mended_is_recovered_from_within_six_seconds() {
    for outage in [3, 30, 300] {
        let (tokens, mut source) = tokens();
        let url = audience(URL);
        let wait = tokio::spawn(tokens.get(&url));
        fetch(&mut source).await.1.send_error(denied());
        wait.await.unwrap().unwrap_err();

        let start = Instant::now();
        let healed = loop {
            if let Some(request) = asked(&mut source).await {
                if start.elapsed() < Duration::from_secs(outage) {
                    request.send_error(denied());
                } else {
                    request.send_response(token("a", 3600));
                }
                settle().await;
            }
            if tokens.get(&url).await.is_ok() {
                break start.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(
            healed <= Duration::from_secs(outage + 6),
            "{outage}: {healed:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_long_after_a_failure_waits_for_a_new_attempt() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_error(denied());
    wait.await.unwrap().unwrap_err();
    seconds(60).await;
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("a", 3600));
    assert_eq!(wait.await.unwrap().unwrap().secret(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_peace_gets_it() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    let busy = SourceError::new(ErrorKind::Unavailable, "busy");
    fetch(&mut source)
        .await
        .1
        .send_error(busy.with_retry_after(Duration::from_secs(30)));
    wait.await.unwrap().unwrap_err();
    seconds(29).await;
    tokens.get(&url).await.unwrap_err();
    assert!(is_idle(&mut source).await);
    seconds(1).await;
    tokens.get(&url).await.unwrap_err();
    assert!(!is_idle(&mut source).await);
}

#[tokio::test(start_paused = true)]
async fn keys_are_bounded_and_the_least_recently_used_goes_first() {
    let (source, calls) = counting(3600);
    let tokens = Cache::builder().clock(clock()).capacity(3).build(source);
    for key in ["a", "b", "c"] {
        tokens.get(&audience(key)).await.unwrap();
        seconds(2).await;
    }
    tokens.get(&audience("a")).await.unwrap();
    tokens.get(&audience("d")).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    for key in ["a", "c", "d"] {
        assert!(
            matches!(tokens.get(&audience(key)), Lookup::Hit(_)),
            "{key} was kept"
        );
    }
    tokens.get(&audience("b")).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 5, "b had to go");
}

#[tokio::test(start_paused = true)]
async fn expired_keys_go_before_live_ones() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let start = Instant::now();
    let source = service_fn(move |key: tower_id_token::Audience| {
        counted.fetch_add(1, Ordering::Relaxed);
        let life = if key.as_str() == "short" { 10 } else { 3600 };
        let expires = start.elapsed().as_secs() + life;
        async move { Ok::<_, BoxError>(token("a", expires)) }
    });
    let tokens = Cache::builder().clock(clock()).capacity(2).build(source);
    tokens.get(&audience("long")).await.unwrap();
    tokens.get(&audience("short")).await.unwrap();
    seconds(4).await;
    // The short one is the more recently used.
    assert!(matches!(tokens.get(&audience("short")), Lookup::Hit(_)));
    seconds(20).await;
    tokens.get(&audience("new")).await.unwrap();
    assert!(
        matches!(tokens.get(&audience("long")), Lookup::Hit(_)),
        "the live one was kept"
    );
}

#[tokio::test(start_paused = true)]
async fn failures_of_many_keys_are_bounded_too() {
    let source = service_fn(|_| async { Err::<IdToken, _>(denied()) });
    let tokens = Cache::builder().clock(clock()).capacity(8).build(source);
    for key in 0..100 {
        tokens.get(&audience(&key.to_string())).await.unwrap_err();
    }
    // Only what is kept is remembered: the first keys are asked for anew.
    assert!(format!("{tokens:?}").contains("keys: 0"), "{tokens:?}");
}

#[tokio::test(start_paused = true)]
async fn more_flights_at_once_than_keys_are_refused() {
    let (tokens, _source) = tokens_with(Cache::builder().clock(clock()).capacity(2));
    let _flights = [tokens.get(&audience("a")), tokens.get(&audience("b"))];
    let error = tokens.get(&audience("c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("at once"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_that_is_served_as_if_fresh_is_refused_and_not_asked_for_in_a_loop() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    seconds(600).await;
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source)
        .await
        .1
        .send_response(token("stale", 300));
    let error = wait.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("clock"), "{error}");
    tokens.get(&url).await.unwrap_err();
    assert!(is_idle(&mut source).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hands_out_the_same_token_again_is_asked_at_a_calm_pace() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let source = service_fn(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, BoxError>(token("same", 300)) }
    });
    let tokens = Cache::builder().clock(clock()).build(source);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(297_900) {
        assert_eq!(tokens.get(&audience(URL)).await.unwrap().secret(), "same");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Halving what is left of 300 s takes eight or nine steps down to a second.
    assert!(
        calls.load(Ordering::Relaxed) <= 11,
        "{}",
        calls.load(Ordering::Relaxed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_servers_own_cache_that_gives_an_older_token_does_not_replace_ours() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("ours", 400));
    wait.await.unwrap().unwrap();
    seconds(210).await;
    tokens.get(&url).await.unwrap();
    fetch(&mut source)
        .await
        .1
        .send_response(token("older", 300));
    settle().await;
    assert_eq!(answer(&tokens, &url).await.unwrap().unwrap(), "ours");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_live_shorter_than_the_window_cost_one_fetch_a_second_at_most() {
    for life in [3, 4, 8, 15] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let clock = clock();
        let now = clock.clone();
        let source = service_fn(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            let expires = now.now() + Duration::from_secs(life);
            async move { IdToken::new("a", expires) }
        });
        let tokens = Cache::builder().clock(clock).build(source);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            tokens.get(&audience(URL)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let calls = calls.load(Ordering::Relaxed);
        assert!(calls <= 61, "{life}: {calls}");
        assert!(
            calls <= 60 / (life as usize / 2).max(1) + 1,
            "{life}: {calls}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_machine_wakes_up_to_a_new_token_not_to_a_dead_one() {
    // The wall clock jumps; tokio's clock, like a monotonic one in a suspended laptop, does not.
    let wall = Arc::new(std::sync::Mutex::new(epoch()));
    let read = Arc::clone(&wall);
    let clock = Clock::from_fn(move || *read.lock().unwrap());
    let (tokens, mut source) = tokens_with(Cache::builder().clock(clock));
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("old", 3600));
    wait.await.unwrap().unwrap();

    *wall.lock().unwrap() += Duration::from_secs(3598);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("new", 7200));
    assert_eq!(wait.await.unwrap().unwrap().secret(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_is_shared_and_left_out_for_a_young_token() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("old", 3600));
    wait.await.unwrap().unwrap();

    assert_eq!(
        tokens.refresh(&url).await.unwrap().secret(),
        "old",
        "it is seconds old"
    );
    assert!(is_idle(&mut source).await);

    seconds(11).await;
    let waits: Vec<_> = (0..10)
        .map(|_| tokio::spawn(tokens.refresh(&url)))
        .collect();
    let (_, renewal) = fetch(&mut source).await;
    assert_eq!(
        answer(&tokens, &url).await.unwrap().unwrap(),
        "old",
        "others are not held up"
    );
    // A forced refresh takes what it is given, though it expires sooner.
    renewal.send_response(token("new", 1800));
    for wait in waits {
        assert_eq!(wait.await.unwrap().unwrap().secret(), "new");
    }
    assert!(is_idle(&mut source).await);
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_that_fails_leaves_the_old_token_and_backs_off() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    fetch(&mut source).await.1.send_response(token("old", 3600));
    wait.await.unwrap().unwrap();
    seconds(11).await;
    let wait = tokio::spawn(tokens.refresh(&url));
    fetch(&mut source).await.1.send_error(denied());
    assert_eq!(wait.await.unwrap().unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(tokens.refresh(&url).await.unwrap().secret(), "old");
    assert!(is_idle(&mut source).await);
}

#[test]
fn a_flight_lost_with_its_runtime_is_flown_again_on_the_callers_own() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let source = service_fn(move |_| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if call == 0 {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(token("a", 1 << 32))
        }
    });
    let tokens = Cache::new(source);
    let short_lived = runtime();
    let wait = {
        let _inside = short_lived.enter();
        tokens.get(&audience(URL))
    };
    short_lived.block_on(settle());
    drop(short_lived);
    assert_eq!(runtime().block_on(wait).unwrap().secret(), "a");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn outside_a_runtime_a_miss_is_an_error_and_not_a_panic() {
    let tokens = Cache::new(service_fn(|_: tower_id_token::Audience| async {
        IdToken::new("a", epoch())
    }));
    let error = tokio_test::block_on(async {
        std::thread::spawn(move || tokens.get(&audience(URL)))
            .join()
            .unwrap()
            .await
    });
    assert!(error.unwrap_err().to_string().contains("runtime"));
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_a_service_and_can_stand_on_another_cache() {
    let (source, calls) = counting(3600);
    let below = Cache::builder().clock(clock()).build(source);
    let above = Cache::builder().clock(clock()).build(below.clone());
    for key in ["a", "b", "a"] {
        above.clone().oneshot(audience(key)).await.unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn no_token_shows_in_debug() {
    let token = token("eyJhbGciOi.secret.signature", 3600);
    let text = format!(
        "{token:?} {:?} {:?}",
        token.header(),
        Lookup::Hit(token.clone())
    );
    assert!(!text.contains("secret"), "{text}");
    assert!(token.header().is_sensitive());
    assert_eq!(token.expires_at(), epoch() + Duration::from_secs(3600));
}

#[test]
fn a_token_with_a_line_break_in_it_is_refused() {
    for text in ["a.b\r\nX-Evil: 1", "a\nb", "a b", "a\"b", "", "ä", "a\0"] {
        let error = IdToken::new(text, epoch()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(!error.to_string().contains("Evil"), "{error}");
    }
}

fn counting(
    life: u64,
) -> (
    impl tower_id_token::Source<tower_id_token::Audience, Value = IdToken>,
    Arc<AtomicUsize>,
) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let source = service_fn(move |key: tower_id_token::Audience| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, BoxError>(token(key.as_str(), life)) }
    });
    (source, calls)
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_took_long_to_fail_is_not_followed_by_another_within_a_second() {
    let (tokens, mut source) = tokens();
    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    let (_, request) = fetch(&mut source).await;
    seconds(8).await;
    request.send_error(denied());
    wait.await.unwrap().unwrap_err();
    tokio::time::sleep(Duration::from_millis(990)).await;
    tokens.get(&url).await.unwrap_err();
    assert!(is_idle(&mut source).await);
    tokio::time::sleep(Duration::from_millis(20)).await;
    tokens.get(&url).await.unwrap_err();
    assert!(!is_idle(&mut source).await);
}
