//! The doctor says what is wrong, which command mends it, and is done within ten seconds.

use std::future::pending;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use google_emulator::{Body, Credential, Emulator, Endpoint, Fault, Grant, Mint, RunService};
use google_id_token::doctor::{Doctor, Place, Report, Severity, Step};
use google_id_token::{Builder, Clock, Env, HttpClient, Kind, Sight};
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;

use crate::support::{
    AUDIENCE, Peer, answer, in_memory, metadata_answer, nobody, with_file, with_metadata,
};

const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";
const INVOKER: &str = "invoker@demo-project.iam.gserviceaccount.com";

fn doctor(builder: Builder, url: &str) -> Doctor {
    Doctor::new(builder).url(url.parse().unwrap())
}

async fn call(builder: Builder) -> Report {
    doctor(builder, AUDIENCE).call().examine().await
}

/// The messages of one step's findings, which are all this bad; and all commands in them.
#[track_caller]
fn told(report: &Report, step: Step, severity: Severity) -> String {
    let found: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.step == step && it.severity == severity)
        .map(|it| format!("{} {}", it.message, it.commands.join("\n")))
        .collect();
    assert!(!found.is_empty(), "no {severity} of {step} in:\n{report}");
    found.join("\n")
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
async fn with_everything_in_place_the_report_tells_who_for_whom_and_until_when() {
    let emulator = Emulator::new();
    let report = call(with_metadata(in_memory(&emulator))).await;
    assert!(report.would_work(), "{report}");
    let sights: Vec<_> = report.looked.iter().map(|it| it.sight).collect();
    assert_eq!(sights, [Sight::Absent, Sight::Absent, Sight::Used]);
    assert_eq!(report.looked[0].place, "GOOGLE_APPLICATION_CREDENTIALS");
    let identity = report.identity.as_ref().unwrap();
    assert_eq!(identity.kind, Some(Kind::Metadata));
    assert_eq!(identity.principal.as_deref(), Some(CALLER));
    let token = report.token.as_ref().unwrap();
    assert_eq!(token.aud.as_deref(), Some(AUDIENCE));
    assert_eq!(token.lifetime, Some(3600));
    assert!((3590..=3600).contains(&token.left));
    assert_eq!(report.clock.as_ref().unwrap().seconds, 0);
    assert_eq!(report.call.as_ref().unwrap().status, 200);
    assert_eq!(emulator.journal().count(Endpoint::Run), 1);
}

#[tokio::test]
async fn every_kind_of_credentials_passes_the_examination_over_sockets_too() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.unwrap();
    for credential in Credential::all() {
        let env: Env = server.env_for(&credential).unwrap().into_iter().collect();
        let builder = Builder::new().env(env).user_tokens_for_cloud_run();
        let report = doctor(builder, &server.run_url("hello"))
            .call()
            .examine()
            .await;
        assert!(report.would_work(), "{credential:?}:\n{report}");
        let wanted = report.audience.unwrap();
        assert_eq!(wanted.place, Some(Place::Loopback));
    }
}

#[tokio::test]
async fn the_report_is_json_for_machines_and_text_for_people_and_has_no_signature() {
    let emulator = Emulator::new();
    let builder = with_file(&emulator, &Credential::service_account());
    let tokens = builder.clone().build().await.unwrap().id_tokens();
    let audience = AUDIENCE.parse().unwrap();
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    let report = call(builder).await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["would_work"], true);
    assert_eq!(json["identity"]["kind"], "service_account");
    assert_eq!(json["looked"][0]["sight"], "used");
    assert_eq!(json["audience"]["place"]["kind"], "cloud_run");
    assert_eq!(json["audience"]["place"]["service"], "hello");
    assert_eq!(json["token"]["email"], CALLER);
    assert_eq!(json["call"]["status"], 200);
    let text = report.to_string();
    has(
        &text,
        &[CALLER, AUDIENCE, "answered 200", "The call works."],
    );
    let token = tokens.get(&audience).await.unwrap();
    for printed in [text, json.to_string(), format!("{report:?}")] {
        assert!(!printed.contains(&signature(token.secret())));
        assert!(!printed.contains("eyJ"), "{printed}");
    }
}

