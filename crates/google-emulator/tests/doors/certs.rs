//! The published keys, used as a verifier of somebody else's would.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use google_emulator::Emulator;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

use crate::support::*;

const JWKS: &str = "https://www.googleapis.com/oauth2/v3/certs";
const X509: &str = "https://www.googleapis.com/oauth2/v1/certs";

async fn keys(client: &Client) -> Vec<Value> {
    client.ask(get(JWKS)).await.json()["keys"]
        .as_array()
        .expect("keys")
        .clone()
}

fn header(token: &str) -> Value {
    let part = token.split('.').next().expect("a header");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

/// Whether a key of the set verifies the token, as the token's key id says.
fn verifies(keys: &[Value], token: &str) -> bool {
    let header = header(token);
    let Some(key) = keys.iter().find(|key| key["kid"] == header["kid"]) else {
        return false;
    };
    let decode = |name: &str| {
        URL_SAFE_NO_PAD
            .decode(key[name].as_str().expect("a number"))
            .expect("base64")
    };
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    RsaPublicKeyComponents {
        n: decode("n"),
        e: decode("e"),
    }
    .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
    .is_ok()
}

#[tokio::test]
async fn the_jwk_set_verifies_tokens() {
    for client in Client::both(&Emulator::new()).await {
        let token = client.identity("a").await;
        let keys = keys(&client).await;
        assert_eq!(header(&token)["alg"], "RS256");
        assert_eq!(header(&token)["typ"], "JWT");
        assert!(verifies(&keys, &token));
        let (signed, _) = token.rsplit_once('.').expect("a JWT");
        let other = client.identity("b").await;
        let (_, signature) = other.rsplit_once('.').expect("a JWT");
        assert!(!verifies(&keys, &format!("{signed}.{signature}")));
    }
}

#[tokio::test]
async fn after_a_rotation_both_keys_are_listed_and_both_verify() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    let before = client.identity("a").await;
    let cached = keys(&client).await;
    assert_eq!(cached.len(), 1);
    emulator.rotate_keys();
    let after = client.identity("a").await;
    assert_ne!(header(&before)["kid"], header(&after)["kid"]);
    assert!(
        !verifies(&cached, &after),
        "a verifier has to fetch the keys anew"
    );
    let fetched = keys(&client).await;
    assert_eq!(fetched.len(), 2);
    assert!(verifies(&fetched, &before) && verifies(&fetched, &after));
    assert!(emulator.verify(&before, "a").is_ok() && emulator.verify(&after, "a").is_ok());
    assert_eq!(header(&after)["kid"], emulator.key_id());
    emulator.rotate_keys();
    assert_eq!(
        header(&client.identity("a").await)["kid"],
        header(&before)["kid"]
    );
    assert_eq!(keys(&client).await.len(), 2);
}

#[tokio::test]
async fn certificates_carry_the_keys_of_the_jwk_set() {
    let emulator = Emulator::new();
    emulator.rotate_keys();
    let client = Client::in_memory(&emulator);
    let certificates = client.ask(get(X509)).await.json();
    let keys = keys(&client).await;
    assert_eq!(certificates.as_object().expect("a map").len(), keys.len());
    for key in keys {
        let pem = certificates[key["kid"].as_str().expect("an id")]
            .as_str()
            .expect("a PEM");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD
            .decode(base64)
            .expect("base64");
        let modulus = URL_SAFE_NO_PAD
            .decode(key["n"].as_str().expect("n"))
            .expect("base64");
        assert!(der.windows(modulus.len()).any(|window| window == modulus));
    }
}

#[tokio::test]
async fn certs_say_how_long_they_may_be_cached() {
    let emulator = Emulator::builder()
        .certs_cache(Duration::from_secs(100), Duration::from_secs(40))
        .build();
    for client in Client::both(&emulator).await {
        for url in [JWKS, X509] {
            let answer = client.ask(get(url)).await;
            assert!(answer.header("cache-control").contains("max-age=100"));
            assert_eq!(answer.header("age"), "40");
        }
    }
}

#[tokio::test]
async fn keys_of_accounts_are_published_for_accounts_that_exist() {
    let client = Client::in_memory(&Emulator::new());
    let url =
        |kind, email| format!("https://www.googleapis.com/service_accounts/v1/{kind}/{email}");
    assert_eq!(client.ask(get(&url("jwk", CALLER))).await.status, 200);
    assert_eq!(
        client.ask(get(&url("metadata/x509", CALLER))).await.status,
        200
    );
    assert_eq!(client.ask(get(&url("jwk", "ghost@x"))).await.status, 404);
}

#[tokio::test]
async fn iaps_keys_verify_its_assertions_before_and_after_a_rotation() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        for _ in 0..2 {
            let token =
                emulator.mint_iap(emulator.iap_claims("x@example.com", "/projects/1/apps/x"));
            assert_eq!(header(&token)["alg"], "ES256");
            let url = "https://www.gstatic.com/iap/verify/public_key";
            let set = client.ask(get(&format!("{url}-jwk"))).await.json();
            let keys = set["keys"].as_array().expect("keys");
            let key = keys.iter().find(|key| key["kid"] == header(&token)["kid"]);
            let key = key.expect("the key is listed");
            let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
            let mut point = vec![4];
            point.extend(decode(key["x"].as_str().expect("x")));
            point.extend(decode(key["y"].as_str().expect("y")));
            let (signed, signature) = token.rsplit_once('.').expect("a JWT");
            let verified = ring::signature::UnparsedPublicKey::new(
                &ring::signature::ECDSA_P256_SHA256_FIXED,
                &point,
            )
            .verify(signed.as_bytes(), &decode(signature));
            assert!(verified.is_ok());

            let pem = client.ask(get(url)).await.json();
            let pem = pem[emulator.iap_key_id()].as_str().expect("a PEM");
            let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let der = base64::engine::general_purpose::STANDARD.decode(base64);
            assert!(der.expect("base64").ends_with(&point));
            emulator.rotate_keys();
        }
    }
}
