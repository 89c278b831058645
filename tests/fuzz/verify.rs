//! Fuzzes the verifier: the token's form, its header, its claims, and the choice among a request's
//! headers. libFuzzer leads it, by the branches that an input takes; no nightly Rust is needed.
//!
//! ```bash
//! RUSTFLAGS='--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module
//!   -Cllvm-args=-sanitizer-coverage-level=4
//!   -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
//!   -Cllvm-args=-sanitizer-coverage-pc-table
//!   -Cllvm-args=-sanitizer-coverage-trace-compares' \
//! cargo test --release --package tests --features fuzz --test fuzz_verify \
//!   --target x86_64-unknown-linux-gnu --target-dir target/fuzz -- \
//!   -max_len=20000 -timeout=5 -max_total_time=60
//! ```
//!
//! With `--target`, build scripts are spared the flags; without the flags, libFuzzer says that
//! there is nothing to lead it, and fails. It wants a C++ compiler. A directory for the inputs that
//! were found worth keeping may follow; an input that failed is run again by its file's name.
//!
//! An accepted token is judged by what signed it, and claims and headers of a good signature by
//! another reader of JSON. `crates/google-id-token/tests/verify/property.rs` does without all of
//! this, in every `cargo test`.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use google_emulator::Emulator;
use google_id_token::verify::{Caller, IdentityHeaders, Issuer, RequireIdToken, Verifier};
use google_id_token::{Clock, HttpClient};
use http::{HeaderName, HeaderValue, Request, Response};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower_http::auth::AsyncAuthorizeRequest;

use forge::{AUDIENCE, Forge, IAP_AUDIENCE};

#[path = "../../crates/google-id-token/tests/verify/forge.rs"]
#[allow(dead_code)]
mod forge;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((what, input)) = input.split_first() else {
        return;
    };
    match what % 4 {
        0 => SETTING.token(input),
        1 => SETTING.request(input),
        2 => SETTING.claims(input),
        _ => SETTING.header(input),
    }
});

static SETTING: LazyLock<Setting> = LazyLock::new(Setting::new);

struct Setting {
    runtime: Runtime,
    verifier: Verifier,
    forge: Forge,
    sound: [String; 2],
    pieces: Vec<String>,
}

