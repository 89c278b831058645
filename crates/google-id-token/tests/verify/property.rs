//! A hundred thousand made-up tokens and headers, in place of a fuzzer: none is accepted that was
//! not minted, none makes it panic, and every refusal has an answer.

use std::cell::RefCell;

use axum::body::Body;
use google_id_token::verify::{RequireIdToken, Verifier};
use http::{HeaderName, HeaderValue, Request, Response};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use tokio::runtime::Runtime;
use tower_http::auth::AsyncAuthorizeRequest;

use crate::forge::encode;
use crate::support::*;

struct Setting {
    runtime: Runtime,
    verifier: Verifier,
    sound: String,
    assertion: String,
}

impl Setting {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let world = World::new();
        let verifier = world.verifier();
        let setting = Self {
            sound: world.forge.sound(),
            assertion: world.forge.sound_iap(),
            verifier,
            runtime,
        };
        assert!(setting.accepts(&setting.sound) && setting.accepts(&setting.assertion));
        setting
    }

    fn accepts(&self, token: &str) -> bool {
        self.runtime.block_on(self.verifier.verify(token)).is_ok()
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    })
}

/// Text that looks like a part of a token, more or less.
fn part(sound: &str) -> impl Strategy<Value = String> + use<> {
    let parts: Vec<String> = sound.split('.').map(str::to_owned).collect();
    prop_oneof![
        4 => proptest::sample::select(parts),
        2 => "[A-Za-z0-9_-]{0,40}",
        2 => json().prop_map(encode),
        1 => "[ -~]{0,20}",
        1 => any::<String>(),
        1 => vec(any::<u8>(), 0..40).prop_map(encode),
        1 => Just("SIGNATURE_REMOVED_BY_GOOGLE".to_owned()),
    ]
}

/// Text that looks like JSON, more or less.
fn json() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec![
        "alg",
        "kid",
        "typ",
        "crit",
        "iss",
        "aud",
        "sub",
        "exp",
        "iat",
        "email",
        "x",
        "\\u0061ud",
    ]);
    let value = prop_oneof![
        Just("\"RS256\"".to_owned()),
        Just("\"none\"".to_owned()),
        Just("\"https://accounts.google.com\"".to_owned()),
        Just("[[[{}]]]".to_owned()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "\"[ -~]{0,10}\"",
        "[ -~]{0,6}",
    ];
    vec((name, value), 0..6).prop_map(|members| {
        let members = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    })
}

/// A token put together from parts, or a sound one with a piece of it changed.
fn token(sound: &str) -> impl Strategy<Value = String> + use<> {
    let whole = sound.to_owned();
    let bent = (any::<proptest::sample::Index>(), 0_usize..4, "[ -~]{0,3}").prop_map(
        move |(at, cut, put)| {
            let at = at.index(whole.len());
            let end = (at + cut).min(whole.len());
            format!("{}{put}{}", &whole[..at], &whole[end..])
        },
    );
    prop_oneof![
        3 => vec(part(sound), 0..6).prop_map(|parts| parts.join(".")),
        2 => bent,
    ]
}

#[test]
fn no_token_is_accepted_that_was_not_minted_in_70_000_attempts() {
    let setting = Setting::new();
    let tokens = token(&setting.sound);
    let assertions = token(&setting.assertion);
    let outcome = runner(70_000).run(&prop_oneof![3 => tokens, 1 => assertions], |token| {
        let minted = token == setting.sound || token == setting.assertion;
        prop_assert_eq!(setting.accepts(&token), minted, "{}", token);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn no_headers_let_a_request_in_but_those_with_a_token_in_30_000_attempts() {
    let setting = Setting::new();
    let name = proptest::sample::select(vec![
        "authorization",
        "x-serverless-authorization",
        "x-goog-iap-jwt-assertion",
        "proxy-authorization",
        "content-type",
    ]);
    let scheme = proptest::sample::select(vec![
        "Bearer ", "bearer ", "Bearer", "Basic ", "", "bearer  ",
    ]);
    let value = (
        scheme,
        prop_oneof![token(&setting.sound), token(&setting.assertion)],
    );
    let sound = RefCell::new(0);
    let outcome = runner(30_000).run(&vec((name, value), 0..4), |headers| {
        let mut request = Request::new(Body::empty());
        let mut could = false;
        for (name, (scheme, token)) in headers {
            let Ok(value) = HeaderValue::from_bytes(format!("{scheme}{token}").as_bytes()) else {
                continue;
            };
            could |= token.trim() == setting.sound || token.trim() == setting.assertion;
            request
                .headers_mut()
                .append(HeaderName::from_static(name), value);
        }
        let mut authorize = RequireIdToken::<Body>::new(setting.verifier.clone());
        let result: Result<_, Response<Body>> =
            setting.runtime.block_on(authorize.authorize(request));
        match result {
            Ok(_) => {
                prop_assert!(could);
                *sound.borrow_mut() += 1;
            }
            Err(answer) => {
                let status = answer.status().as_u16();
                let grpc = answer.headers().contains_key("grpc-status");
                prop_assert!(matches!(status, 400 | 401) || grpc, "{}", status);
            }
        }
        Ok(())
    });
    outcome.unwrap();
}