#[tokio::test]
async fn without_credentials_the_places_and_the_command_are_named() {
    let env = Env::empty()
        .variable("HOME", "/home/me")
        .variable("NO_GCE_CHECK", "true");
    let report = call(Builder::new().env(env).http(nobody())).await;
    assert!(!report.would_work());
    let whys: Vec<_> = report.looked.iter().map(|it| it.why.as_str()).collect();
    assert_eq!(
        whys,
        ["not set", "no such file", "not asked: NO_GCE_CHECK is true"]
    );
    let problem = told(&report, Step::Credentials, Severity::Problem);
    has(
        &problem,
        &["gcloud auth application-default login --impersonate-service-account=EMAIL"],
    );
    assert_eq!(report.token, None);
    assert_eq!(report.audience.unwrap().audience, AUDIENCE);
}

#[tokio::test]
async fn a_broken_file_is_named_as_the_end_of_the_search() {
    let env = Env::empty()
        .variable("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")
        .file("/key.json", "{");
    let report = call(Builder::new().env(env).http(nobody())).await;
    assert_eq!(report.looked.len(), 1);
    assert_eq!(report.looked[0].sight, Sight::Broken);
    has(
        &told(&report, Step::Credentials, Severity::Problem),
        &["/key.json", "cut off"],
    );
}

#[tokio::test]
async fn a_users_credentials_are_shown_and_the_two_ways_on_from_there() {
    let emulator = Emulator::new();
    let builder = with_file(&emulator, &Credential::user());
    let report = call(builder.clone()).await;
    assert!(!report.would_work());
    assert_eq!(report.identity.as_ref().unwrap().kind, Some(Kind::User));
    let problem = report.problems().next().unwrap();
    assert_eq!(
        problem.commands,
        ["gcloud auth application-default login --impersonate-service-account=EMAIL"]
    );

    let chosen = call(builder.clone().user_tokens_for_cloud_run()).await;
    assert!(chosen.would_work(), "{chosen}");
    let warning = told(&chosen, Step::Token, Severity::Warning);
    has(&warning, &["gcloud itself", "764086051850-"]);

    // It opens Cloud Run as that user for whoever gets it.
    let elsewhere = doctor(
        builder.user_tokens_for_cloud_run(),
        "https://api.example.com",
    )
    .call()
    .examine()
    .await;
    assert!(!elsewhere.would_work());
    has(
        &told(&elsewhere, Step::Call, Severity::Problem),
        &["not called"],
    );
    assert_eq!(emulator.journal().count(Endpoint::Run), 1);
}

#[tokio::test]
async fn a_missing_role_comes_with_the_command_that_gives_it() {
    // To act as the account.
    let emulator = Emulator::builder().closed().build();
    let builder = with_file(&emulator, &Credential::impersonated_by_service_account());
    let report = call(builder).await;
    let problem = told(&report, Step::Token, Severity::Problem);
    has(
        &problem,
        &[&format!(
            "gcloud iam service-accounts add-iam-policy-binding {INVOKER} \
             --member=serviceAccount:{CALLER} --role=roles/iam.serviceAccountOpenIdTokenCreator"
        )],
    );

    // To call the service.
    let emulator = Emulator::builder()
        .run(RunService::new("hello").host("hello-123456789012.europe-west1.run.app"))
        .grant(Grant::invoker("somebody@else", "hello"))
        .build();
    let builder = with_metadata(in_memory(&emulator));
    let report = doctor(builder, "https://hello-123456789012.europe-west1.run.app/x")
        .call()
        .examine()
        .await;
    assert!(!report.would_work());
    let called = report.call.as_ref().unwrap();
    assert_eq!((called.status, called.front_end), (403, true));
    let problem = report.problems().next().unwrap();
    assert_eq!(
        problem.commands,
        [format!(
            "gcloud run services add-iam-policy-binding hello --region=europe-west1 \
             --member=serviceAccount:{CALLER} --role=roles/run.invoker"
        )]
    );
}

