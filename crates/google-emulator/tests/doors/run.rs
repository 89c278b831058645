//! The door of Cloud Run.

use std::convert::Infallible;

use bytes::Bytes;
use google_emulator::{Body, Emulator, Endpoint, Grant, RunService, User};
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::{client::legacy::Client as HttpClient, rt::TokioExecutor};
use serde_json::json;
use tower::service_fn;

use crate::support::*;

const CHALLENGE: &str =
    r#"Bearer error="invalid_token" error_description="The access token could not be verified""#;

/// A container that tells what headers reached it.
fn tell_headers() -> RunService {
    RunService::new("hello").container(service_fn(|request: Request<Body>| async move {
        let text = |name: &str| {
            let value = request.headers().get(name)?;
            Some(value.to_str().expect("text").to_owned())
        };
        let told = json!({
            "authorization": text("authorization"),
            "serverless": text("x-serverless-authorization"),
        });
        Ok::<_, Infallible>(Response::new(Body::from(told.to_string())))
    }))
}

#[tokio::test]
async fn a_caller_with_a_token_is_greeted_by_name() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        let token = client.identity(HELLO).await;
        let answer = client
            .ask(bearer(get(&format!("{HELLO}/path?q=1")), &token))
            .await;
        assert_eq!(answer.status, 200);
        let page = answer.text();
        assert!(page.contains(CALLER) && page.chars().count() > 200 && !page.is_ascii());
        let entry = emulator.journal().last(Endpoint::Run).expect("an entry");
        assert_eq!(entry.caller.as_deref(), Some(CALLER));
        assert_eq!(entry.service.as_deref(), Some("hello"));
    }
}

#[tokio::test]
async fn a_token_without_an_email_is_known_by_its_subject() {
    let emulator = Emulator::builder()
        .grant(Grant::invoker(CALLER, "hello"))
        .build();
    let client = Client::in_memory(&emulator);
    let path = format!("{IDENTITY}?audience={HELLO}");
    let token = client.ask(metadata(&path)).await.text();
    assert_eq!(client.ask(bearer(get(HELLO), &token)).await.status, 200);
}

#[tokio::test]
async fn a_bad_token_is_answered_with_401_and_googles_challenge() {
    let clock = TestClock::default();
    let emulator = Emulator::builder().clock(clock.reader()).build();
    let sound = emulator.claims(CALLER, HELLO);
    let mut expired = sound.clone();
    expired.exp = sound.iat - 1;
    let token = emulator.mint(&sound);
    let other = emulator.mint(emulator.claims(DEV, HELLO));
    let (signed, _) = token.rsplit_once('.').expect("a JWT");
    let (_, signature) = other.rsplit_once('.').expect("a JWT");
    for client in Client::both(&emulator).await {
        for bad in [
            emulator.mint(emulator.claims(CALLER, "https://elsewhere.a.run.app")),
            emulator.mint(emulator.claims(CALLER, &format!("{HELLO}/"))),
            emulator.mint(&expired),
            format!("{signed}.{signature}"),
            format!("{signed}.SIGNATURE_REMOVED_BY_GOOGLE"),
            client.access_token(DEV).await,
            "garbage".to_owned(),
        ] {
            let answer = client.ask(bearer(get(&format!("{HELLO}/a/b")), &bad)).await;
            assert_eq!(answer.status, 401, "{:?}", emulator.verify(&bad, HELLO));
            assert_eq!(answer.header("www-authenticate"), CHALLENGE);
            assert!(answer.header("content-type").starts_with("text/html"));
            assert!(
                answer
                    .text()
                    .contains("does not have permission to the requested URL")
            );
            assert!(answer.text().contains("/a/b"));
        }
        assert_eq!(client.ask(bearer(get(HELLO), &token)).await.status, 200);
    }
}

#[tokio::test]
async fn no_token_is_answered_with_403() {
    for client in Client::both(&Emulator::new()).await {
        for request in [
            get(HELLO),
            with_header(get(HELLO), "authorization", "Basic dTpw"),
        ] {
            let answer = client.ask(request).await;
            assert_eq!(answer.status, 403);
            assert!(!answer.headers.contains_key("www-authenticate"));
            assert!(
                answer
                    .text()
                    .contains("does not have permission to get URL")
            );
        }
    }
}

