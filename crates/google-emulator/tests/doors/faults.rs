//! What goes wrong on purpose.

use std::{io, time::Duration};

use google_emulator::{Body, Emulator, Endpoint, Fault, Mint, Rejection};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceExt;

use crate::support::*;

fn identity() -> http::Request<Body> {
    metadata(&format!("{IDENTITY}?audience=a"))
}

#[tokio::test]
async fn a_status_comes_the_next_n_times() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        let fault = Fault::status(503)
            .header("retry-after", "7")
            .body("later")
            .times(2);
        emulator.fault(Endpoint::MetadataIdentity, fault);
        for _ in 0..2 {
            let answer = client.ask(identity()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.text().as_str()),
                (503, "later")
            );
            assert_eq!(answer.header("retry-after"), "7");
            assert_eq!(answer.header("metadata-flavor"), "Google");
        }
        assert_eq!(client.ask(identity()).await.status, 200);
    }
}

#[tokio::test]
async fn a_fault_without_a_number_stays_until_it_is_cleared() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    emulator.fault(Endpoint::Any, Fault::status(500));
    for _ in 0..3 {
        assert_eq!(client.ask(identity()).await.status, 500);
        assert_eq!(
            client.ask(form(TOKEN_URI, &[])).await.refusal().1,
            "internal_failure"
        );
        assert_eq!(client.ask(get(HELLO)).await.status, 500);
        let iam = post_json(&format!("{IAM}/{INVOKER}:generateIdToken"), &json!({}));
        assert_eq!(client.ask(iam).await.json()["error"]["code"], 500);
    }
    emulator.clear_faults();
    assert_eq!(client.ask(identity()).await.status, 200);
}

#[tokio::test]
async fn faults_take_turns_and_keep_to_their_endpoint() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    emulator.fault(Endpoint::MetadataIdentity, Fault::status(500).times(1));
    emulator.fault(Endpoint::Metadata, Fault::status(429).times(2));
    assert_eq!(
        client.ask(metadata("/project/project-id")).await.status,
        429
    );
    assert_eq!(client.ask(identity()).await.status, 500);
    assert_eq!(client.ask(identity()).await.status, 429);
    assert_eq!(client.ask(identity()).await.status, 200);
    emulator.fault(Endpoint::MetadataIdentity, Fault::status(500).times(0));
    assert_eq!(client.ask(identity()).await.status, 200);
    let faults = emulator
        .journal()
        .entries()
        .iter()
        .filter(|entry| entry.fault)
        .count();
    assert_eq!(faults, 3);
}

#[tokio::test(start_paused = true)]
async fn a_delay_comes_before_the_usual_answer() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    emulator.fault(
        Endpoint::MetadataIdentity,
        Fault::delay(Duration::from_secs(30)).times(1),
    );
    emulator.fault(
        Endpoint::MetadataIdentity,
        Fault::status(500).after(Duration::from_secs(5)).times(1),
    );
    let start = tokio::time::Instant::now();
    assert_eq!(client.ask(identity()).await.status, 200);
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(client.ask(identity()).await.status, 500);
    assert_eq!(start.elapsed().as_secs(), 35);
}

#[tokio::test]
async fn a_hang_never_answers_but_is_in_the_journal() {
    let emulator = Emulator::new();
    emulator.fault(Endpoint::MetadataIdentity, Fault::hang());
    for (asked, client) in (1..).zip(Client::both(&emulator).await) {
        let hanging = tokio::spawn(async move { client.ask(identity()).await });
        emulator
            .journal()
            .asked(Endpoint::MetadataIdentity, asked)
            .await;
        assert!(!hanging.is_finished());
        hanging.abort();
        let entry = emulator
            .journal()
            .last(Endpoint::MetadataIdentity)
            .expect("an entry");
        assert_eq!((entry.status, entry.fault), (None, true));
    }
}

