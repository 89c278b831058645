//! The proxy under what a mesh does to it: great bodies, long streams, sudden ends.

use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use super::{HELLO_SECRET, address};
use crate::support::envoy::Envoy;
use crate::support::service::full;
use crate::support::{Caller, HOUR, Service, Sidecar, audience_of, google};

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

const GIB: u64 = 1 << 30;
const CHUNK: u64 = 1 << 16;
