//! The sidecar against the real Envoy, and against what a mesh does to a process.
//!
//! Every Envoy here runs a bootstrap from `examples/mesh/envoy`, on free ports.

#[path = "../../crates/sidecar/tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use futures_util::{SinkExt, StreamExt};
use google_emulator::{Endpoint, Fault, Server};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use self::support::envoy::{self, Envoy};
use self::support::service::full;
use self::support::{Caller, HOUR, Service, Sidecar, audience_of, google};

const HELLO: &str = "https://hello-abc123-uc.a.run.app";
const OTHER: &str = "https://other-abc123-uc.a.run.app";
const HELLO_SECRET: &[&str] = &["sds", "--secret", "hello=https://hello-abc123-uc.a.run.app"];
const TWO_AUDIENCES: &[&str] = &[
    "ext-authz",
    "--audience",
    "hello.internal=https://hello-abc123-uc.a.run.app",
    "--audience",
    "other.internal=https://other-abc123-uc.a.run.app",
];

#[tokio::test]
async fn sds_pushes_tokens_into_envoy_by_both_protocols() {
    for bootstrap in ["sds.yaml", "sds-delta.yaml"] {
        let (google, service) = (google(HOUR).await, Service::ok().await);
        let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
        let envoy = start(bootstrap, &service, &sidecar).await;
        served(&envoy).await;
        let caller = Caller::new();
        let headers = [("authorization", "Bearer forged")];
        let answer = caller
            .send(Method::GET, &envoy.url("/"), &headers, "")
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{bootstrap}");
        let token = service.last().header("authorization").unwrap().to_owned();
        assert!(audience_of(&google, &token, HELLO), "{bootstrap}");
    }
}

#[tokio::test]
async fn sds_by_file_reaches_envoy_and_every_rotation_does_too() {
    let (google, service) = (google(Duration::from_secs(10)).await, Service::ok().await);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let arguments = [HELLO_SECRET, &["--write", path]].concat();
    let mut sidecar = Sidecar::start(&google, &arguments).await;
    sidecar.logged("wrote a secret").await;
    let text = envoy::example("sds-file.yaml").to_string();
    let bootstrap = serde_json::from_str(&text.replace("/run/id-token", path)).unwrap();
    let envoy = Envoy::start_with(bootstrap, &[("hello", service.address)]).await;
    let load = Load::start(&envoy, &google, &service, HELLO);
    load.rotations(3).await;
    load.end().await;
}

#[tokio::test]
async fn sds_rotates_every_five_seconds_under_load_and_every_request_carries_a_live_token() {
    let (google, service) = (google(Duration::from_secs(10)).await, Service::ok().await);
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let envoy = start("sds.yaml", &service, &sidecar).await;
    served(&envoy).await;
    let start = Instant::now();
    let load = Load::start(&envoy, &google, &service, HELLO);
    load.rotations(12).await;
    let (requests, tokens) = load.end().await;
    println!(
        "sds under load: {requests} requests and {tokens} tokens in {:?}",
        start.elapsed()
    );
    assert!(start.elapsed() >= Duration::from_secs(50));
}

#[tokio::test]
async fn sds_with_no_secret_yet_lets_nothing_out_and_one_that_ends_is_taken_back() {
    let (google, service) = (google(Duration::from_secs(8)).await, Service::ok().await);
    let emulator = google.emulator().clone();
    emulator.fault(Endpoint::MetadataIdentity, Fault::status(503));
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let mut bootstrap = envoy::example("sds.yaml");
    // Envoy holds its listener back for the first secret; let it not wait for long.
    let text = bootstrap.to_string().replace(
        r#""resource_api_version":"V3""#,
        r#""resource_api_version":"V3","initial_fetch_timeout":"0.5s""#,
    );
    bootstrap = serde_json::from_str(&text).unwrap();
    let clusters = [
        ("hello", service.address),
        ("id-token-sidecar", address(&sidecar)),
    ];
    let envoy = Envoy::start_with(bootstrap, &clusters).await;
    let caller = Caller::new();
    let answer = caller.get(&envoy.url("/")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(service.seen().is_empty(), "nothing goes out bare");

    // The token endpoint is mended: requests go.
    emulator.clear_faults();
    served(&envoy).await;
    // It breaks for good: the last token ends, and is taken back before it does.
    emulator.fault(Endpoint::MetadataIdentity, Fault::status(503));
    let refused =
        async { while caller.get(&envoy.url("/")).await.status != StatusCode::UNAUTHORIZED {} };
    timeout(Duration::from_secs(30), refused)
        .await
        .expect("it is taken back");
    for seen in service.seen() {
        assert!(
            seen.headers.contains_key("authorization"),
            "nothing goes out bare"
        );
    }
}

#[tokio::test]
async fn sds_killed_leaves_envoy_its_last_token() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let envoy = start("sds.yaml", &service, &sidecar).await;
    served(&envoy).await;
    drop(sidecar);
    for _ in 0..100 {
        assert_eq!(
            Caller::new().get(&envoy.url("/")).await.status,
            StatusCode::OK
        );
        let token = service.last().header("authorization").unwrap().to_owned();
        assert!(audience_of(&google, &token, HELLO));
    }
}