#[tokio::test]
async fn a_caller_without_the_role_is_answered_with_403() {
    let emulator = Emulator::builder()
        .grant(Grant::invoker(DEV, "hello"))
        .build();
    for client in Client::both(&emulator).await {
        let token = client.identity(HELLO).await;
        let answer = client.ask(bearer(get(HELLO), &token)).await;
        assert_eq!(answer.status, 403);
        let entry = emulator.journal().last(Endpoint::Run).expect("an entry");
        assert_eq!(
            (entry.caller.as_deref(), entry.status),
            (Some(CALLER), Some(403))
        );
    }
    let client = Client::in_memory(&emulator);
    let token = client.identity(HELLO).await;
    emulator.grant(Grant::invoker(CALLER, "hello"));
    assert_eq!(client.ask(bearer(get(HELLO), &token)).await.status, 200);
}

#[tokio::test]
async fn a_public_service_asks_nobody() {
    let emulator = Emulator::builder()
        .run(tell_headers())
        .grant(Grant::invoker("allUsers", "hello"))
        .build();
    let client = Client::in_memory(&emulator);
    assert_eq!(client.ask(get(HELLO)).await.status, 200);
    let answer = client.ask(bearer(get(HELLO), "anything")).await;
    assert_eq!(answer.json()["authorization"], "Bearer anything");
}

#[tokio::test]
async fn the_signature_is_removed_before_the_container_sees_it() {
    let emulator = Emulator::builder().run(tell_headers()).build();
    for client in Client::both(&emulator).await {
        let token = client.identity(HELLO).await;
        let seen = client.ask(bearer(get(HELLO), &token)).await.json();
        let (signed, _) = token.rsplit_once('.').expect("a JWT");
        assert_eq!(
            seen["authorization"],
            format!("Bearer {signed}.SIGNATURE_REMOVED_BY_GOOGLE")
        );
        assert!(seen["serverless"].is_null());
    }
}

#[tokio::test]
async fn with_both_headers_only_the_serverless_one_is_checked() {
    let emulator = Emulator::builder().run(tell_headers()).build();
    for client in Client::both(&emulator).await {
        let token = client.identity(HELLO).await;
        let both = |ours: &str, theirs: &str| {
            let request = bearer(get(HELLO), theirs);
            with_header(
                request,
                "x-serverless-authorization",
                &format!("bearer {ours}"),
            )
        };
        let seen = client.ask(both(&token, "the-app's-own")).await.json();
        let (signed, _) = token.rsplit_once('.').expect("a JWT");
        assert_eq!(seen["authorization"], "Bearer the-app's-own");
        assert_eq!(
            seen["serverless"],
            format!("Bearer {signed}.SIGNATURE_REMOVED_BY_GOOGLE")
        );
        // An intact token in the other header stays intact.
        let seen = client.ask(both(&token, &token)).await.json();
        assert_eq!(seen["authorization"], format!("Bearer {token}"));
        // A good token in the other header does not make up for a bad one.
        assert_eq!(client.ask(both("bad", &token)).await.status, 401);
    }
}

#[tokio::test]
async fn every_url_and_custom_audience_of_a_service_is_accepted() {
    let service = RunService::new("hello")
        .host("hello-abc123-uc.a.run.app")
        .host("hello-123456789012.us-central1.run.app")
        .custom_audience("https://hello.example.com");
    assert_eq!(service.url(), HELLO);
    let emulator = Emulator::builder().run(service).build();
    let client = Client::in_memory(&emulator);
    for audience in [
        HELLO,
        "https://hello-123456789012.us-central1.run.app",
        "https://hello.example.com",
    ] {
        let token = client.identity(audience).await;
        for url in [
            HELLO,
            "https://hello-123456789012.us-central1.run.app/x",
            "https://green---hello-abc123-uc.a.run.app/",
            "https://HELLO-abc123-uc.a.run.app/",
        ] {
            assert_eq!(
                client.ask(bearer(get(url), &token)).await.status,
                200,
                "{url}"
            );
        }
    }
    let tagged = client
        .identity("https://green---hello-abc123-uc.a.run.app")
        .await;
    assert_eq!(client.ask(bearer(get(HELLO), &tagged)).await.status, 401);
    let loopback = client.identity("http://127.0.0.1:8080").await;
    assert_eq!(client.ask(bearer(get(HELLO), &loopback)).await.status, 401);
}