#[tokio::test]
async fn in_memory_a_reset_and_a_hang_up_are_errors_of_the_connection() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    emulator.fault(Endpoint::MetadataIdentity, Fault::reset().times(1));
    emulator.fault(Endpoint::MetadataIdentity, Fault::close().times(1));
    let error = client.try_ask(identity()).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let error = client.try_ask(identity()).await.expect_err("a hang-up");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(client.ask(identity()).await.status, 200);
}

/// What a raw connection brings for one request, up to its end.
async fn raw(host: &str) -> (String, io::Result<()>) {
    let mut stream = TcpStream::connect(host).await.expect("a listener");
    let request = format!(
        "GET /computeMetadata/v1{IDENTITY}?audience=a HTTP/1.1\r\nhost: {host}\r\n\
         metadata-flavor: Google\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(drop);
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

#[tokio::test]
async fn on_loopback_a_reset_is_a_tcp_reset() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.expect("a port");
    emulator.fault(Endpoint::MetadataIdentity, Fault::reset().times(1));
    let (answer, end) = raw(&server.metadata_host()).await;
    assert_eq!(answer, "");
    assert_eq!(
        end.expect_err("a reset").kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn on_loopback_a_hang_up_is_an_end_without_an_answer() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.expect("a port");
    emulator.fault(Endpoint::MetadataIdentity, Fault::close().times(1));
    let (answer, end) = raw(&server.metadata_host()).await;
    assert_eq!(answer, "");
    assert!(end.is_ok());
}

#[tokio::test]
async fn on_loopback_half_an_answer_is_announced_whole_and_cut() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.expect("a port");
    emulator.fault(Endpoint::MetadataIdentity, Fault::half().times(1));
    let (answer, _) = raw(&server.metadata_host()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let length = head.to_ascii_lowercase();
    let length = length
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect("a length").parse().expect("a number");
    assert!(
        !body.is_empty() && body.len() < length,
        "{} of {length}",
        body.len()
    );
}

#[tokio::test]
async fn half_an_answer_is_an_error_of_the_body() {
    let emulator = Emulator::new();
    emulator.fault(Endpoint::Any, Fault::half());
    for client in Client::both(&emulator).await {
        for request in [
            identity(),
            form(TOKEN_URI, &[]),
            get(HELLO),
            metadata("/project/x"),
        ] {
            assert!(client.try_ask(request).await.is_err());
        }
    }
    let answer = emulator.clone().oneshot(identity()).await.expect("a head");
    let error = answer.into_body().collect().await.expect_err("cut");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn an_endless_body_has_no_end() {
    let emulator = Emulator::new();
    emulator.fault(Endpoint::MetadataIdentity, Fault::endless());
    let answer = emulator.clone().oneshot(identity()).await.expect("a head");
    assert!(!answer.headers().contains_key("content-length"));
    let mut body = answer.into_body();
    let mut read = 0;
    while read < 8 * 1024 * 1024 {
        let frame = body.frame().await.expect("more").expect("sound");
        read += frame.into_data().expect("data").len();
    }
    let server = emulator.serve().await.expect("a port");
    let mut stream = TcpStream::connect(server.metadata_host())
        .await
        .expect("a listener");
    let request = format!(
        "GET /computeMetadata/v1{IDENTITY}?audience=a HTTP/1.1\r\nhost: x\r\n\
         metadata-flavor: Google\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut block = vec![0; 2 * 1024 * 1024];
    stream
        .read_exact(&mut block)
        .await
        .expect("as much as one wants");
}

#[tokio::test]
async fn a_portal_answers_html_without_googles_flavor() {
    let emulator = Emulator::new();
    emulator.fault(Endpoint::Metadata, Fault::html());
    for client in Client::both(&emulator).await {
        let answer = client.ask(identity()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "text/html")
        );
        assert!(!answer.headers.contains_key("metadata-flavor"));
    }
}

#[tokio::test]
async fn headers_of_the_usual_answer_can_be_spoilt() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    emulator.fault(
        Endpoint::Metadata,
        Fault::without_header("metadata-flavor").times(1),
    );
    let answer = client.ask(identity()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("metadata-flavor")),
        (200, "")
    );
    emulator.fault(Endpoint::Token, Fault::content_type("text/html").times(1));
    let answer = client
        .ask(form(TOKEN_URI, &refresh_fields(&emulator)))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "text/html")
    );
    assert!(answer.json()["id_token"].is_string());
}

