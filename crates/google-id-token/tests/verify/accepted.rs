//! Sound tokens are accepted, and their claims are told as they are.

use std::time::{Duration, UNIX_EPOCH};

use google_id_token::verify::Issuer;
use serde_json::{Value, json};

use crate::forge::{AUDIENCE, EMAIL, IAP_AUDIENCE, altered};
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_token_of_googles_tells_who_calls() {
    let world = World::new();
    let caller = accepted(
        &world.verifier(),
        &world.forge.with("hd", json!("example.com")),
    )
    .await;
    assert_eq!(caller.issuer(), Issuer::Google);
    assert_eq!(caller.audience(), AUDIENCE);
    assert_eq!(caller.subject(), "100000000000000000001");
    assert_eq!(caller.authorized_party(), Some("100000000000000000001"));
    assert_eq!(caller.email(), Some(EMAIL));
    assert_eq!(caller.hosted_domain(), Some("example.com"));
    assert_eq!(caller.issued_at(), UNIX_EPOCH + Duration::from_secs(NOW));
    assert_eq!(
        caller.expires_at(),
        UNIX_EPOCH + Duration::from_secs(NOW + 3600)
    );
    let claims: Value = caller.claims().unwrap();
    assert_eq!(claims["email_verified"], true);
    assert!(caller.claims::<Vec<u8>>().is_err());
    assert!(!format!("{caller:?}").contains("exp"));
}

#[tokio::test(start_paused = true)]
async fn an_assertion_of_iaps_tells_who_calls() {
    let world = World::new();
    let verifier = world.verifier();
    let caller = accepted(&verifier, &world.forge.sound_iap()).await;
    assert_eq!(caller.issuer(), Issuer::Iap);
    assert_eq!(caller.audience(), IAP_AUDIENCE);
    assert_eq!(caller.email(), Some(EMAIL), "IAP says no email_verified");
    let by_emulator = world
        .google
        .mint_iap(world.google.iap_claims(EMAIL, IAP_AUDIENCE));
    assert_eq!(accepted(&verifier, &by_emulator).await.email(), Some(EMAIL));
}

#[tokio::test(start_paused = true)]
async fn what_is_unusual_and_sound_is_accepted() {
    let world = World::new();
    let verifier = world
        .builder()
        .audiences([AUDIENCE, "https://second.example"])
        .iap_audience(IAP_AUDIENCE)
        .build()
        .unwrap();
    let forge = &world.forge;
    let claims = forge.claims();
    let inside = claims.to_string();
    let nested = format!("{{\"google\":{{\"a\":1,\"a\":2}},{}", &inside[1..]);
    for (what, token) in [
        (
            "the other spelling",
            forge.with("iss", json!("accounts.google.com")),
        ),
        (
            "the second audience",
            forge.with("aud", json!("https://second.example")),
        ),
        (
            "an audience in an array",
            forge.with("aud", json!([AUDIENCE])),
        ),
        ("no type", forge.with_header("typ", Value::Null)),
        (
            "a type in lower case",
            forge.with_header("typ", json!("jwt")),
        ),
        ("no e-mail", forge.with("email", Value::Null)),
        ("no authorized party", forge.with("azp", Value::Null)),
        (
            "a fraction of a second",
            forge.with("exp", json!(NOW as f64 + 3600.5)),
        ),
        ("an end of a moment ago", {
            let claims = altered(claims.clone(), "exp", json!(NOW - 29));
            let claims = serde_json::from_str(&claims).unwrap();
            let claims = altered(claims, "iat", json!(NOW - 3600));
            forge.sign(forge.header().to_string(), claims)
        }),
        ("issued in a moment", forge.with("iat", json!(NOW + 30))),
        ("not before now", forge.with("nbf", json!(NOW))),
        ("a whole day", forge.with("exp", json!(NOW + 86_400))),
        (
            "licenses",
            forge.with(
                "google",
                json!({ "compute_engine": { "license_id": ["1"] } }),
            ),
        ),
        (
            "a claim within a claim twice",
            forge.sign(forge.header().to_string(), nested),
        ),
        (
            "escapes",
            forge.sign(
                forge.header().to_string(),
                inside.replace("https:", "h\\u0074tps:"),
            ),
        ),
        (
            "IAP and the leeway twice",
            forge.iap_with("exp", json!(NOW + 660)),
        ),
    ] {
        assert_eq!(refused(&verifier, &token).await, None, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_email_that_nobody_verified_is_nobodys() {
    let world = World::new();
    let verifier = world.verifier();
    for value in [json!(false), Value::Null] {
        let token = world.forge.with("email_verified", value);
        assert_eq!(accepted(&verifier, &token).await.email(), None);
    }
    let refuted = world.forge.iap_with("email_verified", json!(false));
    assert_eq!(accepted(&verifier, &refuted).await.email(), None);
}

#[tokio::test]
async fn what_our_own_credentials_mint_is_accepted() {
    let google = google_emulator::Emulator::new();
    let http = google_id_token::HttpClient::from_service(google.clone());
    let verifier = google_id_token::verify::Verifier::builder()
        .audience(AUDIENCE)
        .allow_email(EMAIL)
        .http(http.clone())
        .build()
        .unwrap();
    let key = google.credentials(&google_emulator::Credential::service_account());
    let credentials = google_id_token::Builder::new()
        .credentials_json(key.to_string())
        .http(http)
        .build()
        .await
        .unwrap();
    let token = credentials
        .id_tokens()
        .get(&AUDIENCE.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        accepted(&verifier, token.secret()).await.email(),
        Some(EMAIL)
    );
}
