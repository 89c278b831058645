//! From the environment to Cloud Run's door, with every kind of credentials.
//!
//! The world is closed: who gets in has been given a role, and by no other name.

use google_emulator::{Credential, Emulator, Endpoint, Grant, Server};
use google_id_token::{Builder, ErrorKind, SourceError};
use http::StatusCode;

use crate::world::{CALLER, DEVELOPER, INVOKER, MIDDLE, client, found, get};

#[tokio::test]
async fn the_metadata_server_opens_the_door() {
    let server = world([Grant::invoker(CALLER, "hello")]).await;
    gets_in(&server, found(&server, &Credential::metadata()), CALLER).await;
}

#[tokio::test]
async fn a_key_file_opens_the_door() {
    let server = world([Grant::invoker(CALLER, "hello")]).await;
    let key = Credential::service_account();
    gets_in(&server, found(&server, &key), CALLER).await;
}

#[tokio::test]
async fn a_users_login_opens_the_door_where_that_is_chosen() {
    let server = world([Grant::invoker(DEVELOPER, "hello")]).await;
    let login = found(&server, &Credential::user());
    let error = client(login.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    gets_in(&server, login.user_tokens_for_cloud_run(), DEVELOPER).await;
}

#[tokio::test]
async fn a_user_opens_the_door_as_a_service_account() {
    let server = world([
        Grant::open_id_token_creator(DEVELOPER, INVOKER),
        Grant::invoker(INVOKER, "hello"),
    ])
    .await;
    let file = Credential::impersonated_by_user();
    gets_in(&server, found(&server, &file), INVOKER).await;
}

#[tokio::test]
async fn a_service_account_opens_the_door_as_another_by_way_of_a_third() {
    let server = world([
        Grant::token_creator(CALLER, MIDDLE),
        Grant::open_id_token_creator(MIDDLE, INVOKER),
        Grant::invoker(INVOKER, "hello"),
    ])
    .await;
    let file = Credential::impersonated_by_service_account();
    let through = file.clone().delegates([MIDDLE]);
    gets_in(&server, found(&server, &through), INVOKER).await;

    // Without the third one there is no way, and the error says whose role is missing.
    let direct = client(found(&server, &file)).await.unwrap();
    let error = get(direct, &server.run_url("hello")).await.unwrap_err();
    let error = SourceError::find(&*error).unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains(CALLER), "{error}");
}

#[tokio::test]
async fn everybody_acts_as_a_service_account_on_request() {
    for (credential, who) in [
        (Credential::metadata(), CALLER),
        (Credential::service_account(), CALLER),
        (Credential::user(), DEVELOPER),
        (Credential::impersonated_by_user().target(MIDDLE), MIDDLE),
        (
            Credential::impersonated_by_service_account().target(MIDDLE),
            MIDDLE,
        ),
    ] {
        let server = world([
            Grant::token_creator(DEVELOPER, MIDDLE),
            Grant::token_creator(CALLER, MIDDLE),
            Grant::open_id_token_creator(who, INVOKER),
            Grant::invoker(INVOKER, "hello"),
        ])
        .await;
        let builder = found(&server, &credential).impersonate(INVOKER);
        gets_in(&server, builder, INVOKER).await;
    }
}

#[tokio::test]
async fn who_has_no_role_on_the_service_hears_so_from_the_service() {
    let server = world([Grant::invoker(INVOKER, "hello")]).await;
    let client = client(found(&server, &Credential::metadata())).await;
    let answer = get(client.unwrap(), &server.run_url("hello")).await;
    assert_eq!(answer.unwrap().0, StatusCode::FORBIDDEN);
}

async fn world<const N: usize>(grants: [Grant; N]) -> Server {
    let world = Emulator::builder()
        .service_account(CALLER)
        .service_account(MIDDLE)
        .service_account(INVOKER)
        .user(DEVELOPER);
    let world = grants
        .into_iter()
        .fold(world, |world, grant| world.grant(grant));
    world.build().serve().await.unwrap()
}

/// Calls twice, as the second call has its token already.
async fn gets_in(server: &Server, credentials: Builder, expected: &str) {
    let client = client(credentials).await.unwrap();
    for _ in 0..2 {
        let answer = get(client.clone(), &server.run_url("hello")).await;
        let (status, text) = answer.unwrap();
        assert_eq!(status, StatusCode::OK, "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let journal = server.emulator().journal();
    let entry = journal.last(Endpoint::Run).unwrap();
    assert_eq!(entry.caller.as_deref(), Some(expected));
    let minted = journal.count(Endpoint::MetadataIdentity)
        + journal.count(Endpoint::GenerateIdToken)
        + journal.of(Endpoint::Token).len() as u64;
    // One ID token, and where it is impersonated, at most one access token to pay for it.
    assert!((1..=2).contains(&minted), "{minted} requests for tokens");
}
