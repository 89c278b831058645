//! The listeners on loopback.

use std::{convert::Infallible, sync::Arc};

use google_emulator::{Body, Emulator, RunService};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client as HttpClient, rt::TokioExecutor};
use tokio::{net::TcpStream, sync::Semaphore};
use tower::{ServiceExt, service_fn};

use crate::support::*;

#[tokio::test]
async fn addresses_are_given_as_clients_need_them() {
    let emulator = Emulator::builder().run("a").run("b").build();
    let server = emulator.serve().await.expect("ports");
    let origin = format!("http://{}", server.metadata_host());
    assert_eq!(server.origin(), origin);
    assert_eq!(server.token_uri(), format!("{origin}/token"));
    assert_eq!(server.iam_endpoint(), origin);
    assert_eq!(server.certs_url(), format!("{origin}/oauth2/v3/certs"));
    assert_eq!(server.x509_certs_url(), format!("{origin}/oauth2/v1/certs"));
    let names: Vec<_> = server
        .run_urls()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_ne!(server.run_url("a"), server.run_url("b"));
}

#[tokio::test]
async fn dropping_the_server_refuses_connections() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.expect("ports");
    let host = server.metadata_host();
    assert!(TcpStream::connect(&host).await.is_ok());
    drop(server);
    while TcpStream::connect(&host).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // The emulator itself goes on.
    let again = emulator.serve().await.expect("ports");
    assert!(TcpStream::connect(again.metadata_host()).await.is_ok());
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let first = Emulator::new().serve().await.expect("ports");
    let (_, port) = first
        .metadata_host()
        .rsplit_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a port");
    let error = Emulator::new()
        .serve_at(port.parse().expect("a number"))
        .await;
    assert_eq!(
        error.expect_err("taken").kind(),
        std::io::ErrorKind::AddrInUse
    );
}

#[tokio::test]
async fn a_shutdown_waits_for_requests_under_way() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = gate.clone();
    let slow = service_fn(move |_: Request<Body>| {
        let gate = waiting.clone();
        async move {
            gate.acquire().await.expect("open").forget();
            Ok::<_, Infallible>(Response::new(Body::from("done")))
        }
    });
    let emulator = Emulator::builder()
        .run(RunService::new("hello").container(slow))
        .build();
    let server = emulator.serve().await.expect("ports");
    let url = server.run_url("hello");
    let request = bearer(get(&url), &emulator.mint(emulator.claims(CALLER, &url)));
    let client = HttpClient::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = tokio::spawn(client.request(request));
    emulator
        .journal()
        .asked(google_emulator::Endpoint::Run, 1)
        .await;
    let stopping = tokio::spawn(server.shutdown());
    while TcpStream::connect(url.trim_start_matches("http://"))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    gate.add_permits(1);
    let body = answer
        .await
        .expect("no panic")
        .expect("an answer")
        .into_body();
    assert_eq!(body.collect().await.expect("whole").to_bytes(), "done");
    stopping.await.expect("no panic");
}

#[tokio::test]
async fn metadata_over_h2c_is_refused_and_the_rest_is_served() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.expect("ports");
    let client = HttpClient::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Body>();
    let url = format!("{}/computeMetadata/v1/project/project-id", server.origin());
    let request = with_header(get(&url), "metadata-flavor", "Google");
    assert_eq!(
        client.request(request).await.expect("an answer").status(),
        503
    );
    assert_eq!(
        client
            .request(get(&server.certs_url()))
            .await
            .expect("keys")
            .status(),
        200
    );
}

#[tokio::test]
async fn in_memory_each_host_serves_its_own() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    for (url, status) in [
        ("https://www.googleapis.com/oauth2/v3/certs", 200),
        ("https://oauth2.googleapis.com/oauth2/v3/certs", 404),
        (
            "https://www.googleapis.com/computeMetadata/v1/project/project-id",
            404,
        ),
        (
            "http://metadata.google.internal./computeMetadata/v1/project/project-id",
            200,
        ),
        (
            "http://169.254.169.254/computeMetadata/v1/project/project-id",
            200,
        ),
        (
            "http://METADATA.google.internal/computeMetadata/v1/project/project-id",
            200,
        ),
        ("/computeMetadata/v1/project/project-id", 200),
        ("https://nobody-abc123-uc.a.run.app/", 404),
    ] {
        let request = with_header(get(url), "metadata-flavor", "Google");
        assert_eq!(client.ask(request).await.status, status, "{url}");
    }
    let by_header = with_header(metadata_path(), "host", "metadata.google.internal");
    assert_eq!(client.ask(by_header).await.status, 200);
    let post = form("https://oauth2.googleapis.com/token", &[]);
    assert_eq!(client.ask(post).await.status, 400);
    let post = form("https://iamcredentials.googleapis.com/token", &[]);
    assert_eq!(client.ask(post).await.status, 404);
}

fn metadata_path() -> Request<Body> {
    with_header(
        get("/computeMetadata/v1/project/project-id"),
        "metadata-flavor",
        "Google",
    )
}

#[tokio::test]
async fn in_memory_an_unknown_host_is_an_error_of_the_connection() {
    let error = Emulator::new()
        .oneshot(get("https://example.com/token"))
        .await;
    let error = error.expect_err("no such host");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("example.com"));
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    for client in Client::both(&Emulator::new()).await {
        let large = "x".repeat(2 * 1024 * 1024);
        let answer = client.ask(form(TOKEN_URI, &[("assertion", &large)])).await;
        assert_eq!(answer.status, 413);
    }
}
