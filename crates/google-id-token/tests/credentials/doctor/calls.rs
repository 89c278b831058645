//! What the doctor makes of a service's answers.

use std::io;

use google_emulator::{Body, Emulator, Endpoint, Fault, RunService};
use google_id_token::doctor::{Severity, Step};
use http::{Request, Response};

use super::{call, doctor, has, told};
use crate::support::{AUDIENCE, Peer, answer, in_memory, with_metadata};

#[tokio::test]
async fn each_refusal_is_told_for_what_it_is() {
    let google = |what: &str| format!("<html><title>Error</title>{what}</html>");
    let cases = [
        (
            answer(403, "{\"error\":\"no\"}"),
            Severity::Problem,
            "the app itself refused it with 403",
        ),
        (
            answer(401, "who are you?"),
            Severity::Problem,
            "the app itself refused it with 401",
        ),
        (
            answer(401, "Invalid IAP credentials: JWT audience doesn't match"),
            Severity::Problem,
            "OAuth client id",
        ),
        (
            answer(404, google("Error 404 (Not Found)!!1")),
            Severity::Problem,
            "the front end knows no service",
        ),
        (
            answer(404, "no such page"),
            Severity::Note,
            "the app, which answered 404",
        ),
        (answer(503, "busy"), Severity::Warning, "503"),
        (
            Err(io::Error::other("no such host")),
            Severity::Problem,
            "no such host",
        ),
    ];
    for (said, severity, part) in cases {
        let said = std::sync::Mutex::new(Some(said));
        let peer = Peer::default();
        let service = peer.client(move |_, _| said.lock().unwrap().take().unwrap());
        let report = doctor(with_metadata(in_memory(&Emulator::new())), AUDIENCE)
            .call_through(service)
            .examine()
            .await;
        has(&told(&report, Step::Call, severity), &[part]);
        assert_eq!(report.would_work(), severity < Severity::Problem);
        assert_eq!(peer.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirection_to_the_sign_in_page_is_no_success_and_is_not_followed() {
    let peer = Peer::default();
    let service = peer.client(|_, _| {
        let mut said = answer(302, "")?;
        let to = "https://accounts.google.com/o/oauth2/v2/auth?x=y";
        said.headers_mut().insert("location", to.parse().unwrap());
        Ok(said)
    });
    let report = doctor(with_metadata(in_memory(&Emulator::new())), AUDIENCE)
        .call_through(service)
        .examine()
        .await;
    assert!(!report.would_work());
    has(
        &told(&report, Step::Call, Severity::Problem),
        &["Identity-Aware Proxy"],
    );
    assert_eq!(peer.asked().len(), 1);
}

#[tokio::test]
async fn a_service_that_streams_for_ever_has_answered() {
    let emulator = Emulator::builder()
        .run(
            RunService::new("hello").container(tower::service_fn(|_: Request<Body>| async {
                Ok::<_, io::Error>(Response::new(Body::from("on and on")))
            })),
        )
        .build();
    emulator.fault(Endpoint::Run, Fault::endless());
    assert!(call(with_metadata(in_memory(&emulator))).await.would_work());
}
