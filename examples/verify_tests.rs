//! The examples of the receiving end, run against the emulator.

// Each is a program, whose `main` is not run here.
#[allow(dead_code)]
mod caller_and_callee;
#[allow(dead_code)]
mod tonic_both_ways;

use google_emulator::Emulator;
use http::{Request, StatusCode};
use tonic::Code;
use tower::ServiceExt;

#[tokio::test]
async fn the_callee_greets_the_caller_by_its_email() {
    let google = Emulator::new().serve().await.unwrap();
    let callee = caller_and_callee::callee(&google).await.unwrap();
    let (status, text) = caller_and_callee::call(&callee, &google).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        text,
        "Hello, caller@demo-project.iam.gserviceaccount.com!\n"
    );
}

#[tokio::test]
async fn the_axum_service_asks_strangers_for_a_token_and_answers_health_checks() {
    let verifier = google_id_token::verify::Verifier::builder().audience("https://hello.example");
    let service = caller_and_callee::axum_service::service(verifier).unwrap();
    let ask = async |path: &str| {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        service.clone().oneshot(request).await.unwrap()
    };
    assert_eq!(ask("/").await.headers()["www-authenticate"], "Bearer");
    assert_eq!(ask("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn tonic_calls_with_a_token_and_is_refused_by_grpc_without() {
    let google = Emulator::new().serve().await.unwrap();
    let url = tonic_both_ways::serve(&google).await.unwrap();
    let answer = tonic_both_ways::check(&url, Some(&google)).await.unwrap();
    assert_eq!(answer.unwrap(), "Serving");
    let refused = tonic_both_ways::check(&url, None)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(refused.message(), "an ID token is needed and there is none");
}