#[tokio::test]
async fn istios_filter_is_off_until_a_host_switches_it_on() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let sidecar = Sidecar::start(&google, HELLO_SECRET).await;
    let patches = envoy::documents("istio/sds.yaml")
        .into_iter()
        .find(|document| document["kind"] == "EnvoyFilter")
        .expect("there is one");
    let patch = |kind: &str| {
        let all = patches["spec"]["configPatches"].as_array().unwrap();
        let patch = all.iter().find(|patch| patch["applyTo"] == kind).unwrap();
        patch["patch"]["value"].clone()
    };
    // What Istio makes of it: the cluster, the filter, and the host that switches it on.
    let mut bootstrap = envoy::example("sds.yaml");
    let resources = &mut bootstrap["static_resources"];
    resources["clusters"][1] = patch("CLUSTER");
    let http = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    http["http_filters"][0] = patch("HTTP_FILTER");
    let hosts = http["route_config"]["virtual_hosts"]
        .as_array_mut()
        .unwrap();
    let mut other = hosts[0].clone();
    other["name"] = "other".into();
    other["domains"] = serde_json::json!(["other.internal"]);
    hosts.push(other);
    for (key, value) in patch("VIRTUAL_HOST").as_object().unwrap() {
        hosts[0][key] = value.clone();
    }
    let clusters = [
        ("hello", service.address),
        ("id-token-sidecar", address(&sidecar)),
    ];
    let envoy = Envoy::start_with(bootstrap, &clusters).await;
    served(&envoy).await;
    let token = service.last().header("authorization").unwrap().to_owned();
    assert!(audience_of(&google, &token, HELLO));
    let host = [("host", "other.internal")];
    Caller::new()
        .send(Method::GET, &envoy.url("/"), &host, "")
        .await;
    assert_eq!(service.last().header("authorization"), None);
}

#[tokio::test]
async fn ext_authz_puts_on_the_token_of_each_authority_by_grpc_and_by_http() {
    for bootstrap in ["ext-authz.yaml", "ext-authz-http.yaml"] {
        let google = google(HOUR).await;
        let (hello, other) = (Service::ok().await, Service::ok().await);
        let sidecar = Sidecar::start(&google, TWO_AUDIENCES).await;
        let clusters = [
            ("hello", hello.address),
            ("other", other.address),
            ("id-token-sidecar", address(&sidecar)),
        ];
        let envoy = Envoy::start(bootstrap, &clusters).await;
        let caller = Caller::new();
        for (host, service, audience) in [
            ("hello.internal", &hello, HELLO),
            ("other.internal", &other, OTHER),
        ] {
            let headers = [
                ("host", host),
                ("x-serverless-authorization", "Bearer forged"),
            ];
            let answer = caller
                .send(Method::GET, &envoy.url("/"), &headers, "")
                .await;
            assert_eq!(answer.status, StatusCode::OK, "{bootstrap}");
            let seen = service.last();
            let token = seen.header("authorization").unwrap();
            assert!(audience_of(&google, token, audience), "{bootstrap} {host}");
            assert_eq!(
                seen.header("x-serverless-authorization"),
                None,
                "{bootstrap}"
            );
        }
        // The app's own stays, and ours goes where the door looks first.
        let headers = [("host", "hello.internal"), ("authorization", "Basic app")];
        caller
            .send(Method::GET, &envoy.url("/"), &headers, "")
            .await;
        let seen = hello.last();
        assert_eq!(
            seen.header("authorization"),
            Some("Basic app"),
            "{bootstrap}"
        );
        let token = seen.header("x-serverless-authorization").unwrap();
        assert!(audience_of(&google, token, HELLO), "{bootstrap}");

        drop(sidecar);
        let before = hello.seen().len();
        let host = [("host", "hello.internal")];
        let answer = caller.send(Method::GET, &envoy.url("/"), &host, "").await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{bootstrap}: the sidecar is gone"
        );
        assert_eq!(hello.seen().len(), before, "nothing goes out bare");
    }
}

