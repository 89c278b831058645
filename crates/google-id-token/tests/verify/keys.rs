//! Keys: fetched once for all, renewed in time, kept through an outage, and never asked for in a
//! flood.

use std::time::Duration;

use google_emulator::{Endpoint, Fault};
use google_id_token::verify::{Issuer, RefusalKind};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_first_requests_fetch_the_keys_once() {
    let world = World::new();
    let verifier = world.verifier();
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (verifier, token) = (verifier.clone(), world.token());
        requests.spawn(async move { verifier.verify(&token).await.is_ok() });
    }
    assert!(requests.join_all().await.into_iter().all(|good| good));
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_the_first_token_or_for_tokens_that_are_none() {
    let world = World::new();
    let verifier = world.verifier();
    for token in ["", "a.b.c", "ya29.token"] {
        assert!(verifier.verify(token).await.is_err());
    }
    assert_eq!(world.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_refuses_no_request() {
    let world = World::new();
    let verifier = world.verifier();
    let before = world.token();
    accepted(&verifier, &before).await;
    world.google.rotate_keys();
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let token = if number % 2 == 0 {
            world.token()
        } else {
            before.clone()
        };
        let verifier = verifier.clone();
        requests.spawn(async move { verifier.verify(&token).await.map(drop) });
    }
    for result in requests.join_all().await {
        result.unwrap();
    }
    assert_eq!(
        world.fetches(),
        2,
        "one fetch for all that name the new key"
    );
}

#[tokio::test(start_paused = true)]
async fn unknown_key_ids_fetch_the_keys_every_thirty_seconds_at_most() {
    let world = World::new();
    let verifier = world.verifier();
    accepted(&verifier, &world.token()).await;
    for second in 0..60 {
        for number in 0..10 {
            let kid = json!(format!("{second} {number}"));
            let token = world.forge.with_header("kid", kid);
            assert_eq!(
                refused(&verifier, &token).await,
                Some(RefusalKind::UnknownKey)
            );
        }
        world.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(world.fetches(), 3, "the first, at 0 s, and at 30 s");
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_at_the_end_of_their_time_while_requests_go_on() {
    let world = World::of(|builder| builder.certs_cache(6 * HOUR, HOUR));
    let verifier = world.verifier();
    accepted(&verifier, &world.token()).await;
    world.pass(4 * HOUR).await;
    accepted(&verifier, &world.token()).await;
    settle().await;
    assert_eq!(world.fetches(), 1, "they are good for five hours");
    world.google.fault(Endpoint::Certs, Fault::hang().times(1));
    world.pass(HOUR).await;
    accepted(&verifier, &world.token()).await;
    settle().await;
    assert_eq!(
        world.fetches(),
        2,
        "renewed behind the request, which did not wait"
    );
}

#[tokio::test(start_paused = true)]
async fn old_keys_serve_for_an_hour_of_outage_and_no_longer() {
    let world = World::of(|builder| builder.certs_cache(2 * HOUR, Duration::ZERO));
    let verifier = world.verifier();
    accepted(&verifier, &world.token()).await;
    world.google.fault(Endpoint::Certs, Fault::status(503));
    world.pass(2 * HOUR).await;
    for _ in 0..58 {
        world.pass(MINUTE).await;
        accepted(&verifier, &world.token()).await;
        settle().await;
    }
    let asked = world.fetches();
    assert!((2..=3 * 60).contains(&asked), "{asked} attempts in an hour");
    world.pass(3 * MINUTE).await;
    let refusal = verifier.verify(&world.token()).await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::KeysUnavailable);
    assert!(refusal.retry_after().is_some());
    world.google.clear_faults();
    world.pass(MINUTE).await;
    accepted(&verifier, &world.token()).await;
}

#[tokio::test(start_paused = true)]
async fn with_no_keys_at_all_the_answer_is_try_later_and_says_why_to_the_operator() {
    let world = World::new();
    let verifier = world.verifier();
    world.google.fault(Endpoint::Certs, Fault::status(500));
    let refusal = verifier.verify(&world.token()).await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::KeysUnavailable);
    let cause = std::error::Error::source(&refusal).unwrap().to_string();
    assert!(
        cause.contains("https://www.googleapis.com/oauth2/v3/certs"),
        "{cause}"
    );
    assert!(
        !refusal.to_string().contains("googleapis"),
        "the client need not know"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_key_in_an_outage_is_try_later_and_not_your_token_is_bad() {
    let world = World::new();
    let verifier = world.verifier();
    let before = world.token();
    accepted(&verifier, &before).await;
    world.google.rotate_keys();
    world.google.fault(Endpoint::Certs, Fault::status(503));
    for _ in 0..3 {
        let kind = refused(&verifier, &world.token()).await;
        assert_eq!(kind, Some(RefusalKind::KeysUnavailable));
        accepted(&verifier, &before).await;
    }
    world.google.clear_faults();
    world.pass(31 * Duration::from_secs(1)).await;
    accepted(&verifier, &world.token()).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_set_of_nonsense_is_no_key_set() {
    for body in [
        "",
        "{}",
        "[]",
        "{\"keys\":[]}",
        "{\"keys\":7}",
        "<html>",
        r#"{"keys":[{"kty":"RSA","kid":"x","n":"AQAB","e":"AQAB"}]}"#,
        r#"{"keys":[{"kty":"oct","kid":"x","k":"AQAB"}]}"#,
        r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"x","x":"AQAB","y":"AQAB"}]}"#,
    ] {
        let world = World::new();
        world
            .google
            .fault(Endpoint::Certs, Fault::status(200).body(body));
        let kind = refused(&world.verifier(), &world.token()).await;
        assert_eq!(kind, Some(RefusalKind::KeysUnavailable), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_one_who_asked_first_may_go_away() {
    let world = World::new();
    let verifier = world.verifier();
    accepted(&verifier, &world.token()).await;
    world.google.rotate_keys();
    world.google.fault(
        Endpoint::Certs,
        Fault::delay(Duration::from_secs(2)).times(1),
    );
    let token = world.token();
    let first = tokio::spawn({
        let (verifier, token) = (verifier.clone(), token.clone());
        async move { verifier.verify(&token).await.is_ok() }
    });
    settle().await;
    first.abort();
    accepted(&verifier, &token).await;
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_verifier_is_ready_when_it_has_every_issuers_keys() {
    let world = World::new();
    let verifier = world.verifier();
    world.google.fault(Endpoint::IapKeys, Fault::status(503));
    let refusal = verifier.ready().await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::KeysUnavailable);
    world.google.clear_faults();
    world.pass(MINUTE).await;
    verifier.ready().await.unwrap();
    verifier.ready().await.unwrap();
    accepted(&verifier, &world.token()).await;
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn new_rules_take_over_the_keys_and_so_outlive_an_outage() {
    let world = World::new();
    let old = world.verifier();
    accepted(&old, &world.token()).await;
    world.google.fault(Endpoint::Certs, Fault::status(503));
    let new = || world.builder().audience(crate::forge::AUDIENCE);
    let heir = new().keys_of(&old).allow_email(crate::forge::EMAIL);
    accepted(&heir.build().unwrap(), &world.token()).await;
    let stranger = new().keys_of(&old).allow_email("nobody@example.com");
    let kind = refused(&stranger.build().unwrap(), &world.token()).await;
    assert_eq!(kind, Some(RefusalKind::NotAllowed));
    // Keys of another address are not its keys.
    let elsewhere = new().keys_url(Issuer::Google, "https://keys.example/certs");
    let elsewhere = elsewhere.keys_of(&old).build().unwrap();
    let kind = refused(&elsewhere, &world.token()).await;
    assert_eq!(kind, Some(RefusalKind::KeysUnavailable));
}