#[tokio::test]
async fn a_wrong_audience_is_blamed_for_the_401() {
    let emulator = Emulator::new();
    let report = doctor(with_metadata(in_memory(&emulator)), AUDIENCE)
        .audience("https://wrong.example".parse().unwrap())
        .call()
        .examine()
        .await;
    assert!(!report.would_work());
    let called = report.call.as_ref().unwrap();
    assert_eq!(called.status, 401);
    has(called.challenge.as_ref().unwrap(), &["invalid_token"]);
    has(
        &told(&report, Step::Call, Severity::Problem),
        &[
            "https://wrong.example is no audience",
            "gcloud run services describe hello",
            "--add-custom-audiences=https://wrong.example",
        ],
    );
}

#[tokio::test]
async fn a_token_for_somebody_else_is_a_problem() {
    let emulator = Emulator::new();
    let other = Mint::Audience("https://other.example".to_owned());
    emulator.fault(Endpoint::MetadataIdentity, Fault::mint(other));
    let report = Doctor::new(with_metadata(in_memory(&emulator)))
        .examine()
        .await;
    assert!(!report.would_work());
    has(
        &told(&report, Step::Token, Severity::Problem),
        &["https://other.example"],
    );
}

/// Examines with something hanging, which has to take less than ten seconds.
async fn hung(builder: Builder) -> Report {
    let start = Instant::now();
    let report = call(builder).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!report.would_work());
    report
}

