//! The verifier among others: PyJWT, google-auth, google-cloud-auth and gcloud-sdk, on the same
//! tokens.
//!
//! gcloud-sdk asks for keys at Google's own address alone, and is given the emulator's by a source
//! of keys, which it lets one put in the place of that.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gcloud_sdk::IdTokenAudience;
use gcloud_sdk::id_token_verify::{IdTokenKeys, IdTokenKeysSource, IdTokenVerifier, JwkSet};
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
    // A second ago, so that what ended with the leeway did so for those too who let its last second
    // through.
    let mut forge = Forge::new(server.emulator(), since.unwrap().as_secs() - 1);
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
        .with_clock_skew(Duration::from_secs(30))
        .build();
    assert!(theirs.verify(&forge.sound()).await.is_ok());
    let mut accepted = BTreeSet::new();
    for hostile in &table {
        if theirs.verify(&hostile.token).await.is_ok() {
            accepted.insert(format!("google-cloud-auth: {}", hostile.what));
        }
    }
    let sdk = Arc::new(gcloud_sdk(&server));
    assert!(sdk.verify(&forge.sound()).await.is_ok());
    for hostile in &table {
        let (sdk, token) = (Arc::clone(&sdk), hostile.token.clone());
        // In a task, so that a panic is a verdict too.
        let verdict = tokio::spawn(async move { sdk.verify(&token).await.is_ok() }).await;
        if verdict.unwrap_or(true) {
            accepted.insert(format!("gcloud-sdk: {}", hostile.what));
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

fn gcloud_sdk(server: &Server) -> IdTokenVerifier {
    let keys = json!({ "keys": [server.emulator().jwk()] });
    let keys = Keys(serde_json::from_value(keys).unwrap());
    IdTokenVerifier::with_keys_source(IdTokenAudience::new(AUDIENCE), keys)
}

struct Keys(JwkSet);

#[async_trait::async_trait]
impl IdTokenKeysSource for Keys {
    async fn fetch_keys(&self) -> gcloud_sdk::error::Result<IdTokenKeys> {
        Ok(IdTokenKeys::new(self.0.clone(), Duration::from_secs(3600)))
    }
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
