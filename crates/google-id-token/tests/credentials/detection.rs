//! Is this Google Cloud? The answer comes within five seconds, whatever the network does.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use google_id_token::{Builder, Env, ErrorKind, HttpClient, Kind};
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;

use crate::support::{Peer, answer, audience, id_token, metadata_answer, nobody};

/// A network that swallows every packet.
fn black_hole() -> HttpClient {
    HttpClient::from_service(tower::service_fn(|_: Request<Full<Bytes>>| {
        pending::<io::Result<Response<Full<Bytes>>>>()
    }))
}

fn bare() -> Env {
    Env::empty().variable("HOME", "/home/me")
}

#[tokio::test(start_paused = true)]
async fn off_google_cloud_the_whole_search_answers_within_five_seconds() {
    for env in [
        bare(),
        bare().variable("K_SERVICE", "hello"),
        bare().file("/sys/class/dmi/id/product_name", "Google Compute Engine\n"),
    ] {
        let start = Instant::now();
        let build = Builder::new().env(env).http(black_hole()).build();
        let error = build.await.unwrap_err();
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("no answer from"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_search_takes_as_long_as_gce_metadata_timeout_says() {
    let start = Instant::now();
    let env = bare().variable("GCE_METADATA_TIMEOUT", "0.5");
    let build = Builder::new().env(env).http(black_hole()).build();
    assert_eq!(build.await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(start.elapsed() < Duration::from_secs(1));

    for nonsense in ["soon", "-1", "0", "inf", "NaN", "1e300"] {
        let env = bare().variable("GCE_METADATA_TIMEOUT", nonsense);
        let build = Builder::new().env(env).http(nobody()).build();
        let error = build.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{nonsense}");
        assert!(
            error.to_string().contains("GCE_METADATA_TIMEOUT"),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_says_no_is_believed_at_once() {
    let start = Instant::now();
    let build = Builder::new().env(bare()).http(nobody()).build();
    let error = build.await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    for host in ["http://169.254.169.254", "http://metadata.google.internal"] {
        assert!(error.to_string().contains(host), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_connections_at_a_pods_start_are_tried_again() {
    let peer = Peer::default();
    let http = peer.client(|number, asked| match number {
        0..=4 => Err(io::ErrorKind::ConnectionRefused.into()),
        _ if asked.request.uri().path() == "/" => metadata_answer(200, "computeMetadata/\n"),
        _ => metadata_answer(200, &id_token("x")),
    });
    let found = Builder::new().env(bare()).http(http).build().await.unwrap();
    assert_eq!(found.kind(), Kind::Metadata);
    for asked in peer.asked() {
        assert_eq!(asked.header("Metadata-Flavor"), Some("Google"));
    }
}

#[tokio::test]
async fn whichever_of_address_and_name_answers_is_used() {
    for here in ["169.254.169.254", "metadata.google.internal"] {
        let peer = Peer::default();
        let http = peer.client(move |_, asked| {
            let uri = asked.request.uri();
            match uri.host() {
                Some(host) if host == here && uri.path() == "/" => metadata_answer(200, ""),
                Some(host) if host == here => metadata_answer(200, &id_token("x")),
                _ => Err(io::Error::other("no such host")),
            }
        });
        let found = Builder::new().env(bare()).http(http).build().await.unwrap();
        assert_eq!(
            found.found(),
            format!("the metadata server at http://{here}")
        );
        found.id_tokens().get(&audience()).await.unwrap();
    }
}

#[tokio::test]
async fn a_captive_portal_is_no_metadata_server() {
    let peer = Peer::default();
    let http = peer.client(|_, _| answer(200, "<html>Welcome to the hotel</html>"));
    let error = Builder::new()
        .env(bare())
        .http(http)
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("answered 200, and is none"),
        "{error}"
    );
}

#[tokio::test]
async fn whoever_names_a_host_is_believed_without_a_question() {
    for (name, host) in [
        ("GCE_METADATA_HOST", "metadata.local:8080"),
        ("GCE_METADATA_HOST", "http://metadata.local:8080/"),
        ("GCE_METADATA_HOST", "[fd20:ce::254]"),
        ("GCE_METADATA_ROOT", "metadata.local"),
    ] {
        let env = bare().variable(name, host);
        let found = Builder::new()
            .env(env)
            .http(nobody())
            .build()
            .await
            .unwrap();
        assert_eq!(found.kind(), Kind::Metadata);
        assert!(found.found().contains(name), "{}", found.found());
    }
    for host in ["two words", "host/path", "user@host", ":80", "host:port"] {
        let env = bare().variable("GCE_METADATA_HOST", host);
        let error = Builder::new()
            .env(env)
            .http(nobody())
            .build()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{host}");
        assert!(error.to_string().contains("GCE_METADATA_HOST"), "{error}");
    }
}

#[tokio::test]
async fn the_legacy_address_variable_moves_the_question() {
    let peer = Peer::default();
    let http = peer.client(|_, asked| match asked.request.uri().host() {
        Some("10.0.0.7") => metadata_answer(200, ""),
        _ => Err(io::Error::other("no such host")),
    });
    let env = bare().variable("GCE_METADATA_IP", "10.0.0.7:88");
    let found = Builder::new().env(env).http(http).build().await.unwrap();
    assert_eq!(found.found(), "the metadata server at http://10.0.0.7:88");
}