#[tokio::test]
async fn ext_authz_rotates_under_load_and_every_request_carries_a_live_token() {
    let (google, service) = (google(Duration::from_secs(6)).await, Service::ok().await);
    let sidecar = Sidecar::start(&google, TWO_AUDIENCES).await;
    let clusters = [
        ("hello", service.address),
        ("other", service.address),
        ("id-token-sidecar", address(&sidecar)),
    ];
    let envoy = Envoy::start("ext-authz.yaml", &clusters).await;
    let load = Load::start(&envoy, &google, &service, HELLO);
    load.rotations(4).await;
    load.end().await;
}

#[tokio::test]
async fn ext_authz_without_a_token_says_why_and_lets_nothing_out() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let fault = Fault::status(503).header("retry-after", "7");
    google.emulator().fault(Endpoint::MetadataIdentity, fault);
    let sidecar = Sidecar::start(&google, TWO_AUDIENCES).await;
    let clusters = [
        ("hello", service.address),
        ("other", service.address),
        ("id-token-sidecar", address(&sidecar)),
    ];
    for (bootstrap, status) in [
        ("ext-authz.yaml", StatusCode::SERVICE_UNAVAILABLE),
        ("ext-authz-http.yaml", StatusCode::FORBIDDEN),
    ] {
        let envoy = Envoy::start(bootstrap, &clusters).await;
        let host = [("host", "hello.internal")];
        let answer = Caller::new()
            .send(Method::GET, &envoy.url("/"), &host, "")
            .await;
        assert_eq!(answer.status, status, "{bootstrap}");
        if status == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(answer.header("retry-after"), Some("7"));
            assert!(
                answer.text().starts_with("no ID token"),
                "{}",
                answer.text()
            );
        }
        assert!(service.seen().is_empty(), "nothing goes out bare");
    }
}

#[tokio::test]
async fn the_proxy_serves_an_envoy_that_knows_no_filter() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let route = format!("hello.internal={}", service.url());
    let sidecar = Sidecar::start(&google, &["proxy", "--route", &route]).await;
    let clusters = [("id-token-sidecar", address(&sidecar))];
    let envoy = Envoy::start("proxy.yaml", &clusters).await;
    assert_eq!(
        Caller::new().get(&envoy.url("/")).await.status,
        StatusCode::OK
    );
    let token = service.last().header("authorization").unwrap().to_owned();
    assert!(audience_of(&google, &token, &service.url()));
}

#[tokio::test]
async fn a_gibibyte_up_and_down_leaves_the_proxys_memory_flat() {
    let google = google(HOUR).await;
    let service = Service::start(|request| async move {
        let mut received = 0;
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            received += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        let mut response = Response::new(BodyExt::boxed(StreamBody::new(gibibyte())));
        response.headers_mut().insert("x-received", received.into());
        response
    })
    .await;
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    assert_eq!(
        Caller::new().get(&proxy.url("/")).await.body.len() as u64,
        GIB
    );
    let before = proxy.resident();

    let mut sender = http1(&proxy.address).await;
    let request = Request::post("/").header("host", "localhost");
    let response = sender.send_request(request.body(StreamBody::new(gibibyte())).unwrap());
    let response = response.await.unwrap();
    assert_eq!(response.headers()["x-received"], GIB.to_string());
    let mut most = proxy.resident();
    let mut received = 0;
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let length = frame.unwrap().data_ref().map_or(0, Bytes::len) as u64;
        if received >> 26 != (received + length) >> 26 {
            most = most.max(proxy.resident());
        }
        received += length;
    }
    assert_eq!(received, GIB);
    println!("a GiB up and down: {before} KiB before, {most} KiB at most");
    assert!(most < before + 4096, "{before} KiB grew to {most} KiB");
}

