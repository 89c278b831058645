//! Tokens that were made to deceive are refused, each for what is wrong with it.

use std::collections::HashSet;

use google_id_token::verify::RefusalKind;
use serde_json::json;

use crate::forge::{AUDIENCE, IAP_AUDIENCE};
use crate::hostile::table;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn every_hostile_token_is_refused_for_the_right_reason() {
    let world = World::new();
    let verifier = world.verifier();
    let table = table(&world.forge);
    assert!(table.len() >= 80, "{} tokens", table.len());
    let mut wrong = Vec::new();
    for sound_ones_before in [0, 3] {
        for _ in 0..sound_ones_before {
            // What it remembers of these must not help those that look like them.
            accepted(&verifier, &world.forge.sound()).await;
            accepted(&verifier, &world.forge.sound_iap()).await;
        }
        for hostile in &table {
            let kind = refused(&verifier, &hostile.token).await;
            if kind != Some(hostile.kind) {
                wrong.push(format!(
                    "{}: {kind:?}, not {:?}, after {sound_ones_before}",
                    hostile.what, hostile.kind
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        table.len(),
        wrong.join("\n")
    );
    let different: HashSet<_> = table.iter().map(|hostile| &hostile.token).collect();
    assert_eq!(
        different.len(),
        table.len(),
        "the same token is there twice"
    );
    // Floods of key ids that do not exist have the keys fetched once more, not once each.
    assert!(world.fetches() <= 2, "{} fetches", world.fetches());
}

#[tokio::test(start_paused = true)]
async fn no_refusal_shows_anything_of_the_token() {
    let world = World::new();
    let verifier = world.verifier();
    for hostile in table(&world.forge) {
        let Err(refusal) = verifier.verify(&hostile.token).await else {
            panic!("{}", hostile.what);
        };
        let told = format!(
            "{refusal} {refusal:?} {refusal:#?} {:?}",
            refusal.challenge()
        );
        for part in hostile.token.split('.').filter(|part| part.len() > 8) {
            assert!(!told.contains(part), "{}: {told}", hostile.what);
        }
        assert!(!told.contains("demo-project"), "{}: {told}", hostile.what);
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_not_configured_is_nobody() {
    let world = World::new();
    let google = world.builder().audience(AUDIENCE).build().unwrap();
    let iap = world.builder().iap_audience(IAP_AUDIENCE).build().unwrap();
    let (token, assertion) = (world.forge.sound(), world.forge.sound_iap());
    assert_eq!(refused(&google, &token).await, None);
    assert_eq!(refused(&iap, &assertion).await, None);
    assert_eq!(
        refused(&google, &assertion).await,
        Some(RefusalKind::Algorithm)
    );
    assert_eq!(refused(&iap, &token).await, Some(RefusalKind::Algorithm));
}

#[tokio::test(start_paused = true)]
async fn with_no_leeway_a_token_dies_with_its_exp_and_begins_with_its_iat() {
    let world = World::new();
    let strict = world
        .builder()
        .audience(AUDIENCE)
        .leeway(std::time::Duration::ZERO);
    let strict = strict.build().unwrap();
    let with = |claim, value| world.forge.with(claim, json!(value));
    let claims = crate::forge::altered(world.forge.claims(), "iat", json!(NOW - 10));
    let claims: serde_json::Value = serde_json::from_str(&claims).unwrap();
    let ending = |exp: u64| {
        let claims = crate::forge::altered(claims.clone(), "exp", json!(exp));
        world.forge.sign(world.forge.header().to_string(), claims)
    };
    assert_eq!(
        refused(&strict, &ending(NOW)).await,
        Some(RefusalKind::Expired)
    );
    assert_eq!(refused(&strict, &ending(NOW + 1)).await, None);
    assert_eq!(refused(&strict, &with("iat", NOW)).await, None);
    assert_eq!(
        refused(&strict, &with("iat", NOW + 1)).await,
        Some(RefusalKind::NotYetValid)
    );
}

#[test]
fn a_verifier_that_could_let_anybody_in_is_not_built() {
    let world = World::new();
    let builder = || world.builder();
    for (wrong, told) in [
        (builder(), "needs an audience"),
        (builder().audience(""), "is empty"),
        (
            builder()
                .audience("a")
                .leeway(std::time::Duration::from_secs(301)),
            "five minutes",
        ),
        (
            builder().iap_audience("1234.apps.googleusercontent.com"),
            "no audience of IAP's",
        ),
        (
            builder().iap_audience("/projects/x/apps/y"),
            "no audience of IAP's",
        ),
        (
            builder().audience("a").keys_url(
                google_id_token::verify::Issuer::Google,
                "http://example.com/keys",
            ),
            "plain http",
        ),
    ] {
        let error = wrong.build().unwrap_err();
        assert_eq!(error.kind(), google_id_token::ErrorKind::Config);
        assert!(error.to_string().contains(told), "{error}");
    }
}
