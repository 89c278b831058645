//! The ways in and out, one function each.

use std::time::Duration;

use bytes::Bytes;
use google_emulator::{Credential, Emulator, Endpoint, Fault, Mint, Server};
use google_id_token::{AddIdTokenLayer, Claims, RefreshOnUnauthorized, Scopes, SourceError};
use http::{HeaderMap, Request};
use http_body_util::Full;
use tower::retry::RetryLayer;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::trace::TraceLayer;

use super::Ear;
use crate::world::{INVOKER, client, found, get, hyper, loopback};

/// Builders, credentials, caches and tokens, as anybody may print them.
pub(super) async fn credentials_of_every_kind(ear: &Ear) {
    for credential in Credential::all() {
        let server = google(ear, &credential).await;
        for builder in [
            found(&server, &credential).user_tokens_for_cloud_run(),
            found(&server, &credential).impersonate(INVOKER),
        ] {
            ear.show(&builder);
            let credentials = builder.build().await.unwrap();
            ear.show(&credentials);
            let tokens = credentials.id_tokens();
            let audience = server.run_url("hello").parse().unwrap();
            let token = tokens.get(&audience).await.unwrap();
            ear.secret(token.secret());
            ear.show(&tokens);
            ear.show(&token);
            ear.show(token.header());
            ear.show(Claims::unverified(&token).unwrap());
            if let Some(access) = credentials.access_tokens() {
                let token = access.get(&Scopes::cloud_platform()).await.unwrap();
                ear.secret(token.secret());
                ear.show(&access);
                ear.show(&token);
                ear.show(token.header());
            }
        }
    }
}

/// The layers around ours log requests; ours is below them, and what it adds is sensitive.
pub(super) async fn requests_through_the_whole_stack(ear: &Ear) {
    let server = google(ear, &Credential::service_account()).await;
    let credentials = found(&server, &Credential::service_account()).build().await;
    let tokens = credentials.unwrap().id_tokens();
    let layer = AddIdTokenLayer::new(loopback(), tokens.clone());
    let refresh = RefreshOnUnauthorized::new(loopback(), tokens);
    ear.show(&layer);
    ear.show(&refresh);
    ear.show(layer.layer(hyper()));

    let shown = ear.clone();
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(FollowRedirectLayer::new())
        .layer(RetryLayer::new(refresh))
        .layer(layer)
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(tower_http::trace::DefaultMakeSpan::new().include_headers(true)),
        )
        .map_request(move |request: Request<Full<Bytes>>| {
            shown.show(&request);
            request
        })
        .timeout(Duration::from_secs(60))
        .service(hyper());
    for fault in [Fault::invalid_token(), Fault::status(403), Fault::reset()] {
        server.emulator().fault(Endpoint::Run, fault.times(1));
        let request = Request::get(server.run_url("hello")).body(Full::default());
        match stack.clone().oneshot(request.unwrap()).await {
            Ok(response) => ear.show(response.map(drop)),
            Err(error) => ear.show_error(&*error),
        }
    }
}

/// Every endpoint refuses in every way, and the errors tell it.
pub(super) async fn refusals_of_every_endpoint(ear: &Ear) {
    for credential in Credential::all() {
        for fault in [
            Fault::status(400),
            Fault::status(403),
            Fault::html(),
            Fault::mint(Mint::NoExpiry),
            Fault::mint(Mint::LineBreak),
            Fault::mint(Mint::NotAJwt),
            Fault::mint(Mint::Audience("https://somebody.else".to_owned())),
        ] {
            let server = google(ear, &credential).await;
            let builder = found(&server, &credential).user_tokens_for_cloud_run();
            let client = client(builder).await.unwrap();
            for endpoint in [
                Endpoint::MetadataIdentity,
                Endpoint::Token,
                Endpoint::GenerateIdToken,
            ] {
                server.emulator().fault(endpoint, fault.clone().times(1));
            }
            if let Err(error) = get(client, &server.run_url("hello")).await {
                ear.show_error(&*error);
                ear.show(SourceError::find(&*error));
            }
        }
    }
}

/// Whoever sets the header by hand has one that is marked.
pub(super) async fn a_token_in_somebody_elses_hands(ear: &Ear) {
    let server = google(ear, &Credential::metadata()).await;
    let credentials = found(&server, &Credential::metadata()).build().await;
    let audience = server.run_url("hello").parse().unwrap();
    let token = credentials.unwrap().id_tokens().get(&audience).await;
    let token = token.unwrap();
    ear.secret(token.secret());
    let mut headers = HeaderMap::new();
    headers.insert("authorization", token.header().clone());
    ear.show(&headers);
}

/// The emulator's journal is printed by whoever debugs a test.
pub(super) async fn the_emulators_own_account_of_it(ear: &Ear) {
    for credential in Credential::all() {
        let server = google(ear, &credential).await;
        let builder = found(&server, &credential).impersonate(INVOKER);
        let answer = get(client(builder).await.unwrap(), &server.run_url("hello")).await;
        ear.show(answer.unwrap());
        ear.show(server.emulator());
        ear.show(server.emulator().journal().entries());
        ear.show(&server);
        ear.show(&credential);
    }
}

async fn google(ear: &Ear, credential: &Credential) -> Server {
    let server = Emulator::new().serve().await.unwrap();
    ear.secrets_of(&server.credentials(credential));
    server
}
