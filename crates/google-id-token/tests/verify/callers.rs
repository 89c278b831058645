//! Of those whose tokens are good, the ones who may call are let in.

use google_id_token::verify::{Caller, RefusalKind, VerifierBuilder};
use serde_json::json;

use crate::forge::{AUDIENCE, EMAIL};
use crate::support::*;

async fn outcome(
    world: &World,
    rules: impl FnOnce(VerifierBuilder) -> VerifierBuilder,
    token: &str,
) -> Option<RefusalKind> {
    let verifier = rules(world.builder().audience(AUDIENCE)).build().unwrap();
    refused(&verifier, token).await
}

#[tokio::test(start_paused = true)]
async fn a_list_of_emails_lets_in_those_whose_email_is_verified() {
    let world = World::new();
    let listed = |builder: VerifierBuilder| {
        builder
            .allow_email("other@x")
            .allow_email(EMAIL.to_uppercase())
    };
    let sound = world.forge.sound();
    assert_eq!(outcome(&world, listed, &sound).await, None);
    let unverified = world.forge.with("email_verified", json!(false));
    let kind = outcome(&world, listed, &unverified).await;
    assert_eq!(kind, Some(RefusalKind::EmailNotVerified));
    let other = world.forge.with("email", json!("somebody@example.com"));
    assert_eq!(
        outcome(&world, listed, &other).await,
        Some(RefusalKind::NotAllowed)
    );
    let nobody = world.forge.with("email", serde_json::Value::Null);
    assert_eq!(
        outcome(&world, listed, &nobody).await,
        Some(RefusalKind::NotAllowed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_domain_is_the_one_that_google_names_and_not_that_of_the_email() {
    let world = World::new();
    let listed = |builder: VerifierBuilder| builder.allow_hosted_domain("example.com");
    let member = world.forge.with("hd", json!("Example.com"));
    assert_eq!(outcome(&world, listed, &member).await, None);
    let lookalike = world.forge.with("email", json!("me@example.com"));
    assert_eq!(
        outcome(&world, listed, &lookalike).await,
        Some(RefusalKind::NotAllowed)
    );
}

#[tokio::test(start_paused = true)]
async fn to_be_on_one_of_the_lists_is_enough() {
    let world = World::new();
    let listed = |builder: VerifierBuilder| {
        builder
            .allow_email("other@x")
            .allow_subject("100000000000000000001")
            .allow_hosted_domain("example.com")
    };
    assert_eq!(outcome(&world, listed, &world.forge.sound()).await, None);
    let stranger = world.forge.with("sub", json!("10000000000000000000"));
    assert_eq!(
        outcome(&world, listed, &stranger).await,
        Some(RefusalKind::NotAllowed)
    );
}

#[tokio::test(start_paused = true)]
async fn every_rule_has_to_hold_and_is_asked_each_time() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    let world = World::new();
    let open = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&open);
    let verifier = world
        .builder()
        .audience(AUDIENCE)
        .rule(|caller: &Caller| caller.claims::<serde_json::Value>().is_ok())
        .rule(move |_| seen.load(Relaxed))
        .build()
        .unwrap();
    let token = world.forge.sound();
    assert_eq!(refused(&verifier, &token).await, None);
    open.store(false, Relaxed);
    assert_eq!(
        refused(&verifier, &token).await,
        Some(RefusalKind::NotAllowed)
    );
    open.store(true, Relaxed);
    assert_eq!(refused(&verifier, &token).await, None);
}