#[tokio::test]
async fn a_slow_reader_holds_the_service_back() {
    let google = google(HOUR).await;
    let (sent, mut watched) = watch::channel(0_u64);
    let service = Service::start(move |_| {
        let sent = sent.clone();
        async move {
            let frames = gibibyte().inspect(move |_| sent.send_modify(|sent| *sent += CHUNK));
            Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
    })
    .await;
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let mut sender = http1(&proxy.address).await;
    let request = Request::get("/").header("host", "localhost");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let _unread = sender.send_request(request).await.unwrap();
    // It stops by itself, when all buffers on the way are full.
    while timeout(Duration::from_secs(2), watched.changed())
        .await
        .is_ok()
    {}
    let sent = *watched.borrow();
    println!(
        "a reader that does not read: the service sent {} KiB",
        sent >> 10
    );
    assert!(sent < GIB / 16, "{sent} bytes were sent to nobody");
}

#[tokio::test]
async fn a_grpc_stream_runs_through_the_proxy() {
    let google = google(Duration::from_secs(10)).await;
    // A tonic service that streams: the sidecar's own secret discovery.
    let sds = Sidecar::start(&google, HELLO_SECRET).await;
    let url = format!("h2c://{}", sds.address);
    let proxy = Sidecar::start(&google, &["proxy", "--url", &url]).await;
    let channel = tonic::transport::Endpoint::from_shared(proxy.url("")).unwrap();
    let mut client = SecretDiscoveryServiceClient::new(channel.connect().await.unwrap());
    let request = DiscoveryRequest {
        resource_names: vec!["hello".into()],
        ..DiscoveryRequest::default()
    };
    let requests = tokio_stream::iter([request]).chain(tokio_stream::pending());
    let mut answers = client.stream_secrets(requests).await.unwrap().into_inner();
    let mut nonces = Vec::new();
    while nonces.len() < 3 {
        let answer = timeout(Duration::from_secs(30), answers.message()).await;
        nonces.push(answer.unwrap().unwrap().expect("the stream goes on").nonce);
    }
    nonces.dedup();
    assert_eq!(nonces.len(), 3, "each rotation came through at once");
}

#[tokio::test]
async fn a_websocket_runs_through_the_proxy() {
    let google = google(HOUR).await;
    let service = Service::start(|mut request| async move {
        let key = request.headers()["sec-websocket-key"].as_bytes();
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key);
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let stream = TokioIo::new(upgrade.await.unwrap());
            let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        });
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", accept)
            .body(full(""))
            .unwrap()
    })
    .await;
    let proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let stream = TcpStream::connect(&proxy.address).await.unwrap();
    let url = format!("ws://{}/chat", proxy.address);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    for text in ["one", "two", "three"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    let token = service.last().header("authorization").unwrap().to_owned();
    assert!(audience_of(&google, &token, &service.url()));
}

#[tokio::test]
async fn sigterm_under_load_loses_no_accepted_request() {
    let (google, service) = (google(HOUR).await, Service::ok().await);
    let mut proxy = Sidecar::start(&google, &["proxy", "--url", &service.url()]).await;
    let (answered, mut progress) = watch::channel(0_u64);
    let callers: Vec<_> = (0..32)
        .map(|_| tokio::spawn(call_until_refused(proxy.address.clone(), answered.clone())))
        .collect();
    progress
        .wait_for(|answered| *answered > 2000)
        .await
        .unwrap();
    proxy.signal("TERM");
    let mut lost = 0;
    for caller in callers {
        lost += caller.await.unwrap();
    }
    assert_eq!(proxy.ended().await.code(), Some(0));
    println!(
        "SIGTERM under load: {} answered, {lost} lost",
        *progress.borrow()
    );
    assert_eq!(lost, 0);
    assert_eq!(service.seen().len() as u64, *progress.borrow());
}

/// Calls on one connection after another until there are none to be had; counts what was sent and
/// not answered.
async fn call_until_refused(address: String, answered: watch::Sender<u64>) -> u64 {
    let mut lost = 0;
    while let Ok(stream) = TcpStream::connect(&address).await {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let Ok((mut sender, connection)) = handshake else {
            continue;
        };
        tokio::spawn(connection);
        let mut first = true;
        while sender.ready().await.is_ok() {
            let request = Request::get("/").header("host", "localhost");
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            match sender.send_request(request).await {
                Ok(response) if response.status() == StatusCode::OK => {
                    if response.into_body().collect().await.is_ok() {
                        answered.send_modify(|answered| *answered += 1);
                    } else {
                        lost += 1;
                    }
                }
                // Never written: the connection had been closed before.
                Err(error) if error.is_canceled() => break,
                // Still in the kernel's queue when the listener closed: nobody accepted it. That
                // the service never saw it is checked in the end.
                Err(_) if first => break,
                Ok(_) | Err(_) => lost += 1,
            }
            first = false;
        }
    }
    lost
}

