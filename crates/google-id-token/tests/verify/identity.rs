//! The caller, passed on in headers that no client can forge.

use google_id_token::verify::{IdentityHeaders, RequireIdToken};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::json;
use tower_http::auth::AsyncAuthorizeRequest;

use crate::forge::{AUDIENCE, EMAIL};
use crate::support::*;

async fn passed_on(world: &World, headers: IdentityHeaders, sent: &[(&str, &str)]) -> HeaderMap {
    let mut authorize = RequireIdToken::<()>::new(world.verifier()).identity_headers(headers);
    let mut request = Request::new(());
    for (name, value) in sent {
        let name = HeaderName::try_from(*name).unwrap();
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    authorize
        .authorize(request)
        .await
        .unwrap()
        .headers()
        .clone()
}

#[tokio::test(start_paused = true)]
async fn the_caller_is_named_and_the_token_is_taken_out() {
    let world = World::new();
    let bearer = format!("Bearer {}", world.forge.with("hd", json!("example.com")));
    let headers = passed_on(
        &world,
        IdentityHeaders::new(),
        &[("authorization", &bearer), ("accept", "*/*")],
    )
    .await;
    assert_eq!(headers["x-caller-issuer"], "google");
    assert_eq!(headers["x-caller-audience"], AUDIENCE);
    assert_eq!(headers["x-caller-subject"], "100000000000000000001");
    assert_eq!(headers["x-caller-email"], EMAIL);
    assert_eq!(headers["x-caller-domain"], "example.com");
    assert_eq!(headers["accept"], "*/*");
    assert_eq!(headers.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_forges_does_not_get_through() {
    let world = World::new();
    let bearer = format!(
        "Bearer {}",
        world.forge.with("email", serde_json::Value::Null)
    );
    let sent = [
        ("authorization", &*bearer),
        ("x-caller-email", "admin@example.com"),
        ("x-caller-email", "admin@example.com"),
        ("X-Caller-Role", "admin"),
        ("x_caller_email", "admin@example.com"),
        ("x-caller_email", "admin@example.com"),
        (
            "x-goog-authenticated-user-email",
            "accounts.google.com:admin@example.com",
        ),
        ("x-callers", "7"),
    ];
    let headers = passed_on(&world, IdentityHeaders::default(), &sent).await;
    assert!(!format!("{headers:?}").contains("admin"), "{headers:?}");
    assert_eq!(headers["x-callers"], "7", "not one of ours");
    assert_eq!(headers["x-caller-subject"], "100000000000000000001");
    assert!(!headers.contains_key("x-caller-email"));
}

#[tokio::test(start_paused = true)]
async fn the_applications_own_authorization_stays() {
    let world = World::new();
    let bearer = format!("Bearer {}", world.token());
    let sent = [
        ("authorization", "Basic dXNlcg=="),
        ("x-serverless-authorization", &*bearer),
    ];
    let headers = passed_on(&world, IdentityHeaders::prefixed("X-Acme_").unwrap(), &sent).await;
    assert_eq!(headers["authorization"], "Basic dXNlcg==");
    assert_eq!(headers["x-acme-email"], EMAIL);
    assert!(!headers.contains_key("x-serverless-authorization"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fits_no_header_is_left_out() {
    let world = World::new();
    let claims = world.forge.claims();
    let email = json!("a@b\r\nx-caller-subject: 1");
    let claims = crate::forge::altered(claims, "email", email);
    let token = world.forge.sign(world.forge.header().to_string(), claims);
    let bearer = format!("Bearer {token}");
    let sent = [("authorization", &*bearer)];
    let headers = passed_on(&world, IdentityHeaders::new(), &sent).await;
    assert!(!headers.contains_key("x-caller-email"));
    assert_eq!(headers["x-caller-subject"], "100000000000000000001");
}

#[test]
fn a_prefix_that_would_strip_too_much_is_refused() {
    for prefix in ["", "-", "x", "x-", "caller", "x caller-", "ä-"] {
        assert!(IdentityHeaders::prefixed(prefix).is_err(), "{prefix:?}");
    }
}
