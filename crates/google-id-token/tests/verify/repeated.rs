//! The same token again: remembered from its second time on, and not for too long.

use std::time::Duration;

use google_id_token::verify::{RefusalKind, Verifier};

use crate::forge::AUDIENCE;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn from_its_third_time_on_a_token_is_not_checked_anew() {
    let world = World::new();
    let verifier = world.verifier();
    for token in [world.forge.sound(), world.forge.sound_iap()] {
        // Clones share one buffer, so the same one tells a caller that was remembered.
        let mut callers = Vec::new();
        for _ in 0..4 {
            callers.push(accepted(&verifier, &token).await);
        }
        let buffer = |at: usize| callers[at].subject().as_ptr();
        assert_ne!(buffer(0), buffer(1));
        assert_eq!(buffer(1), buffer(2));
        assert_eq!(buffer(1), buffer(3));
    }
}

/// So often that it is remembered.
async fn remembered(verifier: &Verifier, token: &str) {
    let first = accepted(verifier, token).await;
    let (second, third) = (
        accepted(verifier, token).await,
        accepted(verifier, token).await,
    );
    assert_ne!(first.subject().as_ptr(), second.subject().as_ptr());
    assert_eq!(second.subject().as_ptr(), third.subject().as_ptr());
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_dies_with_its_exp_to_the_second() {
    let world = World::new();
    let verifier = world.verifier();
    let token = world.forge.with("exp", serde_json::json!(NOW + 100));
    remembered(&verifier, &token).await;
    world.pass(Duration::from_secs(129)).await;
    // Past exp it is checked anew, so that the leeway is the only thing that lets it live.
    accepted(&verifier, &token).await;
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(refused(&verifier, &token).await, Some(RefusalKind::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_is_not_good_for_keys_that_changed() {
    let world = World::new();
    let verifier = world.verifier();
    let token = world.token();
    remembered(&verifier, &token).await;
    world.google.fault(
        google_emulator::Endpoint::Certs,
        google_emulator::Fault::status(200)
            .body(other_key())
            .times(1),
    );
    let unknown = world.forge.with_header("kid", serde_json::json!("unknown"));
    assert_eq!(
        refused(&verifier, &unknown).await,
        Some(RefusalKind::UnknownKey)
    );
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(
        refused(&verifier, &token).await,
        Some(RefusalKind::UnknownKey)
    );
}

/// A key set without the key that the token was signed with.
fn other_key() -> String {
    let n = crate::forge::encode([0xc5; 256]);
    let key = serde_json::json!({ "kty": "RSA", "kid": "other", "n": n, "e": "AQAB" });
    serde_json::json!({ "keys": [key] }).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_is_no_other_verifiers() {
    let world = World::new();
    let token = world.token();
    remembered(&world.verifier(), &token).await;
    let other = world
        .builder()
        .audience("https://other.example")
        .build()
        .unwrap();
    assert_eq!(refused(&other, &token).await, Some(RefusalKind::Audience));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_differs_in_one_letter_is_another_token() {
    let world = World::new();
    let verifier = world
        .builder()
        .audience(AUDIENCE)
        .remember(4)
        .build()
        .unwrap();
    let token = world.token();
    remembered(&verifier, &token).await;
    for at in [0, 10, token.len() / 2, token.len() - 3] {
        let mut other = token.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        assert!(refused(&verifier, &other).await.is_some(), "{at}");
    }
    let forgetful = world
        .builder()
        .audience(AUDIENCE)
        .remember(0)
        .build()
        .unwrap();
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(accepted(&forgetful, &token).await);
    }
    callers.dedup_by_key(|caller| caller.subject().as_ptr());
    assert_eq!(callers.len(), 4);
}
