//! Peers that break mid-sentence, over real sockets where the socket matters.

use std::time::Duration;

use google_emulator::{Credential, Emulator, Endpoint, Fault};
use google_id_token::{Env, ErrorKind, HttpClient, Metadata, SourceError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::support::{Peer, answer, audience, id_token, json_answer, metadata_answer, with_file};

/// A server that treats every connection by this rule, and what a source says of it.
async fn told_of<F, R>(rule: F) -> SourceError
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            tokio::spawn(rule(stream));
        }
    });
    let source = Metadata::new(HttpClient::new(), &host).unwrap();
    let error = source.oneshot(audience()).await.unwrap_err();
    server.abort();
    assert!(error.to_string().contains(&host), "{error}");
    error
}

async fn say(mut stream: TcpStream, text: impl AsRef<[u8]>) {
    let _ = stream.write_all(text.as_ref()).await;
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_is_reset_closed_or_cut_is_unavailable() {
    let (reset, closed, half) = tokio::join!(
        told_of(|stream| async move {
            let _ = stream.set_zero_linger();
            drop(stream);
        }),
        told_of(|stream| say(stream, "")),
        told_of(|stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\neyJ")),
    );
    for error in [reset, closed, half] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("(3 attempts)"), "{error}");
    }
}

#[tokio::test]
async fn something_that_is_no_http_is_malformed() {
    let error = told_of(|stream| say(stream, "SSH-2.0-OpenSSH_9.6\r\n\r\n")).await;
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert!(error.to_string().contains("no HTTP"), "{error}");
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let endless = |mut stream: TcpStream| async move {
        let head = "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(&[b'a'; 65536]).await.is_ok() {}
    };
    let error = told_of(endless).await;
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert!(error.to_string().contains("1 MiB"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let error = told_of(|stream| {
        say(
            stream,
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        )
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert!(error.to_string().contains("no redirects"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_or_no_tls_at_all_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            say(stream, "HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let mut file = crate::support::user_file();
    file["token_uri"] = format!("https://{address}/token").into();
    let builder = google_id_token::Builder::new()
        .env(Env::empty())
        .credentials_json(file.to_string())
        .user_tokens_for_cloud_run();
    let tokens = builder.build().await.unwrap().id_tokens();
    let error = tokens.get(&audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_metadata_server_without_its_mark_is_not_believed() {
    let peer = Peer::default();
    let http = peer.client(|_, _| answer(200, id_token("x")));
    let source = Metadata::new(http, "metadata.google.internal").unwrap();
    let error = source.oneshot(audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(
        error.to_string().contains("Metadata-Flavor: Google"),
        "{error}"
    );
}

#[tokio::test]
async fn metadata_answers_that_are_no_token_are_malformed() {
    for body in ["", "<html></html>", "a.b", "a.b.c", "a.b.c.d", "{}"] {
        let peer = Peer::default();
        let http = peer.client(move |_, _| metadata_answer(200, body));
        let source = Metadata::new(http, "metadata.google.internal").unwrap();
        let error = source.oneshot(audience()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{body}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_bad_answer_of_the_token_endpoint_is_told_for_what_it_is() {
    let oauth = |error: &str| format!(r#"{{"error":"{error}","error_description":"Bad thing."}}"#);
    for (fault, kind, part) in [
        (
            Fault::status(400).body(oauth("invalid_grant")),
            ErrorKind::Denied,
            "invalid_grant: \"Bad thing.\"",
        ),
        (
            Fault::status(401).body(oauth("invalid_client")),
            ErrorKind::Denied,
            "invalid_client",
        ),
        (
            Fault::status(400).body(oauth("invalid_request")),
            ErrorKind::Config,
            "invalid_request",
        ),
        (
            Fault::status(500),
            ErrorKind::Unavailable,
            "500 Internal Server Error",
        ),
        (Fault::status(404), ErrorKind::NotFound, "404"),
        (
            Fault::status(502).body("<!DOCTYPE html><title>Bad</title>"),
            ErrorKind::Unavailable,
            "a page of HTML",
        ),
        (
            Fault::status(200).body("\n<html>Sign in</html>"),
            ErrorKind::Malformed,
            "a page of HTML",
        ),
        (
            Fault::status(200).body("{\"id_token\": \"eyJh"),
            ErrorKind::Malformed,
            "half a JSON document",
        ),
        (Fault::status(200).body(""), ErrorKind::Malformed, "nothing"),
        (
            Fault::status(200).body("[]"),
            ErrorKind::Malformed,
            "no JSON object",
        ),
        (
            Fault::status(200).body("{}"),
            ErrorKind::Malformed,
            "`id_token`",
        ),
        (
            Fault::status(200).body(r#"{"id_token": 7}"#),
            ErrorKind::Malformed,
            "`id_token`",
        ),
        (
            Fault::status(200).body(r#"{"id_token": "not a jwt"}"#),
            ErrorKind::Malformed,
            "no JWT",
        ),
        (
            Fault::status(200).body(vec![b'a'; 8 * 1024 * 1024]),
            ErrorKind::Malformed,
            "1 MiB",
        ),
        (Fault::endless(), ErrorKind::Malformed, "1 MiB"),
        (Fault::half(), ErrorKind::Unavailable, "broke off"),
        (Fault::reset(), ErrorKind::Unavailable, "(3 attempts)"),
        (Fault::hang(), ErrorKind::Unavailable, "no answer within"),
    ] {
        let emulator = Emulator::new();
        let builder = with_file(&emulator, &Credential::service_account());
        let tokens = builder.build().await.unwrap().id_tokens();
        emulator.fault(Endpoint::Token, fault.clone());
        let error = tokens.get(&audience()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        let message = error.to_string();
        assert!(message.contains(part), "{part:?} is not in: {message}");
        assert!(
            message.contains("https://oauth2.googleapis.com/token"),
            "{message}"
        );
        assert!(message.chars().count() < 1000, "{message}");
    }
}

#[tokio::test]
async fn a_wrong_content_type_alone_is_no_error() {
    let emulator = Emulator::new();
    emulator.fault(Endpoint::Token, Fault::content_type("text/plain"));
    let builder = with_file(&emulator, &Credential::service_account());
    builder
        .build()
        .await
        .unwrap()
        .id_tokens()
        .get(&audience())
        .await
        .unwrap();
}

#[tokio::test]
async fn access_tokens_without_a_lifetime_or_with_a_mad_one_are_malformed() {
    for answer in [
        serde_json::json!({ "access_token": "x" }),
        serde_json::json!({ "access_token": "x", "expires_in": -1 }),
        serde_json::json!({ "access_token": "x", "expires_in": 1e300 }),
        serde_json::json!({ "access_token": "x", "expires_in": u64::MAX }),
        serde_json::json!({ "access_token": "x", "expires_in": "soon" }),
        serde_json::json!({ "access_token": "x\r\ny: z", "expires_in": 3600 }),
        serde_json::json!({ "expires_in": 3600 }),
    ] {
        let peer = Peer::default();
        let told = answer.to_string();
        let http = peer.client(move |_, _| json_answer(answer.clone()));
        let builder = google_id_token::Builder::new()
            .http(http)
            .credentials_json(crate::support::user_file().to_string());
        let credentials = builder.impersonate("a@b").build().await.unwrap();
        let error = credentials.id_tokens().get(&audience()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{told}: {error}");
    }
}

#[tokio::test]
async fn a_dropped_connection_pool_does_no_harm_to_the_next_runtime() {
    // Tasks that are tied to a runtime that went away: the same client serves another one.
    let server = Emulator::new().serve().await.unwrap();
    let source = Metadata::new(HttpClient::new(), &server.metadata_host()).unwrap();
    for _ in 0..3 {
        let source = source.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let token = runtime.unwrap().block_on(source.oneshot(audience()));
            token.unwrap();
        });
        while !thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        thread.join().unwrap();
    }
}