#[tokio::test]
async fn any_body_can_be_answered() {
    let emulator = Emulator::new();
    let large = vec![b'x'; 8 * 1024 * 1024];
    for client in Client::both(&emulator).await {
        for body in [b"{\"id_token\": \"ey".to_vec(), large.clone(), Vec::new()] {
            emulator.fault(
                Endpoint::Token,
                Fault::status(200).body(body.clone()).times(1),
            );
            let answer = client.ask(form(TOKEN_URI, &[])).await;
            assert_eq!(
                (answer.status.as_u16(), answer.body.as_ref()),
                (200, body.as_slice())
            );
        }
    }
}

#[tokio::test]
async fn cloud_runs_challenge_comes_once() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    let token = client.identity(HELLO).await;
    emulator.fault(Endpoint::Run, Fault::invalid_token().times(1));
    let answer = client.ask(bearer(get(HELLO), &token)).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").contains("invalid_token"));
    assert_eq!(client.ask(bearer(get(HELLO), &token)).await.status, 200);
}

#[tokio::test]
async fn tokens_can_be_minted_badly_by_every_endpoint() {
    let emulator = paused();
    let client = Client::in_memory(&emulator);
    let minted = async |endpoint: Endpoint, mint: Mint| {
        emulator.fault(endpoint, Fault::mint(mint).times(1));
        match endpoint {
            Endpoint::Token => {
                let assertion = assertion(json!({ "target_audience": "a" }));
                let fields = [
                    ("grant_type", JWT_BEARER),
                    ("assertion", assertion.as_str()),
                ];
                let answer = client.ask(form(TOKEN_URI, &fields)).await.json();
                answer["id_token"].as_str().expect("a token").to_owned()
            }
            Endpoint::GenerateIdToken => {
                let url = format!("{IAM}/{INVOKER}:generateIdToken");
                let request = post_json(&url, &json!({ "audience": "a" }));
                let access = client.access_token(DEV).await;
                let answer = client.ask(bearer(request, &access)).await.json();
                answer["token"].as_str().expect("a token").to_owned()
            }
            _ => client.ask(identity()).await.text(),
        }
    };
    for endpoint in [
        Endpoint::MetadataIdentity,
        Endpoint::Token,
        Endpoint::GenerateIdToken,
    ] {
        let token = minted(endpoint, Mint::NoExpiry).await;
        assert!(claims(&token).get("exp").is_none());
        let token = minted(endpoint, Mint::Expired).await;
        assert_eq!(emulator.verify(&token, "a"), Err(Rejection::Expired));
        let token = minted(endpoint, Mint::Lifetime(Duration::from_secs(3))).await;
        assert_eq!(claims(&token)["exp"], NOW + 3);
        let token = minted(endpoint, Mint::Audience("b".to_owned())).await;
        assert!(emulator.verify(&token, "b").is_ok());
        let token = minted(endpoint, Mint::LineBreak).await;
        assert!(token.contains("\r\nx-forged: yes\r\n"));
        let token = minted(endpoint, Mint::NotAJwt).await;
        assert!(!token.contains('.'));
        let token = minted(endpoint, Mint::Claims(json!({ "iss": "me", "sub": null }))).await;
        assert_eq!(
            (&claims(&token)["iss"], claims(&token).get("sub")),
            (&json!("me"), None)
        );
    }
}

#[tokio::test]
async fn the_same_token_can_be_handed_out_again() {
    let clock = TestClock::default();
    let emulator = Emulator::builder().clock(clock.reader()).build();
    let client = Client::in_memory(&emulator);
    let first = client.identity("a").await;
    emulator.fault(
        Endpoint::MetadataIdentity,
        Fault::mint(Mint::Again).times(1),
    );
    clock.advance(Duration::from_secs(7200));
    assert_eq!(client.identity("a").await, first);
    assert_ne!(client.identity("a").await, first);
}
