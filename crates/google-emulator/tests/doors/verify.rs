//! Minting and verifying at will.

use std::time::Duration;

use google_emulator::{Emulator, Rejection};
use serde_json::{Value, json};

use crate::support::*;

#[test]
fn what_was_minted_verifies() {
    let emulator = paused();
    let claims = emulator.claims("someone@example.com", "a");
    assert_eq!(emulator.verify(&emulator.mint(&claims), "a"), Ok(claims));
}

#[test]
fn what_is_wrong_with_a_token_is_told() {
    let emulator = paused();
    let spoilt = |name: &str, value: Value| {
        let mut claims = serde_json::to_value(emulator.claims("x@example.com", "a")).expect("JSON");
        claims[name] = value;
        emulator.verify(&emulator.mint(claims), "a")
    };
    assert_eq!(spoilt("aud", json!("b")), Err(Rejection::Audience));
    assert_eq!(spoilt("aud", json!("a/")), Err(Rejection::Audience));
    assert_eq!(
        spoilt("iss", json!("https://evil.example")),
        Err(Rejection::Issuer)
    );
    assert!(spoilt("iss", json!("accounts.google.com")).is_ok());
    assert_eq!(spoilt("exp", json!(NOW)), Err(Rejection::Expired));
    assert!(spoilt("exp", json!(NOW + 1)).is_ok());
    assert_eq!(spoilt("iat", json!(NOW + 1)), Err(Rejection::NotYet));
    assert_eq!(spoilt("exp", Value::Null), Err(Rejection::Malformed));
    for token in ["", "..", "a.b.c", "ya29.x", "e30.e30.", "e30.W10.x"] {
        assert!(emulator.verify(token, "a").is_err(), "{token}");
    }
}

#[test]
fn a_token_must_be_signed_by_a_published_key_with_rs256() {
    let emulator = paused();
    let claims = emulator.claims("x@example.com", "a");
    let id = emulator.key_id();
    let under = |header: Value| emulator.verify(&emulator.mint_with_header(header, &claims), "a");
    assert!(under(json!({ "alg": "RS256", "kid": id })).is_ok());
    assert_eq!(
        under(json!({ "alg": "none", "kid": id })),
        Err(Rejection::Signature)
    );
    assert_eq!(
        under(json!({ "alg": "HS256", "kid": id })),
        Err(Rejection::Signature)
    );
    assert_eq!(
        under(json!({ "alg": "RS256", "kid": "x" })),
        Err(Rejection::UnknownKey)
    );
    assert_eq!(under(json!({ "alg": "RS256" })), Err(Rejection::UnknownKey));

    let rotated = paused();
    rotated.rotate_keys();
    assert_eq!(
        emulator.verify(&rotated.mint(&claims), "a"),
        Err(Rejection::UnknownKey)
    );
    let forged = rotated.mint_with_header(json!({ "alg": "RS256", "kid": id }), &claims);
    assert_eq!(emulator.verify(&forged, "a"), Err(Rejection::Signature));
    let token = emulator.mint(&claims);
    let unsigned = format!("{}.", token.rsplit_once('.').expect("a JWT").0);
    assert_eq!(emulator.verify(&unsigned, "a"), Err(Rejection::Signature));
}

#[test]
fn a_clock_that_goes_on_expires_tokens() {
    let clock = TestClock::default();
    let emulator = Emulator::builder()
        .clock(clock.reader())
        .token_lifetime(Duration::from_secs(10))
        .build();
    let token = emulator.mint(emulator.claims("x@example.com", "a"));
    clock.advance(Duration::from_secs(9));
    assert!(emulator.verify(&token, "a").is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(emulator.verify(&token, "a"), Err(Rejection::Expired));
}