#[tokio::test]
async fn on_loopback_a_services_own_url_is_an_audience_and_no_other_services() {
    let emulator = Emulator::builder().run("hello").run("other").build();
    let server = emulator.serve().await.expect("ports");
    let client = Client::on_loopback(&emulator).await;
    let (hello, other) = (server.run_url("hello"), server.run_url("other"));
    let token = client.identity(&hello).await;
    assert_eq!(client.ask(bearer(get(&hello), &token)).await.status, 200);
    assert_eq!(client.ask(bearer(get(&other), &token)).await.status, 401);
    let localhost = client
        .identity(&hello.replace("127.0.0.1", "localhost"))
        .await;
    assert_eq!(
        client.ask(bearer(get(&hello), &localhost)).await.status,
        200
    );
}

#[tokio::test]
async fn users_come_in_with_the_id_tokens_of_gclouds_own_clients() {
    let id_token = async |emulator: &Emulator| {
        let answer = Client::in_memory(emulator)
            .ask(form(TOKEN_URI, &refresh_fields(emulator)))
            .await;
        answer.json()["id_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    };
    let call = async |emulator: &Emulator| {
        let request = bearer(get(HELLO), &id_token(emulator).await);
        Client::in_memory(emulator)
            .ask(request)
            .await
            .status
            .as_u16()
    };
    let cli = User::new(DEV).client("32555940559.apps.googleusercontent.com", "secret");
    let own = User::new(DEV).client("1234.apps.googleusercontent.com", "secret");
    assert_eq!(call(&Emulator::builder().user(DEV).build()).await, 200);
    assert_eq!(
        call(
            &Emulator::builder()
                .user(DEV)
                .accept_adc_logins(false)
                .build()
        )
        .await,
        401
    );
    let strict = Emulator::builder()
        .user(cli.clone())
        .accept_adc_logins(false);
    assert_eq!(call(&strict.build()).await, 200);
    assert_eq!(call(&Emulator::builder().user(own).build()).await, 401);
    let forbidden = Emulator::builder().user(cli).closed().build();
    assert_eq!(call(&forbidden).await, 403);
}

#[tokio::test]
async fn a_container_that_fails_is_answered_with_503() {
    let broken = service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(std::io::Error::other("out of memory"))
    });
    let emulator = Emulator::builder()
        .run(RunService::new("hello").container(broken))
        .build();
    let client = Client::in_memory(&emulator);
    let token = client.identity(HELLO).await;
    assert_eq!(client.ask(bearer(get(HELLO), &token)).await.status, 503);
}

#[tokio::test]
async fn streams_and_trailers_pass_in_both_directions_over_h2c() {
    // Sends back each frame of data as it comes, then trailers: what gRPC needs.
    let echo = service_fn(|request: Request<Body>| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        let body = request
            .into_body()
            .with_trailers(async move { Some(Ok(trailers)) });
        Ok::<_, Infallible>(Response::new(Body::new(body)))
    });
    let emulator = Emulator::builder()
        .run(RunService::new("hello").container(echo))
        .build();
    let server = emulator.serve().await.expect("a port");
    let url = server.run_url("hello");
    let token = emulator.mint(emulator.claims(CALLER, &url));

    let (say, heard) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let body = StreamBody::new(Receiver(heard));
    let request = Request::post(format!("{url}/package.Service/Method"))
        .header("authorization", format!("Bearer {token}"))
        .body(Body::new(body))
        .expect("a request");
    let client = HttpClient::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let mut answer = client
        .request(request)
        .await
        .expect("an answer")
        .into_body();
    for word in ["one", "two"] {
        // The answer's frame comes while the request's body is still open.
        say.send(Ok(Frame::data(Bytes::from_static(word.as_bytes()))))
            .await
            .expect("open");
        let frame = answer.frame().await.expect("a frame").expect("sound");
        assert_eq!(frame.into_data().expect("data"), word);
    }
    drop(say);
    let trailers = answer
        .frame()
        .await
        .expect("trailers")
        .expect("sound")
        .into_trailers();
    assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
}

struct Receiver(tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, Infallible>>);

impl futures_core::Stream for Receiver {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
