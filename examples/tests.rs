//! Every example, run against the emulator.

// Each is a program, whose `main` is not run here.
#[allow(dead_code)]
mod axum_gateway;
#[allow(dead_code)]
mod custom_source;
#[allow(dead_code)]
mod hyper_client;
#[allow(dead_code)]
mod offline_test;
#[allow(dead_code)]
mod reqwest_client;
#[allow(dead_code)]
mod tonic_client;

use axum::body::Body;
use examples::Stage;
use google_emulator::{Emulator, Endpoint, Fault, RunService, Server};
use google_id_token::SourceError;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Status;
use tower::ServiceExt;

#[tokio::test]
async fn the_hyper_client_is_let_in() {
    let stage = Stage::emulated("hello").await.unwrap();
    let credentials = stage.credentials.clone();
    let answer = hyper_client::run(stage.url.clone(), credentials).await;
    let answer = answer.unwrap();
    assert!(answer.starts_with("200 OK\n"), "{answer}");
    assert!(answer.contains(CALLER), "{answer}");
}

#[tokio::test]
async fn the_gateway_forwards_as_itself_and_leaves_the_callers_authorization() {
    let stage = Stage::emulated(mirror()).await.unwrap();
    let gateway = axum_gateway::gateway(stage.url.clone(), stage.credentials.clone());
    let gateway = gateway.await.unwrap();
    let request = Request::post("http://gateway.example/orders/7?full=yes")
        .header("host", "gateway.example")
        .header("authorization", "Basic the-callers-own")
        .header("x-serverless-authorization", "Bearer forged")
        .body(Body::from("two apples"))
        .unwrap();

    let answer = gateway.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let host = stage.url.authority().unwrap();
    let expected = format!("POST /orders/7?full=yes at {host}: Basic the-callers-own: two apples");
    assert_eq!(text, expected);
    let entry = emulator(&stage).journal().last(Endpoint::Run).unwrap();
    assert_eq!(entry.caller.as_deref(), Some(CALLER));
}

#[tokio::test]
async fn the_gateway_tells_its_caller_that_it_has_no_token_and_not_why() {
    let stage = Stage::emulated("hello").await.unwrap();
    emulator(&stage).fault(Endpoint::Token, Fault::status(403));
    let gateway = axum_gateway::gateway(stage.url.clone(), stage.credentials.clone());
    let request = Request::get("/").body(Body::empty()).unwrap();

    let answer = gateway.await.unwrap().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "The gateway has no ID token.\n");
    assert_eq!(emulator(&stage).journal().count(Endpoint::Run), 0);
}

#[tokio::test]
async fn the_tonic_client_calls_unary_and_streaming() {
    let (reporter, server) = tonic_health::server::health_reporter();
    let service = RunService::new("grpc").container(server);
    let stage = Stage::emulated(service).await.unwrap();
    let client = tonic_client::client(stage.url.clone(), stage.credentials.clone());
    let mut client = client.await.unwrap();

    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), Status::Serving);

    let answers = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut answers = answers.into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert_eq!(first.status(), Status::Serving);
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    let second = answers.message().await.unwrap().unwrap();
    assert_eq!(second.status(), Status::NotServing);

    let journal = emulator(&stage).journal();
    assert_eq!(journal.count(Endpoint::Token), 1);
    for entry in journal.of(Endpoint::Run) {
        assert_eq!(entry.caller.as_deref(), Some(CALLER));
    }
}

#[tokio::test]
async fn reqwest_is_let_in_below_the_layer_and_with_the_header_set_by_hand() {
    let stage = Stage::emulated("hello").await.unwrap();
    let credentials = || stage.credentials.clone();
    let layered = reqwest_client::as_a_service(&stage.url, credentials()).await;
    assert!(layered.unwrap().contains(CALLER));
    let by_hand = reqwest_client::by_hand(&stage.url, credentials()).await;
    assert!(by_hand.unwrap().contains(CALLER));
}

#[tokio::test]
async fn the_custom_source_sends_the_files_token_and_names_a_file_that_is_not_there() {
    let stage = Stage::emulated("hello").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token.jwt");
    let audience = stage.url.to_string();
    let claims = emulator(&stage).claims("ci@example.com", audience.trim_end_matches('/'));
    std::fs::write(&file, emulator(&stage).mint(claims) + "\n").unwrap();

    let answer = custom_source::run(stage.url.clone(), file.clone()).await;
    assert!(answer.unwrap().contains("ci@example.com"));

    std::fs::remove_file(&file).unwrap();
    let answer = custom_source::run(stage.url.clone(), file).await;
    let error = answer.unwrap_err();
    let error = SourceError::find(&*error).unwrap().to_string();
    assert!(error.contains("token.jwt"), "{error}");
}

fn emulator(stage: &Stage) -> &Emulator {
    stage.emulator.as_ref().map(Server::emulator).unwrap()
}

/// A service that tells what came through its door.
fn mirror() -> RunService {
    let container = tower::service_fn(|request: Request<google_emulator::Body>| async move {
        let (parts, body) = request.into_parts();
        let header = |name| parts.headers[name].to_str().unwrap().to_owned();
        let (host, authorization) = (header("host"), header("authorization"));
        let body = body.collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body);
        let line = format!("{} {}", parts.method, parts.uri);
        Ok::<_, std::io::Error>(http::Response::new(google_emulator::Body::from(format!(
            "{line} at {host}: {authorization}: {body}"
        ))))
    });
    RunService::new("mirror").container(container)
}

const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";
