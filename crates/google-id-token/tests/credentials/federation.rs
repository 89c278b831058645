//! External accounts: another party's token, exchanged, and a service account's ID token on top.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use google_emulator::{Credential, Emulator, Endpoint, Fault, Grant};
use google_id_token::{
    Audience, Builder, CacheBuilder, Clock, Env, ErrorKind, FederatedUser, Kind, Scopes,
    SubjectSource,
};
use serde_json::json;
use tower::ServiceExt;

use crate::support::{AUDIENCE, Peer, audience, id_token, in_memory, json_answer, with_file};

const INVOKER: &str = "invoker@demo-project.iam.gserviceaccount.com";
const WORKLOAD_SUBJECT: &str = "principal://iam.googleapis.com/projects/123456789012/locations/\
     global/workloadIdentityPools/demo-pool/subject/demo-subject";
const AWS_SUBJECT: &str = "principal://iam.googleapis.com/projects/123456789012/locations/global/\
     workloadIdentityPools/demo-pool/subject/arn:aws:sts::123456789012:assumed-role/demo-role/i-0";
const WORKFORCE_SUBJECT: &str = "principal://iam.googleapis.com/locations/global/workforcePools/\
     demo-pool/subject/demo-subject";

#[tokio::test]
async fn every_external_account_mints_a_token_in_one_exchange_and_one_impersonation() {
    for (credential, kind, caller) in [
        (
            Credential::external_file(),
            Kind::External(SubjectSource::File),
            WORKLOAD_SUBJECT,
        ),
        (
            Credential::external_json(),
            Kind::External(SubjectSource::File),
            WORKLOAD_SUBJECT,
        ),
        (
            Credential::external_url(),
            Kind::External(SubjectSource::Url),
            WORKLOAD_SUBJECT,
        ),
        (
            Credential::external_aws(),
            Kind::External(SubjectSource::Aws),
            AWS_SUBJECT,
        ),
        (
            Credential::external_aws_environment(),
            Kind::External(SubjectSource::Aws),
            AWS_SUBJECT,
        ),
        (
            Credential::external_workforce(),
            Kind::External(SubjectSource::File),
            WORKFORCE_SUBJECT,
        ),
        (
            Credential::external_client(),
            Kind::External(SubjectSource::File),
            WORKFORCE_SUBJECT,
        ),
        (
            Credential::impersonated_by_external(),
            Kind::External(SubjectSource::File),
            WORKLOAD_SUBJECT,
        ),
    ] {
        let emulator = Emulator::new();
        let credentials = with_file(&emulator, &credential).build().await.unwrap();
        assert_eq!(credentials.kind(), kind);
        assert_eq!(credentials.principal(), Some(INVOKER));
        let token = credentials.id_tokens().get(&audience()).await.unwrap();
        let claims = emulator.verify(token.secret(), AUDIENCE).unwrap();
        assert_eq!(claims.email.as_deref(), Some(INVOKER), "{credential:?}");

        let journal = emulator.journal();
        assert_eq!(journal.count(Endpoint::Sts), 1);
        assert_eq!(journal.count(Endpoint::GenerateAccessToken), 0);
        let asked = journal.last(Endpoint::GenerateIdToken).unwrap();
        assert_eq!(asked.caller.as_deref(), Some(caller));
        assert_eq!(journal.count(Endpoint::GenerateIdToken), 1);
    }
}

#[tokio::test]
async fn fifty_audiences_behind_one_federation_take_one_exchange() {
    let emulator = Emulator::new();
    let builder = with_file(&emulator, &Credential::external_file());
    let tokens = Arc::new(builder.build().await.unwrap().id_tokens());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50 {
        let tokens = Arc::clone(&tokens);
        tasks.spawn(async move {
            let audience: Audience = format!("https://service-{number}.example").parse().unwrap();
            tokens.get(&audience).await.unwrap()
        });
    }
    assert_eq!(tasks.join_all().await.len(), 50);
    assert_eq!(emulator.journal().count(Endpoint::Sts), 1);
    assert_eq!(emulator.journal().count(Endpoint::GenerateIdToken), 50);
}

