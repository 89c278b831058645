//! Time: how long an attempt may take, when the next one comes, and when there is none.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use google_emulator::{Credential, Emulator, Endpoint, Fault};
use google_id_token::{
    Audience, Builder, Cache, CacheBuilder, Clock, ErrorKind, HttpClient, IdToken, Metadata,
};
use serde_json::json;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::support::{
    AUDIENCE, Peer, answer, audience, id_token, in_memory, json_answer, metadata_answer, user_file,
    with_file, with_metadata,
};

const SECOND: Duration = Duration::from_secs(1);

fn source(http: google_id_token::HttpClient) -> Metadata {
    Metadata::new(http, "metadata.google.internal").unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_can_pass_is_tried_three_times_with_a_second_and_more_between() {
    for status in [408, 429, 500, 502, 503, 504] {
        let peer = Peer::default();
        let http = peer.client(move |_, _| metadata_answer(status, "later"));
        let error = source(http).oneshot(audience()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{status}");
        assert!(error.to_string().contains("(3 attempts)"), "{error}");
        let gaps = peer.gaps();
        assert_eq!(gaps.len(), 2, "{status}");
        assert!(gaps.iter().all(|gap| *gap >= SECOND), "{gaps:?}");
        assert!(gaps[1] >= 2 * SECOND, "{gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_pass_is_asked_once() {
    for (status, kind) in [
        (301, ErrorKind::Malformed),
        (400, ErrorKind::Config),
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (404, ErrorKind::NotFound),
        (418, ErrorKind::Malformed),
    ] {
        let peer = Peer::default();
        let http = peer.client(move |_, _| metadata_answer(status, "no"));
        let error = source(http).oneshot(audience()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert_eq!(peer.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn refused_and_reset_connections_are_tried_again() {
    for kind in [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::UnexpectedEof,
    ] {
        let peer = Peer::default();
        let http = peer.client(move |number, _| match number {
            1 | 2 => Err(kind.into()),
            _ => metadata_answer(200, &id_token(AUDIENCE)),
        });
        let tokens = with_metadata(http).build().await.unwrap().id_tokens();
        tokens.get(&audience()).await.unwrap();
        assert_eq!(peer.asked().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_given_up_before_the_cache_gives_the_flight_up() {
    for (credential, endpoint) in [
        (Credential::service_account(), Endpoint::Token),
        (Credential::impersonated_by_user(), Endpoint::Token),
        (
            Credential::impersonated_by_user(),
            Endpoint::GenerateIdToken,
        ),
    ] {
        let emulator = Emulator::new();
        emulator.fault(endpoint, Fault::hang());
        let tokens = with_file(&emulator, &credential)
            .build()
            .await
            .unwrap()
            .id_tokens();
        let start = Instant::now();
        let error = tokens.get(&audience()).await.unwrap_err();
        assert!(start.elapsed() < 10 * SECOND, "{:?}", start.elapsed());
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("no answer within"), "{error}");
        assert!((2..=3).contains(&emulator.journal().count(endpoint)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_attempt_takes_four_seconds_at_most() {
    let http = google_id_token::HttpClient::from_service(tower::service_fn(
        |request: http::Request<http_body_util::Full<bytes::Bytes>>| async move {
            drop(request);
            pending::<io::Result<http::Response<http_body_util::Full<bytes::Bytes>>>>().await
        },
    ));
    let start = Instant::now();
    let error = source(http).oneshot(audience()).await.unwrap_err();
    // 4 s, 4 s and what is left.
    assert!(start.elapsed() > 8 * SECOND && start.elapsed() < 10 * SECOND);
    assert!(error.to_string().contains("(3 attempts)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_leaves_less_time_to_what_comes_after_it() {
    let emulator = Emulator::new();
    emulator.fault(Endpoint::Token, Fault::status(503).times(2));
    emulator.fault(Endpoint::GenerateIdToken, Fault::hang());
    let credential = Credential::impersonated_by_user();
    let tokens = with_file(&emulator, &credential)
        .build()
        .await
        .unwrap()
        .id_tokens();
    let start = Instant::now();
    let error = tokens.get(&audience()).await.unwrap_err();
    assert!(start.elapsed() < 10 * SECOND);
    assert!(error.to_string().contains("IAM Credentials"), "{error}");
}

fn asks_for(wait: &'static str) -> (Peer, google_id_token::HttpClient) {
    let peer = Peer::default();
    let http = peer.client(move |number, _| {
        if number > 1 {
            return metadata_answer(200, &id_token(AUDIENCE));
        }
        let mut busy = answer(429, "")?;
        busy.headers_mut()
            .insert("retry-after", wait.parse().unwrap());
        Ok(busy)
    });
    (peer, http)
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_where_it_fits() {
    let (peer, http) = asks_for("5");
    source(http).oneshot(audience()).await.unwrap();
    let gaps = peer.gaps();
    assert!(gaps[0] >= 5 * SECOND && gaps[0] < 6 * SECOND, "{gaps:?}");

    let (peer, http) = asks_for("0");
    source(http).oneshot(audience()).await.unwrap();
    assert!(peer.gaps()[0] >= SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_that_does_not_fit_is_handed_on() {
    for (wait, seconds) in [("30", 30), ("99999999999", 24 * 60 * 60)] {
        let (peer, http) = asks_for(wait);
        let start = Instant::now();
        let error = source(http).oneshot(audience()).await.unwrap_err();
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(error.retry_after(), Some(seconds * SECOND));
        assert_eq!(peer.asked().len(), 1);
    }
    // A date is an answer too, and one that is past means now.
    let (peer, http) = asks_for("Fri, 31 Dec 1999 23:59:59 GMT");
    source(http).oneshot(audience()).await.unwrap();
    assert_eq!(peer.asked().len(), 2);
    let (_, http) = asks_for("Fri, 31 Dec 2100 23:59:59 GMT");
    let error = source(http).oneshot(audience()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(24 * 60 * 60 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_in_trouble_never_sees_two_requests_a_second() {
    let peer = Peer::default();
    let http = peer.client(|_, _| metadata_answer(503, "down"));
    let tokens = Cache::new(source(http));
    let end = Instant::now() + 120 * SECOND;
    while Instant::now() < end {
        // A request every 50 ms.
        let _ = tokens.get(&audience()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gaps = peer.gaps();
    assert!(gaps.len() > 20);
    assert!(gaps.iter().all(|gap| *gap >= SECOND), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn the_cache_keeps_the_old_token_while_a_refresh_fails() {
    let emulator = Emulator::new();
    let tokens = with_metadata(in_memory(&emulator))
        .build()
        .await
        .unwrap()
        .id_tokens();
    let first = tokens.get(&audience()).await.unwrap();
    emulator.fault(Endpoint::MetadataIdentity, Fault::status(500));
    tokio::time::sleep(11 * SECOND).await;
    let again = tokens.get(&audience()).await.unwrap();
    assert_eq!(first.secret(), again.secret());
}

/// A token endpoint that hands out a new access token each time, and an IAM that takes the ones
/// that this closure likes.
fn choosy(peer: &Peer, takes: fn(&str) -> bool) -> HttpClient {
    peer.client(move |number, asked| {
        let Some(access) = asked.header("authorization") else {
            let access = format!("ya29.number-{number}");
            return json_answer(json!({ "access_token": access, "expires_in": 3600 }));
        };
        match takes(access) {
            true => json_answer(json!({ "token": id_token(AUDIENCE) })),
            false => answer(401, "{}"),
        }
    })
}

/// Impersonates over that, with a clock that runs as far ahead as the counter says.
async fn impersonated(http: HttpClient, ahead: &Arc<AtomicU64>) -> Cache<Audience, IdToken> {
    let hand = Arc::clone(ahead);
    let clock = Clock::from_fn(move || {
        Clock::default().now() + Duration::from_secs(hand.load(Ordering::Relaxed))
    });
    let builder = Builder::new()
        .http(http)
        .credentials_json(user_file().to_string())
        .impersonate("robot@project.iam.gserviceaccount.com")
        .cache(CacheBuilder::default().clock(clock));
    builder.build().await.unwrap().id_tokens()
}

#[tokio::test(start_paused = true)]
async fn an_access_token_that_iam_refuses_is_renewed_once_and_asked_with_again() {
    let (peer, ahead) = (Peer::default(), Arc::new(AtomicU64::new(0)));
    let tokens = impersonated(
        choosy(&peer, |access| !access.ends_with("number-1")),
        &ahead,
    )
    .await;
    // Fresh from the endpoint and refused: a second one would be no better.
    let error = tokens.get(&audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(peer.asked().len(), 2);
    // Kept for a while and refused: it may have been revoked since.
    ahead.store(60, Ordering::Relaxed);
    tokio::time::advance(60 * SECOND).await;
    tokens.get(&audience()).await.unwrap();
    let asked = peer.asked();
    assert_eq!(asked.len(), 5);
    assert_eq!(
        asked[4].header("authorization"),
        Some("Bearer ya29.number-4")
    );
}

#[tokio::test(start_paused = true)]
async fn an_iam_that_refuses_every_access_token_is_not_hammered() {
    let (peer, ahead) = (Peer::default(), Arc::new(AtomicU64::new(0)));
    let tokens = impersonated(choosy(&peer, |_| false), &ahead).await;
    tokens.get(&audience()).await.unwrap_err();
    ahead.store(60, Ordering::Relaxed);
    tokio::time::advance(60 * SECOND).await;
    tokens.get(&audience()).await.unwrap_err();
    // An exchange and a refusal; the old one refused, a new exchange, and the new one refused.
    assert_eq!(peer.asked().len(), 5);
    for number in 0..20 {
        let other = format!("https://service-{number}.example").parse().unwrap();
        tokens.get(&other).await.unwrap_err();
    }
    // One refusal each, and no exchange more.
    assert_eq!(peer.asked().len(), 25);
}
