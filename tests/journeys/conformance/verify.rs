//! The verifier among others: PyJWT, google-auth and google-cloud-auth, on the same tokens.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_cloud_auth::credentials::idtoken::verifier;
use google_emulator::{Credential, Emulator, Server};
use google_id_token::verify::{Issuer, Verifier};
use google_id_token::{Builder, Clock};
use serde_json::{Value, json};

use super::program::run;
use super::python::python;
use forge::{AUDIENCE, EMAIL, Forge, IAP_AUDIENCE};

#[path = "../../../crates/google-id-token/tests/verify/forge.rs"]
#[allow(dead_code)]
mod forge;
#[path = "../../../crates/google-id-token/tests/verify/hostile.rs"]
#[allow(dead_code)]
mod hostile;

#[tokio::test]
async fn the_verifier_accepts_what_google_auth_fetches() {
    let server = Emulator::new().serve().await.unwrap();
    for credential in [Credential::metadata(), Credential::service_account()] {
        let env = server.env_for(&credential).unwrap();
        let token = ask("fetch", AUDIENCE, env).await;
        let caller = verifier(&server)
            .verify(token.as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(caller.email(), Some(EMAIL));
    }
}

#[tokio::test]
async fn the_verifier_accepts_what_pyjwt_signs() {
    let server = Emulator::new().serve().await.unwrap();
    let google = server.emulator();
    let rsa = include_bytes!("../../../crates/google-emulator/keys/google-1.pk8");
    let ec = include_bytes!("../../../crates/google-emulator/keys/iap-1.pk8");
    for (alg, kid, key, claims) in [
        (
            "RS256",
            google.key_id(),
            rsa.as_slice(),
            google.claims(EMAIL, AUDIENCE),
        ),
        (
            "ES256",
            google.iap_key_id(),
            ec.as_slice(),
            google.iap_claims(EMAIL, IAP_AUDIENCE),
        ),
    ] {
        let body = STANDARD.encode(key);
        let key = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let order = json!({ "alg": alg, "kid": kid, "key": key, "claims": claims });
        let token = order_of("sign", &order).await;
        let caller = verifier(&server)
            .verify(token.as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(caller.email(), Some(EMAIL), "{alg}");
    }
}

#[tokio::test]
async fn pyjwt_and_google_auth_accept_what_is_minted_here() {
    let server = Emulator::new().serve().await.unwrap();
    let key = server
        .credentials(&Credential::service_account())
        .to_string();
    let credentials = Builder::new().credentials_json(key).build().await.unwrap();
    let ours = credentials
        .id_tokens()
        .get(&AUDIENCE.parse().unwrap())
        .await
        .unwrap();
    let said = check(&server, &[ours.secret().to_owned()]).await;
    assert_eq!(said, json!({ "PyJWT": [true], "google-auth": [true] }));
}

/// What others accept of the tokens that are refused here, by name; a list that got longer or
/// shorter fails, so that it stays true.
#[tokio::test]
async fn the_others_differ_on_the_hostile_tokens_in_known_ways() {
    let server = Emulator::new().serve().await.unwrap();
    let since = Clock::default().now().duration_since(std::time::UNIX_EPOCH);
    let mut forge = Forge::new(server.emulator(), since.unwrap().as_secs());
    // Time goes on while they check.
    forge.margin = 600;
    let table = hostile::table(&forge);
    let ours = verifier(&server);
    for hostile in &table {
        let kind = ours
            .verify(&hostile.token)
            .await
            .map_err(|refusal| refusal.kind());
        assert_eq!(kind.err(), Some(hostile.kind), "{}", hostile.what);
    }
    let theirs = verifier::Builder::new([AUDIENCE])
        .with_jwks_url(server.certs_url())
        .with_clock_skew(std::time::Duration::from_secs(30))
        .build();
    let mut accepted = BTreeSet::new();
    for hostile in &table {
        if theirs.verify(&hostile.token).await.is_ok() {
            accepted.insert(format!("google-cloud-auth: {}", hostile.what));
        }
    }
    let tokens: Vec<_> = table.iter().map(|hostile| hostile.token.clone()).collect();
    let said = check(&server, &tokens).await;
    for program in ["PyJWT", "google-auth"] {
        for (hostile, verdict) in table.iter().zip(said[program].as_array().unwrap()) {
            if *verdict == true {
                accepted.insert(format!("{program}: {}", hostile.what));
            }
        }
    }
    let accepted: Vec<_> = accepted.into_iter().collect();
    assert_eq!(
        accepted.join("\n"),
        DIFFERENCES.trim(),
        "{} tokens",
        table.len()
    );
}

fn verifier(server: &Server) -> Verifier {
    Verifier::builder()
        .audience(AUDIENCE)
        .iap_audience(IAP_AUDIENCE)
        .keys_url(Issuer::Google, server.certs_url())
        .keys_url(Issuer::Iap, server.iap_keys_url())
        .build()
        .unwrap()
}

async fn check(server: &Server, tokens: &[String]) -> Value {
    let order = json!({
        "tokens": tokens,
        "alg": "RS256",
        "audience": AUDIENCE,
        "issuers": ["https://accounts.google.com", "accounts.google.com"],
        "keys": { "keys": [server.emulator().jwk()] },
        "certs_url": server.certs_url(),
    });
    order_of("check", &order).await
}

async fn order_of(what: &str, order: &Value) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("order.json");
    std::fs::write(&path, order.to_string()).unwrap();
    ask(what, path.to_str().unwrap(), Vec::new()).await
}

async fn ask(what: &str, argument: &str, env: Vec<(String, String)>) -> Value {
    let python = tokio::task::spawn_blocking(python).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("journeys/conformance/verify.py");
    let said = run(python, &[script.to_str().unwrap(), what, argument], env).await;
    assert!(said.success, "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

const DIFFERENCES: &str = include_str!("differences.txt");