#[tokio::test]
async fn without_a_target_the_error_names_the_two_ways_out_before_anything_is_asked() {
    for credential in [
        Credential::external_file().without_target(),
        Credential::external_user(),
    ] {
        let emulator = Emulator::new();
        let error = with_file(&emulator, &credential).build().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let message = error.to_string();
        for part in [
            "impersonat",
            "`impersonate`",
            "roles/iam.serviceAccountOpenIdTokenCreator",
        ] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        assert_eq!(emulator.journal().count(Endpoint::Any), 0);

        let builder = with_file(&emulator, &credential).impersonate(INVOKER);
        let credentials = builder.build().await.unwrap();
        assert!(matches!(
            credentials.kind(),
            Kind::External(_) | Kind::ExternalUser
        ));
        let token = credentials.id_tokens().get(&audience()).await.unwrap();
        assert!(emulator.verify(token.secret(), AUDIENCE).is_ok());
    }
}

#[tokio::test]
async fn the_files_own_account_becomes_a_delegate_of_another_target() {
    let caller = "caller@demo-project.iam.gserviceaccount.com";
    let emulator = Emulator::builder()
        .service_account(caller)
        .service_account(INVOKER)
        .grant(Grant::token_creator(WORKLOAD_SUBJECT, caller))
        .grant(Grant::open_id_token_creator(caller, INVOKER))
        .build();
    let credential = Credential::external_file().target(caller);
    let builder = with_file(&emulator, &credential).impersonate(INVOKER);
    let tokens = builder.build().await.unwrap().id_tokens();
    let token = tokens.get(&audience()).await.unwrap();
    let claims = emulator.verify(token.secret(), AUDIENCE).unwrap();
    assert_eq!(claims.email.as_deref(), Some(INVOKER));
    assert_eq!(emulator.journal().count(Endpoint::GenerateIdToken), 1);
}

#[tokio::test]
async fn an_impersonated_file_over_an_external_account_that_impersonates_is_one_chain() {
    let caller = "caller@demo-project.iam.gserviceaccount.com";
    let emulator = Emulator::new();
    let mut file = emulator.credentials(&Credential::impersonated_by_external());
    file["delegates"] = json!(["d@p.iam.gserviceaccount.com"]);
    file["source_credentials"] = emulator.credentials(&Credential::external_file().target(caller));
    let peer = Peer::default();
    let http = peer.client(|number, _| match number {
        1 => json_answer(json!({ "access_token": "ya29.x", "expires_in": 3600 })),
        _ => json_answer(json!({ "token": id_token(AUDIENCE) })),
    });
    let env = Env::empty().file("/google-emulator/subject-token.jwt", "a.b.c");
    let builder = Builder::new().env(env).http(http);
    let builder = builder.credentials_json(file.to_string());
    let tokens = builder.build().await.unwrap().id_tokens();
    tokens.get(&audience()).await.unwrap();
    let asked = peer.asked();
    assert_eq!(asked.len(), 2);
    let path = asked[1].request.uri().path();
    assert!(
        path.ends_with(&format!("/{INVOKER}:generateIdToken")),
        "{path}"
    );
    assert_eq!(
        asked[1].json()["delegates"],
        json!([
            format!("projects/-/serviceAccounts/{caller}"),
            "projects/-/serviceAccounts/d@p.iam.gserviceaccount.com",
        ])
    );
}

