//! The layer: who gets through, and what those hear who do not.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use google_emulator::{Endpoint, Fault};
use google_id_token::verify::{Caller, Refusal, RefusalKind, RequireIdToken, Verifier};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_http::auth::AsyncRequireAuthorizationLayer;

use crate::forge::{AUDIENCE, EMAIL};
use crate::support::*;

pub(crate) async fn call(verifier: &Verifier, request: Request<Body>) -> Response<Body> {
    let service = ServiceBuilder::new()
        .layer(AsyncRequireAuthorizationLayer::new(RequireIdToken::new(
            verifier.clone(),
        )))
        .service(service_fn(|request: Request<Body>| async move {
            let caller: &Caller = request.extensions().get().unwrap();
            let email = caller.email().unwrap_or_default().to_owned();
            Ok::<_, Infallible>(Response::new(Body::from(email)))
        }));
    service.oneshot(request).await.unwrap()
}

pub(crate) fn request(headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    for (name, value) in headers {
        let name = http::HeaderName::try_from(*name).unwrap();
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn kind(response: &Response<Body>) -> Option<RefusalKind> {
    response.extensions().get().map(Refusal::kind)
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_good_token_goes_on_with_its_caller() {
    let world = World::new();
    let bearer = format!("bearer {}", world.token());
    let response = call(&world.verifier(), request(&[("authorization", &bearer)])).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        EMAIL
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_token_is_asked_for_one() {
    let world = World::new();
    let verifier = world.verifier();
    for headers in [
        &[][..],
        &[("authorization", "Basic dXNlcjpwYXNz")],
        &[("authorization", "Bearer")],
    ] {
        let response = call(&verifier, request(headers)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(header(&response, "www-authenticate"), "Bearer");
        assert_eq!(kind(&response), Some(RefusalKind::Missing));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_is_told_so_by_rfc_6750() {
    let world = World::new();
    let bearer = format!(
        "Bearer {}",
        world.forge.with("aud", json!("https://other.example"))
    );
    let response = call(&world.verifier(), request(&[("authorization", &bearer)])).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        header(&response, "www-authenticate"),
        "Bearer error=\"invalid_token\", error_description=\"the token is for another audience\""
    );
    assert_eq!(kind(&response), Some(RefusalKind::Audience));
}

#[tokio::test(start_paused = true)]
async fn one_who_may_not_call_hears_403_and_is_not_asked_for_another_token() {
    let world = World::new();
    let verifier = world
        .builder()
        .audience(AUDIENCE)
        .allow_email("x@y")
        .build()
        .unwrap();
    let bearer = format!("Bearer {}", world.token());
    let response = call(&verifier, request(&[("authorization", &bearer)])).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(header(&response, "www-authenticate"), "");
    assert_eq!(kind(&response), Some(RefusalKind::NotAllowed));
}

#[tokio::test(start_paused = true)]
async fn without_keys_the_answer_is_503_with_retry_after() {
    let world = World::new();
    world.google.fault(
        Endpoint::Certs,
        Fault::status(503).header("retry-after", "17"),
    );
    let bearer = format!("Bearer {}", world.token());
    let response = call(&world.verifier(), request(&[("authorization", &bearer)])).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&response, "retry-after"), "17");
    assert_eq!(header(&response, "www-authenticate"), "");
    assert_eq!(kind(&response), Some(RefusalKind::KeysUnavailable));
}

#[tokio::test(start_paused = true)]
async fn grpc_is_answered_in_its_own_words() {
    let world = World::new();
    let verifier = world
        .builder()
        .audience(AUDIENCE)
        .allow_email("x@y")
        .build()
        .unwrap();
    let sound = format!("Bearer {}", world.token());
    let grpc = ("content-type", "application/grpc+proto");
    let denied = call(&verifier, request(&[grpc, ("authorization", &sound)])).await;
    assert_eq!(
        (denied.status(), header(&denied, "grpc-status")),
        (StatusCode::OK, "7")
    );
    let missing = call(&verifier, request(&[grpc])).await;
    assert_eq!(
        (missing.status(), header(&missing, "grpc-status")),
        (StatusCode::OK, "16")
    );
    assert_eq!(header(&missing, "content-type"), "application/grpc");
    assert_eq!(
        header(&missing, "grpc-message"),
        "an ID token is needed and there is none"
    );
    world.google.fault(Endpoint::Certs, Fault::status(503));
    let fresh = World::new().builder().audience(AUDIENCE);
    let without = fresh.http(google_id_token::HttpClient::from_service(
        world.google.clone(),
    ));
    let later = call(
        &without.build().unwrap(),
        request(&[grpc, ("authorization", &sound)]),
    )
    .await;
    assert_eq!(
        (later.status(), header(&later, "grpc-status")),
        (StatusCode::OK, "14")
    );
}

#[tokio::test(start_paused = true)]
async fn axum_handlers_take_the_caller() {
    let world = World::new();
    let router = Router::new()
        .route(
            "/",
            get(async |caller: Caller| caller.email().unwrap_or_default().to_owned()),
        )
        .layer(AsyncRequireAuthorizationLayer::new(RequireIdToken::new(
            world.verifier(),
        )))
        .route(
            "/open",
            get(async |caller: Option<Caller>| caller.is_some().to_string()),
        )
        .route("/wrong", get(async |_: Caller| "unreachable"));
    let bearer = format!("Bearer {}", world.token());
    let ask = async |path: &str| {
        let mut request = request(&[("authorization", &bearer)]);
        *request.uri_mut() = path.parse().unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(ask("/").await, (200, EMAIL.to_owned()));
    assert_eq!(ask("/open").await, (200, "false".to_owned()));
    let wrong = ask("/wrong").await;
    assert_eq!(
        wrong,
        (500, "the route has no RequireIdToken before it".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_keys_and_goes_on() {
    let world = World::new();
    world.google.fault(
        Endpoint::Certs,
        Fault::delay(Duration::from_secs(2)).times(1),
    );
    let bearer = format!("Bearer {}", world.token());
    let response = call(&world.verifier(), request(&[("authorization", &bearer)])).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn hostile_tokens_do_not_get_through_the_layer_either() {
    let world = World::new();
    let verifier = world.verifier();
    for hostile in crate::hostile::table(&world.forge) {
        // Spaces around it are HTTP's business, and a sound token is left.
        if hostile.token.trim() == world.forge.sound() {
            continue;
        }
        for name in [
            "authorization",
            "x-serverless-authorization",
            "x-goog-iap-jwt-assertion",
        ] {
            let Ok(value) = HeaderValue::from_bytes(format!("Bearer {}", hostile.token).as_bytes())
            else {
                continue;
            };
            let mut request = Request::new(Body::empty());
            request.headers_mut().insert(name, value);
            let response = call(&verifier, request).await;
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{name}: {}",
                hostile.what
            );
        }
    }
}
