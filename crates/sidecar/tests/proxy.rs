//! The proxy, as the programs on both sides of it see it.

mod support;

use std::time::Duration;

use bytes::Bytes;
use google_emulator::{Emulator, Endpoint, Fault};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use support::service::full;
use support::{Caller, HOUR, Service, Sidecar, audience_of, google};

#[tokio::test]
async fn a_request_gets_a_token_for_its_service() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let caller = Caller::new();
    // The second comes by the same connection, which knows the way by then.
    for _ in 0..2 {
        let answer = caller.get(&proxy.url("/a/b?c=d")).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (StatusCode::OK, "ok")
        );
        let seen = service.last();
        assert_eq!(seen.uri, "/a/b?c=d");
        assert_eq!(seen.header("host"), Some(&*service.address.to_string()));
        assert!(audience_of(
            &google,
            seen.header("authorization").unwrap(),
            &service.url()
        ));
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        assert_eq!(seen.header("x-forwarded-host"), Some(&*proxy.address));
    }
}

#[tokio::test]
async fn a_real_door_lets_its_requests_in() {
    let google = google(HOUR).await;
    let proxy = Sidecar::start(&google, &["proxy", "--url", &google.run_url("hello")]).await;
    let answer = Caller::new().get(&proxy.url("/")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[tokio::test]
async fn the_apps_authorization_stays_and_forged_copies_of_ours_do_not() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let headers = [
        ("authorization", "Basic app"),
        ("x-serverless-authorization", "Bearer forged"),
        ("connection", "x-secret"),
        ("x-secret", "1"),
        ("traceparent", TRACE),
    ];
    let caller = Caller::new();
    caller
        .send(Method::GET, &proxy.url("/"), &headers, "")
        .await;
    let seen = service.last();
    assert_eq!(seen.header("authorization"), Some("Basic app"));
    let ours = seen.header("x-serverless-authorization").unwrap();
    assert!(audience_of(&google, ours, &service.url()));
    assert_eq!(seen.header("x-secret"), None);
    assert_eq!(seen.header("traceparent"), Some(TRACE));
}

#[tokio::test]
async fn two_hundred_cold_requests_make_one_fetch() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    google.emulator().fault(
        Endpoint::MetadataIdentity,
        Fault::delay(Duration::from_millis(200)),
    );
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let requests: Vec<_> = (0..200)
        .map(|_| {
            let url = proxy.url("/");
            tokio::spawn(async move { Caller::new().get(&url).await.status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(service.seen().len(), 200);
    assert_eq!(
        google
            .emulator()
            .journal()
            .count(Endpoint::MetadataIdentity),
        1
    );
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_caller_hears_why_and_when_to_come_back() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    google.emulator().fault(
        Endpoint::MetadataIdentity,
        Fault::status(503).header("retry-after", "7"),
    );
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let answer = Caller::new().get(&proxy.url("/")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("x-id-token-sidecar"), Some("no-token"));
    let text = answer.text();
    assert!(
        text.starts_with("no ID token, so the request was not sent: "),
        "{text}"
    );
    assert!(text.contains("503"), "{text}");
    assert!(service.seen().is_empty());

    // A gRPC caller hears it as gRPC tells it.
    let grpc = [("content-type", "application/grpc")];
    let answer = Caller::h2()
        .send(Method::POST, &proxy.url("/a.B/C"), &grpc, "")
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("grpc-status"), Some("14"));
    assert!(
        answer
            .header("grpc-message")
            .unwrap()
            .starts_with("no ID token")
    );
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn routes_by_host_and_absolute_urls_lead_to_their_services() {
    let google = google(HOUR).await;
    let (one, two) = (Service::ok().await, Service::ok().await);
    let routes = [
        format!("one.local={}", one.url()),
        format!("two.local={}/base", two.url()),
    ];
    let audience = format!("{}=1234-abc.apps.googleusercontent.com", two.address);
    let arguments = [
        "proxy",
        "--route",
        &routes[0],
        "--route",
        &routes[1],
        "--audience",
        &audience,
    ];
    let proxy = Sidecar::start(&google, &arguments).await;
    let caller = Caller::new();
    let host = [("host", "one.local")];
    caller.send(Method::GET, &proxy.url("/x"), &host, "").await;
    assert!(audience_of(
        &google,
        one.last().header("authorization").unwrap(),
        &one.url()
    ));

    // As an HTTP_PROXY is asked.
    let answer = raw(
        &proxy.address,
        "GET http://two.local/y HTTP/1.1\r\nhost: two.local\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = two.last();
    assert_eq!(seen.uri, "/base/y");
    let token = seen.header("authorization").unwrap();
    assert!(audience_of(
        &google,
        token,
        "1234-abc.apps.googleusercontent.com"
    ));

    let answer = caller.get(&proxy.url("/")).await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    assert!(answer.text().contains("--route"));
}

#[tokio::test]
async fn one_connection_may_ask_for_one_host_after_the_other() {
    let google = google(HOUR).await;
    let (one, two) = (Service::ok().await, Service::ok().await);
    let routes = [
        format!("one.local={}", one.url()),
        format!("two.local={}", two.url()),
    ];
    let arguments = ["proxy", "--route", &routes[0], "--route", &routes[1]];
    let proxy = Sidecar::start(&google, &arguments).await;
    let ask = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let requests = [
        ask("/1", "one.local"),
        ask("/2", "one.local"),
        ask("/3", "two.local"),
        // The URL goes before the header.
        ask("http://one.local/4", "two.local"),
        ask("/5", "two.local"),
        ask("/6", "three.local"),
        ask("/7", "one.local"),
    ];
    let answer = raw(&proxy.address, &requests.concat()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 6, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 421").count(), 1, "{answer}");
    let paths = |service: &Service| {
        let seen = service.seen();
        let mut paths: Vec<_> = seen.iter().map(|seen| seen.uri.to_string()).collect();
        paths.sort();
        paths.concat()
    };
    assert_eq!(
        (paths(&one), paths(&two)),
        ("/1/2/4/7".into(), "/3/5".into())
    );
}

#[tokio::test]
async fn egress_forwards_to_named_hosts_and_refuses_tunnels_and_strangers() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let proxy = Sidecar::start(&google, &["proxy", "--egress", "--host", "127.0.0.1"]).await;
    let get = |url: String| format!("GET {url} HTTP/1.1\r\nhost: x\r\n\r\n");
    let answer = raw(&proxy.address, &get(service.url() + "/z")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(audience_of(
        &google,
        service.last().header("authorization").unwrap(),
        &service.url()
    ));
    let answer = raw(&proxy.address, &get("http://example.com/".into())).await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let answer = raw(
        &proxy.address,
        "CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn location_leads_back_through_the_proxy_and_other_places_stay() {
    let google = google(HOUR).await;
    let service = Service::start(|request| async move {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let location = match request.uri().path() {
            "/base/elsewhere" => "https://example.com/".to_owned(),
            "/base/relative" => "/base/there".to_owned(),
            _ => format!("http://{host}/base/there?q#f"),
        };
        let response = Response::builder().status(302).header("location", location);
        response.body(full("")).unwrap()
    })
    .await;
    let url = service.url() + "/base";
    let proxy = Sidecar::start(&google, &["proxy", "--url", &url]).await;
    let caller = Caller::new();
    let answer = caller.get(&proxy.url("/here")).await;
    assert_eq!(answer.header("location"), Some(&*proxy.url("/there?q#f")));
    let answer = caller.get(&proxy.url("/relative")).await;
    assert_eq!(answer.header("location"), Some("/there"));
    let answer = caller.get(&proxy.url("/elsewhere")).await;
    assert_eq!(answer.header("location"), Some("https://example.com/"));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_a_bad_gateway() {
    let google = google(HOUR).await;
    let gone = Service::ok().await.url();
    let proxy = Sidecar::start(&google, &["proxy", "--url", &gone]).await;
    let answer = Caller::new().get(&proxy.url("/")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.header("x-id-token-sidecar"), Some("connect"));
}

#[tokio::test]
async fn a_service_that_never_begins_to_answer_is_a_gateway_timeout() {
    let google = google(HOUR).await;
    let service = Service::start(|_| std::future::pending()).await;
    let arguments = [
        "proxy",
        "--response-timeout",
        "0.2",
        "--url",
        &service.url(),
    ];
    let proxy = Sidecar::start(&google, &arguments).await;
    let answer = Caller::new().get(&proxy.url("/")).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_request_sent_again() {
    let google = Emulator::builder().token_lifetime(HOUR).build();
    let google = google.serve().await.unwrap();
    // It trusts no token that it has seen only once, as a service does whose keys lag behind.
    let service = Service::start(|request| async move {
        if request.uri().path() == "/app" {
            let response = Response::builder().status(401).header("www-authenticate", "Basic");
            return response.body(full("who are you?")).unwrap();
        }
        let response = Response::builder().status(401).header(
            "www-authenticate",
            "Bearer error=\"invalid_token\" error_description=\"The access token could not be verified\"",
        );
        response.body(full("")).unwrap()
    })
    .await;
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let caller = Caller::new();
    let answer = caller.get(&proxy.url("/")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(service.seen().len(), 2);
    assert_eq!(
        proxy
            .metric("id_token_sidecar_unauthorized_retries_total")
            .await,
        1.0
    );
    // The app's own 401 is the app's.
    caller.get(&proxy.url("/app")).await;
    assert_eq!(service.seen().len(), 3);
    // What has a body is not kept, and so not sent again.
    caller
        .send(Method::POST, &proxy.url("/"), &[], "body")
        .await;
    assert_eq!(service.seen().len(), 4);
}

#[tokio::test]
async fn h2_callers_and_h2_services_meet_and_trailers_pass_both_ways() {
    let google = google(HOUR).await;
    let service = Service::start(|request| async move {
        let te = request.headers().get("te").cloned();
        let body = request.into_body().collect().await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        if let Some(sent) = body.trailers() {
            assert_eq!(sent.len(), 1, "{sent:?}");
            trailers.insert("x-echo", sent["x-sum"].clone());
        }
        let frames = [
            Ok(Frame::data(body.to_bytes())),
            Ok(Frame::trailers(trailers)),
        ];
        let body = StreamBody::new(tokio_stream::iter(frames)).boxed();
        let mut response = Response::new(body);
        response
            .headers_mut()
            .extend(te.map(|te| (http::header::TE, te)));
        response
    })
    .await;
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.h2c_url()]).await;
    let stream = TcpStream::connect(&proxy.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    for name in ["authorization", "x-serverless-authorization"] {
        trailers.insert(name, "Bearer forged".parse().unwrap());
    }
    let frames = [
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from("hello"))),
        Ok(Frame::trailers(trailers)),
    ];
    let request = Request::post(proxy.url("/a.B/C"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(StreamBody::new(tokio_stream::iter(frames)))
        .unwrap();
    let answer = support::Answer::read(sender.send_request(request).await.unwrap()).await;
    assert_eq!(answer.text(), "hello");
    let trailers = answer.trailers.unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-echo"], "42");
    let seen = service.last();
    assert_eq!(seen.header("te"), Some("trailers"));
    assert!(audience_of(
        &google,
        seen.header("authorization").unwrap(),
        &service.url()
    ));
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let google = google(HOUR).await;
    let service = Service::backwards().await;
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let request = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n\
                   upgrade: websocket\r\n\r\nping";
    let answer = raw(&proxy.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("upgrade: websocket"),
        "{answer}"
    );
    assert!(answer.ends_with("gnip"), "{answer}");
    assert!(service.last().header("authorization").is_some());
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("proxy.sock");
    let listen = format!("unix:{}", socket.display());
    let arguments = ["proxy", "--listen", &listen, "--url", &service.url()];
    let _proxy = Sidecar::start(&google, &arguments).await;
    let stream = UnixStream::connect(&socket).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("/")
        .header("host", "localhost")
        .body(Full::<Bytes>::default());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(audience_of(
        &google,
        service.last().header("authorization").unwrap(),
        &service.url()
    ));
    assert_eq!(service.last().header("x-forwarded-for"), None);
}

/// Sends bytes, and reads to the end of what comes back, or to a pause in it.
async fn raw(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(read @ 1..)) =
        tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buffer)).await
    {
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