#[tokio::test]
async fn a_denied_impersonation_names_the_pool_and_the_role() {
    let emulator = Emulator::builder()
        .service_account(INVOKER)
        .closed()
        .build();
    let builder = with_file(&emulator, &Credential::external_file());
    let tokens = builder.build().await.unwrap().id_tokens();
    let error = tokens.get(&audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let message = error.to_string();
    for part in [
        "--member='principalSet://iam.googleapis.com/projects/123456789012/locations/global/\
         workloadIdentityPools/demo-pool/*'",
        "roles/iam.serviceAccountOpenIdTokenCreator",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[tokio::test]
async fn an_access_token_that_iam_refuses_is_exchanged_for_anew() {
    let emulator = Emulator::new();
    let hand = Arc::new(AtomicU64::new(0));
    let ahead = Arc::clone(&hand);
    let clock = Clock::from_fn(move || {
        Clock::default().now() + Duration::from_secs(ahead.load(Ordering::Relaxed))
    });
    let builder = with_file(&emulator, &Credential::external_file());
    let builder = builder.cache(CacheBuilder::default().clock(clock));
    let tokens = builder.build().await.unwrap().id_tokens();
    tokens.get(&audience()).await.unwrap();
    // Kept for a while, and revoked since.
    hand.store(60, Ordering::Relaxed);
    emulator.fault(Endpoint::GenerateIdToken, Fault::status(401).times(1));
    let other = "https://other.example".parse().unwrap();
    tokens.get(&other).await.unwrap();
    assert_eq!(emulator.journal().count(Endpoint::Sts), 2);
    assert_eq!(emulator.journal().count(Endpoint::GenerateIdToken), 3);
}

#[tokio::test]
async fn a_workforce_users_rotated_refresh_token_is_used_the_next_time_by_every_clone() {
    let emulator = Emulator::new();
    let file = emulator
        .credentials(&Credential::external_user())
        .to_string();
    let user = FederatedUser::from_json(in_memory(&emulator), &file).unwrap();
    for source in [user.clone(), user.clone(), user] {
        source.oneshot(Scopes::cloud_platform()).await.unwrap();
    }
    assert_eq!(emulator.journal().count(Endpoint::StsRefresh), 3);
    // The emulator's are good once: what the file has was used up by the first of them.
    let late = FederatedUser::from_json(in_memory(&emulator), &file).unwrap();
    let error = late.oneshot(Scopes::cloud_platform()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("--login-config=FILE"), "{error}");
}

#[tokio::test]
async fn every_external_account_works_on_loopback_too_from_files_and_programs_on_the_disk() {
    let server = Emulator::new().serve().await.unwrap();
    for credential in Credential::external() {
        let env: Env = server.env_for(&credential).unwrap().into_iter().collect();
        let builder = Builder::new().env(env).impersonate(INVOKER);
        let tokens = builder.build().await.unwrap().id_tokens();
        let token = tokens.get(&audience()).await.unwrap();
        let claims = server.emulator().verify(token.secret(), AUDIENCE).unwrap();
        assert_eq!(claims.email.as_deref(), Some(INVOKER), "{credential:?}");
    }
}

#[tokio::test]
async fn aws_is_asked_for_nothing_that_the_environment_has_and_for_a_session_otherwise() {
    let emulator = Emulator::new();
    let asked = |emulator: &Emulator| -> Vec<String> {
        let entries = emulator.journal().of(Endpoint::AwsMetadata).into_iter();
        let entries = entries.map(|entry| format!("{} {}", entry.method, entry.path));
        entries.collect()
    };
    let builder = with_file(&emulator, &Credential::external_aws_environment());
    let tokens = builder.build().await.unwrap().id_tokens();
    tokens.get(&audience()).await.unwrap();
    assert!(asked(&emulator).is_empty());

    let builder = with_file(&emulator, &Credential::external_aws());
    let tokens = builder.build().await.unwrap().id_tokens();
    tokens.get(&audience()).await.unwrap();
    assert_eq!(
        asked(&emulator),
        [
            "PUT /latest/api/token",
            "GET /latest/meta-data/placement/availability-zone",
            "GET /latest/meta-data/iam/security-credentials",
            "GET /latest/meta-data/iam/security-credentials/demo-role",
        ]
    );
}

#[tokio::test]
async fn a_certificate_is_read_anew_and_has_to_lead_to_the_pools_anchor() {
    let server = Emulator::new().serve().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let credential = Credential::external_certificate();
    let env = server.env_with(&credential, directory.path()).unwrap();
    let env: Env = env.into_iter().collect();
    let chain = directory.path().join("workload-chain.crt");
    let leaf = fs::read_to_string(directory.path().join("workload.crt")).unwrap();
    let whole = fs::read_to_string(&chain).unwrap();
    let root = server.root_certificate();
    for (content, expected) in [
        (whole.clone(), Ok(())),
        // The leaf may be at the start of its chain.
        (format!("{leaf}{whole}"), Ok(())),
        (
            format!("{whole}{leaf}"),
            Err((ErrorKind::Config, "not at the start")),
        ),
        (root.to_owned(), Err((ErrorKind::Denied, "trust anchor"))),
        (
            String::new(),
            Err((ErrorKind::Config, "no certificate in PEM")),
        ),
        (whole, Ok(())),
    ] {
        fs::write(&chain, content).unwrap();
        let builder = Builder::new().env(env.clone());
        let credentials = builder.build().await.unwrap();
        assert_eq!(
            credentials.kind(),
            Kind::External(SubjectSource::Certificate)
        );
        match (credentials.id_tokens().get(&audience()).await, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err((kind, part))) => {
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.to_string().contains(part), "{error}");
            }
            (token, expected) => panic!("{token:?}, and {expected:?} was wanted"),
        }
    }
    // Who does not trust the server's root shows nobody anything.
    let stranger = env.variable("SSL_CERT_FILE", directory.path().join("workload.crt"));
    let tokens = Builder::new().env(stranger).build().await.unwrap();
    let error = tokens.id_tokens().get(&audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("not one to trust"), "{error}");
}
