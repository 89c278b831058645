//! The doctor says what is wrong, and which command mends it.

mod calls;
mod time;

use google_emulator::{Credential, Emulator, Endpoint, Fault, Grant, Mint, RunService};
use google_id_token::doctor::{Doctor, Place, Report, Severity, Step};
use google_id_token::{Builder, Env, Kind, Sight, SubjectSource};

use crate::support::{
    AUDIENCE, Peer, in_memory, metadata_answer, nobody, with_file, with_metadata,
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
async fn every_external_account_passes_it_too_and_keeps_its_name_and_its_certificate() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.unwrap();
    for credential in Credential::external() {
        let env: Env = server.env_for(&credential).unwrap().into_iter().collect();
        let builder = Builder::new().env(env).impersonate(INVOKER);
        let kind = builder.clone().build().await.unwrap().kind();
        assert!(matches!(kind, Kind::External(_) | Kind::ExternalUser));
        let report = doctor(builder, &server.run_url("hello"))
            .call()
            .examine()
            .await;
        assert!(report.would_work(), "{credential:?}:\n{report}");
        let identity = report.identity.as_ref().unwrap();
        assert_eq!(identity.kind, Some(kind));
        assert_eq!(identity.principal.as_deref(), Some(INVOKER));
        assert!(identity.found.starts_with("GOOGLE_APPLICATION_CREDENTIALS"));
        // It looks on where a certificate of one's own is shown.
        assert_eq!(report.clock.unwrap().seconds, 0, "{credential:?}");
    }
}

#[tokio::test]
async fn an_external_account_without_a_target_is_shown_and_how_to_name_one() {
    for (credential, kind, command) in [
        (
            Credential::external_file().without_target(),
            Kind::External(SubjectSource::File),
            "gcloud iam workload-identity-pools create-cred-config",
        ),
        (
            Credential::external_user(),
            Kind::ExternalUser,
            "gcloud auth application-default login --login-config=FILE \
             --impersonate-service-account=EMAIL",
        ),
    ] {
        let emulator = Emulator::new();
        let builder = with_file(&emulator, &credential);
        let report = call(builder.clone()).await;
        assert!(!report.would_work());
        let identity = report.identity.as_ref().unwrap();
        assert_eq!((identity.kind, &identity.principal), (Some(kind), &None));
        has(&report.to_string(), &[&kind.to_string()]);
        let problem = told(&report, Step::Credentials, Severity::Problem);
        has(&problem, &["`impersonate`"]);
        assert_eq!(report.problems().next().unwrap().commands, [command]);
        assert_eq!(emulator.journal().count(Endpoint::Any), 0);

        // Nor can it sign for itself.
        let report = call(builder.self_signed()).await;
        let problem = told(&report, Step::Credentials, Severity::Problem);
        has(&problem, &["no key to sign JWTs with", "`impersonate`"]);
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
