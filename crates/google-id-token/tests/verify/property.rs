//! A hundred thousand made-up tokens, and as many requests with made-up headers: none is accepted
//! that was not minted, none makes it panic, and every refusal has an answer.
//!
//! Each case follows from its number, which is said where one fails.
//! `VERIFY_PROPERTY_CASES` asks for another number of cases, `VERIFY_PROPERTY_FIRST` for others than
//! the first ones:
//!
//! ```bash
//! VERIFY_PROPERTY_FIRST=1000000 VERIFY_PROPERTY_CASES=5000000 \
//!   cargo test --release --package google-id-token --features axum --test verify property
//! ```
//!
//! A fuzzer goes where these do not: `tests/fuzz/verify.rs`.

use std::ops::Range;

use fastrand::Rng;
use google_id_token::verify::{Caller, IdentityHeaders, Issuer, RequireIdToken, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::runtime::Runtime;
use tower_http::auth::AsyncAuthorizeRequest;

use crate::forge::encode;
use crate::support::*;

struct Setting {
    runtime: Runtime,
    verifier: Verifier,
    sound: [String; 2],
}

impl Setting {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let world = World::new();
        let setting = Self {
            runtime,
            verifier: world.verifier(),
            sound: [world.forge.sound(), world.forge.sound_iap()],
        };
        assert!(setting.sound.iter().all(|sound| setting.accepts(sound)));
        setting
    }

    fn accepts(&self, token: &str) -> bool {
        self.runtime.block_on(self.verifier.verify(token)).is_ok()
    }

    fn nothing_but_the_checked_token_is_gone(&self, request: &Request<()>, sent: &HeaderMap) {
        let caller: &Caller = request.extensions().get().unwrap();
        let [google, iap] = &self.sound;
        let checked = match caller.issuer() {
            Issuer::Iap => iap,
            _ => google,
        };
        let (signed, _) = checked.rsplit_once('.').unwrap();
        let left = request.headers().get_all("authorization");
        let own = sent.get_all("authorization").iter();
        let own = own.filter(|value| !String::from_utf8_lossy(value.as_bytes()).contains(signed));
        assert!(left.iter().eq(own), "{sent:?}");
        for name in ["x-serverless-authorization", "x-goog-iap-jwt-assertion"] {
            assert!(!request.headers().contains_key(name), "{sent:?}");
        }
    }

    /// A token put together from parts, or a sound one with a piece of it changed.
    fn token(&self, random: &mut Rng) -> String {
        let sound = &self.sound[random.usize(0..2)];
        if random.bool() {
            let parts: Vec<_> = (0..random.usize(0..6))
                .map(|_| part(sound, random))
                .collect();
            return parts.join(".");
        }
        let at = random.usize(0..sound.len());
        let end = (at + random.usize(0..4)).min(sound.len());
        let put = text(random, 3);
        format!("{}{put}{}", &sound[..at], &sound[end..])
    }
}

/// Text that looks like a part of a token, more or less.
fn part(sound: &str, random: &mut Rng) -> String {
    match random.u8(0..12) {
        0..5 => sound.split('.').nth(random.usize(0..3)).unwrap().to_owned(),
        5 => (0..random.usize(0..40))
            .map(|_| random.alphanumeric())
            .collect(),
        6..9 => encode(json(random)),
        9 => text(random, 20),
        10 => encode(
            (0..random.usize(0..40))
                .map(|_| random.u8(..))
                .collect::<Vec<_>>(),
        ),
        _ => "SIGNATURE_REMOVED_BY_GOOGLE".to_owned(),
    }
}

