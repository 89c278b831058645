//! The stack of the documentation, top to bottom, against services that redirect, refuse and hang.

mod stack;

use std::time::Duration;

use google_emulator::{Endpoint, Fault, Grant};
use google_id_token::{Audience, ByHost, ErrorKind, SourceError};
use http::StatusCode;
use tower::timeout::error::Elapsed;

use self::stack::{MINUTE, World, stack};
use crate::world::{CALLER, get, loopback};

#[tokio::test]
async fn every_hop_of_a_redirect_has_a_token_of_its_own() {
    let world = World::new().await;
    let answer = get(world.stack(), &world.redirect_to(&world.url("kid"))).await;
    assert_eq!(answer.unwrap().0, StatusCode::OK);
    let journal = world.journal();
    let hops = journal.of(Endpoint::Run);
    assert_eq!(hops.len(), 2);
    assert!(hops.iter().all(|hop| hop.caller.as_deref() == Some(CALLER)));
    assert_eq!(journal.count(Endpoint::MetadataIdentity), 2);
}

#[tokio::test]
async fn a_redirect_to_a_host_that_nobody_named_goes_on_without_a_token() {
    let world = World::new().await;
    world
        .server
        .emulator()
        .grant(Grant::invoker("allUsers", "kid"));
    let front = world.url("front");
    let policy = ByHost::new().host(&front["http://".len()..], front.parse().unwrap());
    let stack = stack(policy, world.tokens.clone(), MINUTE);
    let answer = get(stack, &world.redirect_to(&world.url("kid"))).await;
    assert_eq!(answer.unwrap(), (StatusCode::OK, "no token".to_owned()));
}

#[tokio::test]
async fn after_a_rotation_of_keys_a_refused_token_is_replaced_and_the_request_sent_again() {
    let world = World::new().await;
    let (stack, url) = (world.stack(), world.url("kid"));
    let old_key = world.server.emulator().key_id();
    let answer = get(stack.clone(), &url).await.unwrap();
    assert_eq!(answer, (StatusCode::OK, old_key.to_owned()));

    world.server.emulator().rotate_keys();
    world.pass(Duration::from_secs(60));
    let refusal = Fault::invalid_token().times(1);
    world.server.emulator().fault(Endpoint::Run, refusal);
    let answer = get(stack, &url).await.unwrap();
    assert_eq!(
        answer,
        (StatusCode::OK, world.server.emulator().key_id().to_owned())
    );
    assert_ne!(answer.1, old_key);
    assert_eq!(world.journal().count(Endpoint::MetadataIdentity), 2);
    assert_eq!(world.journal().count(Endpoint::Run), 3);
}

#[tokio::test]
async fn behind_a_redirect_it_is_the_refusing_hops_token_that_is_replaced() {
    let world = World::new().await;
    let url = world.redirect_to(&world.url("kid"));
    get(world.stack(), &url).await.unwrap();
    world.pass(Duration::from_secs(60));
    // The first hop is only late, by nothing; the second one refuses.
    let emulator = world.server.emulator();
    emulator.fault(Endpoint::Run, Fault::delay(Duration::ZERO).times(1));
    emulator.fault(Endpoint::Run, Fault::invalid_token().times(1));
    let answer = get(world.stack(), &url).await.unwrap();
    assert_eq!(answer.0, StatusCode::OK);
    let asked = world.journal().last(Endpoint::MetadataIdentity).unwrap();
    assert_eq!(asked.query("audience"), Some(&*world.url("kid")));
    assert_eq!(world.journal().count(Endpoint::MetadataIdentity), 3);
}

#[tokio::test]
async fn a_token_that_is_refused_again_is_not_tried_a_third_time() {
    let world = World::new().await;
    get(world.stack(), &world.url("kid")).await.unwrap();
    world.pass(Duration::from_secs(60));
    world
        .server
        .emulator()
        .fault(Endpoint::Run, Fault::invalid_token());
    let answer = get(world.stack(), &world.url("kid")).await.unwrap();
    assert_eq!(answer.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.journal().count(Endpoint::Run), 3);
    assert_eq!(world.journal().count(Endpoint::MetadataIdentity), 2);
}

#[tokio::test]
async fn a_forbidden_caller_is_told_at_once() {
    let world = World::new().await;
    world
        .server
        .emulator()
        .revoke(Grant::invoker(CALLER, "kid"));
    let answer = get(world.stack(), &world.url("kid")).await.unwrap();
    assert_eq!(answer.0, StatusCode::FORBIDDEN);
    assert_eq!(world.journal().count(Endpoint::Run), 1);
    assert_eq!(world.journal().count(Endpoint::MetadataIdentity), 1);
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_requests_go_on_meanwhile() {
    let world = World::new().await;
    let (stack, url) = (world.stack(), world.url("kid"));
    let old_key = get(stack.clone(), &url).await.unwrap().1;
    world.server.emulator().rotate_keys();
    world.pass(HOUR - Duration::from_secs(200));
    // The old token serves, and has a new one fetched.
    assert_eq!(get(stack.clone(), &url).await.unwrap().1, old_key);
    let audience: Audience = url.parse().unwrap();
    world.tokens.refresh(&audience).await.unwrap();
    assert_ne!(get(stack, &url).await.unwrap().1, old_key);
    assert_eq!(world.journal().count(Endpoint::MetadataIdentity), 2);
}

#[tokio::test]
async fn an_outage_is_survived_on_the_old_token_then_fails_closed_then_is_over() {
    let world = World::new().await;
    let (stack, url) = (world.stack(), world.url("kid"));
    get(stack.clone(), &url).await.unwrap();

    let outage = Fault::status(403);
    world
        .server
        .emulator()
        .fault(Endpoint::MetadataIdentity, outage);
    world.pass(HOUR - Duration::from_secs(100));
    assert_eq!(get(stack.clone(), &url).await.unwrap().0, StatusCode::OK);
    world.journal().asked(Endpoint::MetadataIdentity, 2).await;

    world.pass(Duration::from_secs(100));
    let error = get(stack.clone(), &url).await.unwrap_err();
    let error = SourceError::find(&*error).unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(world.journal().count(Endpoint::Run), 2);

    world.server.emulator().clear_faults();
    // The pause between attempts is not counted by the wall clock.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    assert_eq!(get(stack, &url).await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn a_service_that_hangs_is_given_up() {
    let world = World::new().await;
    world.server.emulator().fault(Endpoint::Run, Fault::hang());
    let stack = stack(loopback(), world.tokens.clone(), Duration::from_millis(50));
    let error = get(stack, &world.url("kid")).await.unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
}

const HOUR: Duration = Duration::from_secs(3600);