impl Setting {
    fn new() -> Self {
        let now = || UNIX_EPOCH + Duration::from_secs(NOW);
        let google = Emulator::builder().clock(now).build();
        let forge = Forge::new(&google, NOW);
        // An ECDSA signature is another one each time.
        let sound = [forge.sound(), forge.sound_iap()];
        let setting = Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            verifier: Verifier::builder()
                .audience(AUDIENCE)
                .iap_audience(IAP_AUDIENCE)
                .http(HttpClient::from_service(google))
                .clock(Clock::from_fn(now))
                .build()
                .unwrap(),
            pieces: pieces(&forge, &sound),
            sound,
            forge,
        };
        assert!(setting.sound.iter().all(|sound| setting.accepts(sound)));
        setting
    }

    fn accepts(&self, token: &str) -> bool {
        self.runtime.block_on(self.verifier.verify(token)).is_ok()
    }

    /// No token but the two that were signed.
    fn token(&self, input: &[u8]) {
        let token = String::from_utf8_lossy(&self.written_out(input)).into_owned();
        assert_eq!(self.accepts(&token), self.sound.contains(&token), "{token}");
    }

    /// No request without one of them, each where it belongs; and that one goes no further.
    fn request(&self, input: &[u8]) {
        let mut request = Request::new(());
        for line in input.split(|&byte| byte == b'\n') {
            let Some((name, value)) = line.split_first() else {
                continue;
            };
            let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
            if let Ok(value) = HeaderValue::from_bytes(&self.written_out(value)) {
                request.headers_mut().append(name, value);
            }
        }
        let [google, iap] = &self.sound;
        let could = request.headers().iter().any(|(name, value)| {
            let value = value.to_str().unwrap_or_default();
            match name.as_str() {
                "x-goog-iap-jwt-assertion" => value == iap,
                "authorization" | "x-serverless-authorization" => value
                    .split_once(' ')
                    .is_some_and(|(_, token)| token.trim_matches(' ') == google),
                _ => false,
            }
        });
        let mut authorize = RequireIdToken::<()>::new(self.verifier.clone())
            .identity_headers(IdentityHeaders::new());
        let result: Result<_, Response<()>> = self.runtime.block_on(authorize.authorize(request));
        match result {
            Ok(request) => {
                assert!(could);
                let caller: &Caller = request.extensions().get().unwrap();
                let checked = &self.sound[usize::from(caller.issuer() == Issuer::Iap)];
                let (signed, _) = checked.rsplit_once('.').unwrap();
                let headers = request.headers();
                let mut left = NAMES[..3].iter().flat_map(|name| headers.get_all(*name));
                let has = |value: &HeaderValue| {
                    String::from_utf8_lossy(value.as_bytes()).contains(signed)
                };
                assert!(!left.any(has));
            }
            Err(answer) => assert!(matches!(answer.status().as_u16(), 400 | 401)),
        }
    }

    /// No claims of a good signature but those that serde_json finds to be good too.
    fn claims(&self, input: &[u8]) {
        let payload = &self.written_out(input);
        let header = self.forge.iap_header().to_string();
        if self.accepts(&self.forge.sign_as_iap(header, payload)) {
            let claims: Value = serde_json::from_slice(payload).unwrap();
            let audience = &claims["aud"];
            assert!(*audience == IAP_AUDIENCE || *audience == json!([IAP_AUDIENCE]));
            assert_eq!(claims["iss"], "https://cloud.google.com/iap");
            assert!(claims["sub"].as_str().is_some_and(|sub| !sub.is_empty()));
            let time = |name: &str| claims[name].as_f64().map(|time| time as u64);
            let (issued, expires) = (time("iat").unwrap(), time("exp").unwrap());
            assert!(issued <= NOW + LEEWAY && NOW < expires + LEEWAY);
            assert!(issued < expires && expires - issued <= 600 + 2 * LEEWAY);
        }
    }

    /// No header of a good signature but those that serde_json finds to be good too.
    fn header(&self, input: &[u8]) {
        let header = &self.written_out(input);
        let claims = self.forge.iap_claims().to_string();
        if self.accepts(&self.forge.sign_as_iap(header, claims)) {
            let header: Value = serde_json::from_slice(header).unwrap();
            assert_eq!(header["alg"], "ES256");
            assert_eq!(header["kid"], self.forge.iap_key_id);
            assert!(header.get("crit").is_none() && header.get("cty").is_none());
        }
    }

    /// Bytes that no token has stand for pieces of sound ones, which nobody hits upon otherwise.
    fn written_out(&self, input: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for &byte in input {
            match usize::from(byte).checked_sub(FIRST_PIECE) {
                Some(number) => {
                    let piece = &self.pieces[number % self.pieces.len()];
                    text.extend_from_slice(piece.as_bytes());
                }
                None => text.push(byte),
            }
        }
        text
    }
}

/// Tokens and their parts, claims and headers and their members, and one more of each kind.
fn pieces(forge: &Forge, sound: &[String]) -> Vec<String> {
    let mut pieces = vec![
        "SIGNATURE_REMOVED_BY_GOOGLE".to_owned(),
        "Bearer ".to_owned(),
    ];
    for token in sound {
        pieces.extend(token.split('.').map(str::to_owned));
        pieces.push(token.clone());
    }
    for object in [forge.iap_claims(), forge.iap_header()] {
        let members = object.as_object().unwrap().iter();
        let members: Vec<_> = members
            .map(|(name, it)| format!("\"{name}\":{it}"))
            .collect();
        pieces.push(members.join(","));
        pieces.extend(members);
    }
    let names = [
        "alg", "kid", "typ", "cty", "crit", "iss", "aud", "sub", "exp", "iat", "nbf",
    ];
    pieces.extend(names.map(|name| format!(",\"{name}\":\"\"")));
    pieces
}

const FIRST_PIECE: usize = 128;
const NAMES: [&str; 5] = [
    "authorization",
    "x-serverless-authorization",
    "x-goog-iap-jwt-assertion",
    "proxy-authorization",
    "content-type",
];
const NOW: u64 = 1_700_000_000;
const LEEWAY: u64 = 30;