/// Calls an Envoy without a pause, and checks every token that arrives behind it.
struct Load {
    task: tokio::task::JoinHandle<u64>,
    stop: watch::Sender<bool>,
    tokens: watch::Receiver<HashMap<String, i64>>,
}

impl Load {
    fn start(envoy: &Envoy, google: &Server, service: &Service, audience: &'static str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (known, tokens) = watch::channel(HashMap::new());
        let emulator = google.emulator().clone();
        let url = envoy.url("/");
        let seen = service.memory();
        let task = tokio::spawn(async move {
            let callers = (0..4).map(|_| {
                let (url, stopped) = (url.clone(), stopped.clone());
                let (known, emulator, seen) = (known.clone(), emulator.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let caller = Caller::new();
                    let mut requests = 0;
                    while !*stopped.borrow() {
                        let host = [("host", "hello.internal")];
                        let answer = caller.send(Method::GET, &url, &host, "").await;
                        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                        requests += 1;
                        let arrived = std::mem::take(&mut *seen.lock().unwrap());
                        for seen in arrived {
                            let token = seen.header("authorization").expect("nothing goes bare");
                            let token = token.strip_prefix("Bearer ").expect("a bearer token");
                            let exp = known.borrow().get(token).copied();
                            let exp = exp.unwrap_or_else(|| {
                                let claims =
                                    emulator.verify(token, audience).expect("a good token");
                                known.send_modify(|known| {
                                    known.insert(token.to_owned(), claims.exp);
                                });
                                claims.exp
                            });
                            assert!(now() <= exp, "a dead token arrived");
                        }
                    }
                    requests
                })
            });
            let mut requests = 0;
            for caller in callers.collect::<Vec<_>>() {
                requests += caller.await.expect("every request is good");
            }
            requests
        });
        Self { task, stop, tokens }
    }

    /// Waits until so many tokens have been seen after the first.
    async fn rotations(&self, count: usize) {
        let mut tokens = self.tokens.clone();
        let enough = tokens.wait_for(|tokens| tokens.len() > count);
        let enough = timeout(Duration::from_secs(120), enough).await;
        assert!(
            enough.is_ok_and(|enough| enough.is_ok()),
            "it rotates, and every request is good"
        );
    }

    /// Stops, and tells how many requests and tokens there were.
    async fn end(self) -> (u64, usize) {
        self.stop.send_replace(true);
        let requests = self.task.await.expect("every request is good");
        (requests, self.tokens.borrow().len())
    }
}

async fn start(bootstrap: &str, service: &Service, sidecar: &Sidecar) -> Envoy {
    let clusters = [
        ("hello", service.address),
        ("id-token-sidecar", address(sidecar)),
    ];
    Envoy::start(bootstrap, &clusters).await
}

/// Waits until requests go through.
async fn served(envoy: &Envoy) {
    let caller = Caller::new();
    let ok = async { while caller.get(&envoy.url("/")).await.status != StatusCode::OK {} };
    timeout(Duration::from_secs(30), ok)
        .await
        .expect("it serves");
}

fn address(sidecar: &Sidecar) -> SocketAddr {
    sidecar.address.parse().unwrap()
}

async fn http1<B>(address: &str) -> hyper::client::conn::http1::SendRequest<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<tower::BoxError>> + Send + 'static,
{
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn gibibyte()
-> impl tokio_stream::Stream<Item = Result<Frame<Bytes>, tower::BoxError>> + Send + Sync {
    let chunk = Bytes::from(vec![7; CHUNK as usize]);
    tokio_stream::iter((0..GIB / CHUNK).map(move |_| Ok(Frame::data(chunk.clone()))))
}

fn now() -> i64 {
    let clock = google_id_token::Clock::default();
    clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

const GIB: u64 = 1 << 30;
const CHUNK: u64 = 1 << 16;
