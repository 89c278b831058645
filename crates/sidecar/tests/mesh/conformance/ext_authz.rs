//! External authorization: what Envoy makes of the answers to its questions.

use std::time::Duration;

use google_emulator::{Endpoint, Fault};
use http::{Method, StatusCode};

use super::load::Load;
use super::{HELLO, address};
use crate::support::envoy::Envoy;
use crate::support::{Caller, HOUR, Service, Sidecar, audience_of, google};

const OTHER: &str = "https://other-abc123-uc.a.run.app";
const TWO_AUDIENCES: &[&str] = &[
    "ext-authz",
    "--audience",
    "hello.internal=https://hello-abc123-uc.a.run.app",
    "--audience",
    "other.internal=https://other-abc123-uc.a.run.app",
];

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