#[tokio::test(start_paused = true)]
async fn whatever_hangs_is_named_within_ten_seconds() {
    for (credential, endpoint, step, parts) in [
        (
            Credential::metadata(),
            Endpoint::Metadata,
            Step::Token,
            ["http://metadata.google.internal", "no answer within"],
        ),
        (
            Credential::service_account(),
            Endpoint::Token,
            Step::Token,
            ["https://oauth2.googleapis.com/token", "no answer within"],
        ),
        (
            Credential::impersonated_by_user(),
            Endpoint::GenerateIdToken,
            Step::Token,
            ["https://iamcredentials.googleapis.com", "no answer within"],
        ),
        (
            Credential::service_account(),
            Endpoint::Run,
            Step::Call,
            [AUDIENCE, "gave up after 9.8 s"],
        ),
    ] {
        let emulator = Emulator::new();
        let builder = if credential == Credential::metadata() {
            with_metadata(in_memory(&emulator))
        } else {
            with_file(&emulator, &credential)
        };
        emulator.fault(endpoint, Fault::hang());
        let report = hung(builder).await;
        has(&told(&report, step, Severity::Problem), &parts);
        // What was seen before is there.
        assert!(report.identity.is_some() && report.audience.is_some());
        assert_eq!(report.token.is_some(), step == Step::Call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_swallows_everything_takes_no_longer() {
    let http = HttpClient::from_service(tower::service_fn(|_: Request<Full<Bytes>>| {
        pending::<io::Result<Response<Full<Bytes>>>>()
    }));
    let env = Env::empty().variable("HOME", "/home/me");
    let report = hung(Builder::new().env(env.clone()).http(http.clone())).await;
    has(
        &told(&report, Step::Credentials, Severity::Problem),
        &["no answer from"],
    );

    let patient = env.variable("GCE_METADATA_TIMEOUT", "60");
    let report = hung(Builder::new().env(patient).http(http)).await;
    has(
        &told(&report, Step::Credentials, Severity::Problem),
        &["gave up after 9.8 s", "to answer"],
    );
    assert_eq!(report.looked.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_takes_no_longer() {
    let emulator = Emulator::new();
    emulator.fault(Endpoint::Run, Fault::status(503).body("slow").after(HOUR));
    hung(with_metadata(in_memory(&emulator))).await;
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_is_noticed() {
    for (ours_ahead, way) in [(true, " s ahead of"), (false, "behind")] {
        let clock = move || {
            let now: SystemTime = Clock::default().now();
            match ours_ahead {
                true => now - TEN_MINUTES,
                false => now + TEN_MINUTES,
            }
        };
        let emulator = Emulator::builder().clock(clock).build();
        let report = call(with_metadata(in_memory(&emulator))).await;
        assert!(report.would_work(), "{report}");
        let skew = report.clock.as_ref().unwrap().seconds;
        assert!((595..=601).contains(&skew.abs()), "{skew}");
        assert_eq!(skew > 0, ours_ahead);
        let warning = told(&report, Step::Clock, Severity::Warning);
        has(&warning, &[way, "metadata.google.internal"]);

        if ours_ahead {
            // The key's own JWTs are from the future.
            let report = call(with_file(&emulator, &Credential::service_account())).await;
            assert!(!report.would_work());
            told(&report, Step::Clock, Severity::Problem);
            has(
                &told(&report, Step::Token, Severity::Problem),
                &["invalid_grant", "clock"],
            );
        }
    }
}

#[tokio::test]
async fn the_audience_that_a_url_asks_for_is_explained() {
    let emulator = Emulator::new();
    for (url, audience, severity, part) in [
        (
            "https://blue---hello-abc123-uc.a.run.app/x?y=z",
            AUDIENCE,
            Severity::Good,
            "the traffic tag `blue` is no part of it",
        ),
        (
            "https://us-central1-p.cloudfunctions.net/hello/x",
            "https://us-central1-p.cloudfunctions.net/hello",
            Severity::Good,
            "a function's audience is its URL with its name",
        ),
        (
            "https://api.example.com/x",
            "https://api.example.com",
            Severity::Warning,
            "custom domain",
        ),
        (
            "http://127.0.0.1:8080/x",
            "http://127.0.0.1:8080",
            Severity::Good,
            "loopback",
        ),
    ] {
        let report = doctor(with_metadata(in_memory(&emulator)), url)
            .examine()
            .await;
        assert!(report.would_work(), "{report}");
        let wanted = report.audience.as_ref().unwrap();
        assert_eq!(wanted.audience, audience);
        assert_eq!(
            report.token.as_ref().unwrap().aud.as_deref(),
            Some(audience)
        );
        has(&told(&report, Step::Audience, severity), &[part]);
    }
    let report = doctor(with_metadata(in_memory(&emulator)), "/no/host")
        .examine()
        .await;
    told(&report, Step::Audience, Severity::Problem);
}

#[tokio::test]
async fn a_custom_domain_works_with_the_audience_that_is_given() {
    let emulator = Emulator::builder()
        .run(RunService::new("hello").host("api.example.com"))
        .build();
    for (audience, works) in [("https://api.example.com", true), (AUDIENCE, false)] {
        let report = doctor(
            with_metadata(in_memory(&emulator)),
            "https://api.example.com",
        )
        .audience(audience.parse().unwrap())
        .call()
        .examine()
        .await;
        assert_eq!(report.would_work(), works, "{report}");
        assert!(report.audience.unwrap().given);
    }
}

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

#[tokio::test]
async fn a_token_without_an_e_mail_is_worth_a_warning() {
    let peer = Peer::default();
    let bare = crate::support::jwt(&serde_json::json!({
        "aud": "https://doctor.invalid", "exp": crate::support::now() + 3600,
    }));
    let http = peer.client(move |_, _| metadata_answer(200, &bare));
    let report = Doctor::new(with_metadata(http)).examine().await;
    assert!(report.would_work(), "{report}");
    has(
        &told(&report, Step::Token, Severity::Warning),
        &["no e-mail"],
    );
    assert_eq!(report.clock, None);
}

#[test]
fn outside_a_runtime_it_is_a_report_and_no_panic() {
    let mut examine = std::pin::pin!(Doctor::new(Builder::new()).examine());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(report) = examine.as_mut().poll(&mut context) else {
        panic!("it should be done at once");
    };
    assert!(!report.would_work());
}

const HOUR: Duration = Duration::from_secs(3600);
const TEN_MINUTES: Duration = Duration::from_secs(600);