/// Text that looks like JSON, more or less.
fn json(random: &mut Rng) -> String {
    let names = [
        "alg",
        "kid",
        "typ",
        "crit",
        "iss",
        "aud",
        "sub",
        "exp",
        "iat",
        "x",
        "\\u0061ud",
    ];
    let mut members = Vec::new();
    for _ in 0..random.usize(0..6) {
        let name = random.choice(names).unwrap();
        let value = match random.u8(0..8) {
            0 => "\"RS256\"".to_owned(),
            1 => "\"none\"".to_owned(),
            2 => "\"https://accounts.google.com\"".to_owned(),
            3 => "[[[{}]]]".to_owned(),
            4 => f64::from_bits(random.u64(..)).to_string(),
            5 => random.i64(..).to_string(),
            6 => format!("\"{}\"", text(random, 10)),
            _ => text(random, 6),
        };
        members.push(format!("\"{name}\":{value}"));
    }
    format!("{{{}}}", members.join(","))
}

/// Up to so many characters: printable ones, and now and then any.
fn text(random: &mut Rng, most: usize) -> String {
    let any = random.u8(0..8) == 0;
    (0..random.usize(0..=most))
        .map(|_| {
            if any {
                random.char(..)
            } else {
                random.char(' '..='~')
            }
        })
        .collect()
}

/// The numbers of the cases. A hundred thousand each, unless somebody wants to know more.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says so")]
fn cases() -> Range<u64> {
    let number = |name, unless| match std::env::var(name) {
        Ok(number) => number.parse().expect(name),
        Err(_) => unless,
    };
    let first = number("VERIFY_PROPERTY_FIRST", 0);
    first..first + number("VERIFY_PROPERTY_CASES", 100_000)
}

/// Says its number where the case ends in a panic, be it the test's or the verifier's own.
struct Case(u64);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was case {}", self.0);
        }
    }
}

#[test]
fn no_token_is_accepted_that_was_not_minted_in_100_000_attempts() {
    let setting = Setting::new();
    for case in cases() {
        let _said = Case(case);
        let token = setting.token(&mut Rng::with_seed(case));
        let minted = setting.sound.contains(&token);
        assert_eq!(setting.accepts(&token), minted, "case {case}: {token}");
    }
}

#[test]
fn no_headers_let_a_request_in_but_those_with_a_token_in_100_000_attempts() {
    let setting = Setting::new();
    let names = [
        "authorization",
        "x-serverless-authorization",
        "x-goog-iap-jwt-assertion",
        "proxy-authorization",
        "content-type",
    ];
    let schemes = ["Bearer ", "bearer ", "Bearer", "Basic ", "", "bearer  "];
    let (mut let_in, mut sent_away) = (0, 0);
    for case in cases() {
        let _said = Case(case);
        let random = &mut Rng::with_seed(case);
        let mut request = Request::new(());
        let mut could = false;
        for _ in 0..random.usize(0..4) {
            let name = HeaderName::from_static(random.choice(names).unwrap());
            let scheme = random.choice(schemes).unwrap();
            let token = match random.u8(0..4) {
                0 => setting.sound[random.usize(0..2)].clone(),
                _ => setting.token(random),
            };
            let Ok(value) = HeaderValue::from_bytes(format!("{scheme}{token}").as_bytes()) else {
                continue;
            };
            could |= setting
                .sound
                .iter()
                .any(|sound| sound == token.trim_matches(' '));
            request.headers_mut().append(name, value);
        }
        let sent = request.headers().clone();
        let mut authorize = RequireIdToken::<()>::new(setting.verifier.clone())
            .identity_headers(IdentityHeaders::new());
        let result: Result<_, Response<()>> =
            setting.runtime.block_on(authorize.authorize(request));
        match result {
            Ok(request) => {
                assert!(could, "case {case}");
                setting.nothing_but_the_checked_token_is_gone(&request, &sent);
                let_in += 1;
            }
            Err(answer) => {
                let status = answer.status().as_u16();
                assert!(matches!(status, 400 | 401), "case {case}: {status}");
                sent_away += 1;
            }
        }
    }
    // Both happen, or this would show nothing.
    let some = cases().count() / 100;
    assert!(let_in > some / 2, "{let_in} of {sent_away} were let in");
    assert!(sent_away > some, "{sent_away} to {let_in} were sent away");
}
