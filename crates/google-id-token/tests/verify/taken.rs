//! Which headers with tokens in them reach a service behind the check.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_id_token::verify::{Caller, IdentityHeaders, Issuer, RequireIdToken, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::json;
use tower_http::auth::AsyncAuthorizeRequest;

use crate::forge::{AUDIENCE, IAP_AUDIENCE};
use crate::support::*;

const AUTHORIZATION: &str = "authorization";
const SERVERLESS: &str = "x-serverless-authorization";
const IAP: &str = "x-goog-iap-jwt-assertion";

type Sent<'a> = &'a [(&'static str, &'a str)];

fn map(sent: Sent<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in sent {
        let name = HeaderName::from_static(name);
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// What is left of these headers, but for the caller's name, which must be there; the same where
/// the keys are fetched first, where they are at hand, and where the token is remembered.
async fn left(require: &RequireIdToken<()>, sent: Sent<'_>) -> HeaderMap {
    let mut all = Vec::new();
    for time in 0..4 {
        let mut request = Request::new(());
        *request.headers_mut() = map(sent);
        let request = require.clone().authorize(request).await;
        let request = request.unwrap_or_else(|answer| panic!("{sent:?}: {answer:?}"));
        let issuer = match request.extensions().get().map(Caller::issuer) {
            Some(Issuer::Iap) => "iap",
            _ => "google",
        };
        let mut headers = request.into_parts().0.headers;
        assert_eq!(headers["x-caller-issuer"], issuer, "{time} {sent:?}");
        for name in ["issuer", "audience", "subject", "email"] {
            let value = headers.remove(format!("x-caller-{name}"));
            assert!(value.is_some(), "{time} {name} {sent:?}");
        }
        headers.remove("x-caller-domain");
        all.push(headers);
    }
    assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
    all.remove(0)
}

fn taking(verifier: Verifier) -> RequireIdToken<()> {
    RequireIdToken::new(verifier).identity_headers(IdentityHeaders::new())
}

fn without_signature(token: &str) -> &str {
    token.rsplit_once('.').unwrap().0
}

fn removed(token: &str) -> String {
    let signed = without_signature(token);
    format!("Bearer {signed}.SIGNATURE_REMOVED_BY_GOOGLE")
}

#[tokio::test(start_paused = true)]
async fn the_header_that_the_token_was_checked_in_goes() {
    let world = World::new();
    let token = world.forge.sound();
    for name in [AUTHORIZATION, SERVERLESS] {
        for scheme in ["Bearer ", "bearer ", "BEARER   "] {
            let value = format!("{scheme}{token}");
            let require = taking(world.verifier());
            assert_eq!(left(&require, &[(name, &value)]).await, HeaderMap::new());
        }
    }
    let assertion = world.forge.sound_iap();
    let require = taking(world.verifier());
    assert_eq!(left(&require, &[(IAP, &assertion)]).await, HeaderMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_checked_token_goes_however_it_is_written() {
    let world = World::new();
    let token = world.forge.sound();
    let assertion = world.forge.sound_iap();
    for (name, value, token) in [
        (SERVERLESS, format!("Bearer {token}"), token),
        (IAP, assertion.clone(), assertion),
    ] {
        let signed = without_signature(&token);
        for copy in [
            format!("Bearer {token}"),
            format!("bearer {token}"),
            format!("JWT {token}"),
            format!("Token token=\"{token}\", realm=\"app\""),
            format!("Bearer   {token} "),
            format!("Bearer\t{token}"),
            format!("Bearer{token}"),
            format!("Bearer Bearer {token}"),
            format!("Bearer {token}, Basic app"),
            format!("Basic app, Bearer {token}"),
            format!("Bearer {token} ä"),
            token.clone(),
            removed(&token),
            format!("JWT {signed}.SIGNATURE_REMOVED_BY_GOOGLE"),
            format!("Bearer {signed}.b3RoZXI"),
            format!("Bearer {signed}."),
            format!("Bearer {signed}"),
        ] {
            let require = taking(world.verifier());
            let sent = [(name, &*value), (AUTHORIZATION, &copy), ("accept", "*/*")];
            assert_eq!(left(&require, &sent).await, map(&sent[2..]), "{copy}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_checked_token_stays_byte_for_byte() {
    let world = World::new();
    let token = world.forge.sound();
    let assertion = world.forge.sound_iap();
    let [header, payload, _] = *token.split('.').collect::<Vec<_>>() else {
        panic!("{token}");
    };
    let newer = world.forge.with("iat", json!(NOW - 1));
    let inside = STANDARD.encode(format!("user:{token}"));
    for own in [
        "Basic dXNlcg==".to_owned(),
        format!("Basic {inside}"),
        "Bearer opaque".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Digest x=\"y\",  z=1".to_owned(),
        "bearer   odd\tspacing ä".to_owned(),
        String::new(),
        // The same caller's, for the same audience, under the same key.
        format!("Bearer {newer}"),
        removed(&newer),
        format!("Bearer {}", world.forge.with("aud", json!("app"))),
        format!("Bearer {header}"),
        format!("Bearer {header}.e30.e30"),
        format!("Bearer {payload}"),
        format!("Bearer {}", token.to_ascii_lowercase()),
    ] {
        for (name, value) in [
            (SERVERLESS, format!("Bearer {token}")),
            (IAP, assertion.clone()),
        ] {
            let require = taking(world.verifier());
            let sent = [(AUTHORIZATION, &*own), (name, &value)];
            assert_eq!(left(&require, &sent).await, map(&sent[..1]), "{own}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_headers_the_copies_go_and_the_others_stay_in_their_order() {
    let world = World::new();
    let (token, other) = (world.forge.sound(), world.forge.with("aud", json!("app")));
    let bearer = format!("Bearer {token}");
    let other = format!("Bearer {other}");
    let removed = removed(&token);
    let sent = [
        (AUTHORIZATION, "Basic app"),
        (AUTHORIZATION, &*other),
        (AUTHORIZATION, "Basic app"),
        (AUTHORIZATION, &*bearer),
        (SERVERLESS, &*bearer),
        (AUTHORIZATION, &*removed),
    ];
    let require = taking(world.verifier());
    assert_eq!(left(&require, &sent).await, map(&sent[..3]));
    let sent = [&sent[..3], &sent[4..5]].concat();
    assert_eq!(left(&require, &sent).await, map(&sent[..3]));
    let sent = [
        (AUTHORIZATION, &*bearer),
        (SERVERLESS, &*bearer),
        (AUTHORIZATION, &*removed),
    ];
    assert_eq!(left(&require, &sent).await, HeaderMap::new());
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_there_for_a_check_go_whatever_is_in_them() {
    let world = World::new();
    let (token, assertion) = (world.forge.sound(), world.forge.sound_iap());
    let bearer = format!("Bearer {token}");
    let other = format!("Bearer {}", world.forge.with("aud", json!("app")));
    let (removed, others_removed) = (removed(&token), removed(&other[7..]));
    // Behind Cloud Run, which has checked the second one.
    for serverless in [&*removed, &others_removed, "Bearer opaque", "Basic app", ""] {
        let require = taking(world.verifier());
        let sent = [(AUTHORIZATION, &*bearer), (SERVERLESS, serverless)];
        assert_eq!(
            left(&require, &sent).await,
            HeaderMap::new(),
            "{serverless}"
        );
    }
    // Beside IAP's assertion, nobody looks at a token of Google's.
    let iap = world.builder().iap_audience(IAP_AUDIENCE).build().unwrap();
    for verifier in [world.verifier(), iap] {
        let require = taking(verifier);
        for serverless in [&*bearer, &removed, "boss"] {
            let sent = [
                (AUTHORIZATION, &*bearer),
                (IAP, &assertion),
                (SERVERLESS, serverless),
            ];
            assert_eq!(left(&require, &sent).await, map(&sent[..1]));
        }
    }
    // Nobody listens to IAP: its assertion is not what was checked.
    let google = world.builder().audience(AUDIENCE).build().unwrap();
    let require = taking(google);
    let copy = format!("Bearer {assertion}");
    let sent = [
        (AUTHORIZATION, &*copy),
        (SERVERLESS, &bearer),
        (IAP, &assertion),
    ];
    assert_eq!(left(&require, &sent).await, map(&sent[..1]));
    for forged in [&*assertion, &token, "boss"] {
        let sent = [(AUTHORIZATION, &*bearer), (IAP, forged), (IAP, forged)];
        assert_eq!(left(&require, &sent).await, HeaderMap::new());
    }
}

#[tokio::test(start_paused = true)]
async fn what_cgi_takes_for_such_a_header_goes_too() {
    let world = World::new();
    let bearer = format!("Bearer {}", world.forge.sound());
    let sent = [
        (AUTHORIZATION, &*bearer),
        ("x_serverless_authorization", &bearer),
        ("x-serverless_authorization", &bearer),
        ("x_goog_iap_jwt_assertion", "boss"),
        ("x-goog_iap-jwt-assertion", "boss"),
        ("x_goog_authenticated_user_email", "boss"),
        ("x-goog-authenticated-user_id", "boss"),
        ("x_goog_authenticated_user_emails", "7"),
        ("x-goog-iap-jwt", "7"),
        ("xxserverless-authorization", "7"),
    ];
    let require = taking(world.verifier());
    assert_eq!(left(&require, &sent).await, map(&sent[7..]));
    let require = require.keep_token();
    let kept = [&sent[..1], &sent[7..]].concat();
    assert_eq!(left(&require, &sent).await, map(&kept));
}

#[tokio::test(start_paused = true)]
async fn where_it_is_asked_for_all_stays_but_an_assertion_that_nobody_checked() {
    let world = World::new();
    let (token, assertion) = (world.forge.sound(), world.forge.sound_iap());
    let bearer = format!("Bearer {token}");
    let removed = removed(&token);
    for sent in [
        &[(AUTHORIZATION, &*bearer)][..],
        &[(SERVERLESS, &bearer)],
        &[(SERVERLESS, &bearer), (AUTHORIZATION, &bearer)],
        &[(SERVERLESS, &removed), (AUTHORIZATION, &bearer)],
        &[(SERVERLESS, &bearer), (AUTHORIZATION, &removed)],
        &[(SERVERLESS, "Bearer opaque"), (AUTHORIZATION, &bearer)],
        &[
            (SERVERLESS, &bearer),
            (AUTHORIZATION, "Basic app"),
            (AUTHORIZATION, &bearer),
        ],
        &[(IAP, &assertion)],
        &[(IAP, &assertion), (AUTHORIZATION, &bearer)],
        &[(IAP, &assertion), (SERVERLESS, &removed)],
    ] {
        let require = taking(world.verifier()).keep_token();
        assert_eq!(left(&require, sent).await, map(sent));
    }
    let google = world.builder().audience(AUDIENCE).build().unwrap();
    for name in [AUTHORIZATION, SERVERLESS] {
        let require = taking(google.clone()).keep_token();
        let sent = [(name, &*bearer), (IAP, &assertion)];
        assert_eq!(left(&require, &sent).await, map(&sent[..1]));
    }
}

#[tokio::test(start_paused = true)]
async fn without_identity_headers_nothing_is_taken_out() {
    let world = World::new();
    let bearer = format!("Bearer {}", world.forge.sound());
    let sent = [
        (AUTHORIZATION, &*bearer),
        (SERVERLESS, &bearer),
        ("x-caller-email", "boss"),
    ];
    for require in [
        RequireIdToken::<()>::new(world.verifier()),
        RequireIdToken::new(world.verifier()).keep_token(),
    ] {
        let mut request = Request::new(());
        *request.headers_mut() = map(&sent);
        let request = require.clone().authorize(request).await.unwrap();
        assert_eq!(*request.headers(), map(&sent));
    }
}
