//! Which header counts: on Cloud Run, behind IAP, and where several are there.

use google_id_token::verify::{Refusal, RefusalKind, Verifier};
use serde_json::json;

use crate::forge::{AUDIENCE, IAP_AUDIENCE};
use crate::layer::{call, request};
use crate::support::*;

async fn kind(verifier: &Verifier, headers: &[(&str, &str)]) -> Option<RefusalKind> {
    let response = call(verifier, request(headers)).await;
    response.extensions().get().map(Refusal::kind)
}

const AUTHORIZATION: &str = "authorization";
const SERVERLESS: &str = "x-serverless-authorization";
const IAP: &str = "x-goog-iap-jwt-assertion";

struct Values {
    sound: String,
    removed: String,
    expired: String,
}

impl Values {
    fn of(world: &World) -> Self {
        let token = world.token();
        let (signed, _) = token.rsplit_once('.').unwrap();
        Self {
            removed: format!("Bearer {signed}.SIGNATURE_REMOVED_BY_GOOGLE"),
            sound: format!("Bearer {token}"),
            expired: format!("Bearer {}", world.forge.with("exp", json!(7))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn behind_cloud_run_the_intact_one_of_two_tokens_is_checked() {
    let world = World::new();
    let verifier = world.verifier();
    let Values { sound, removed, .. } = Values::of(&world);
    let both = [(AUTHORIZATION, &*sound), (SERVERLESS, &*removed)];
    assert_eq!(kind(&verifier, &both).await, None);
    let both = [(AUTHORIZATION, &*removed), (SERVERLESS, &*sound)];
    assert_eq!(kind(&verifier, &both).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_cloud_run_removed_is_named_for_what_it_is() {
    let world = World::new();
    let verifier = world.verifier();
    let removed = Values::of(&world).removed;
    for headers in [
        &[(AUTHORIZATION, &*removed)][..],
        &[(SERVERLESS, &*removed)],
        &[(AUTHORIZATION, "Basic dXNlcg=="), (SERVERLESS, &*removed)],
        &[
            (AUTHORIZATION, "Bearer opaque-token-of-the-app"),
            (SERVERLESS, &*removed),
        ],
    ] {
        let response = call(&verifier, request(headers)).await;
        let refusal: &Refusal = response.extensions().get().unwrap();
        assert_eq!(refusal.kind(), RefusalKind::SignatureRemoved);
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.contains("X-Serverless-Authorization"),
            "{challenge}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_applications_own_authorization_is_left_alone() {
    let world = World::new();
    let verifier = world.verifier();
    let sound = Values::of(&world).sound;
    for own in [
        "Basic dXNlcjpwYXNz",
        "Bearer opaque",
        "Bearer a.b.c",
        "Digest x=\"y\"",
    ] {
        let headers = [(AUTHORIZATION, own), (SERVERLESS, &*sound)];
        assert_eq!(kind(&verifier, &headers).await, None, "{own}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_is_not_made_up_for_by_another_header() {
    let world = World::new();
    let verifier = world.verifier();
    let Values { sound, expired, .. } = Values::of(&world);
    let headers = [(AUTHORIZATION, &*sound), (SERVERLESS, &*expired)];
    assert_eq!(kind(&verifier, &headers).await, Some(RefusalKind::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_header_that_is_there_twice_is_no_request_to_answer() {
    let world = World::new();
    let verifier = world.verifier();
    let Values { sound, .. } = Values::of(&world);
    for name in [AUTHORIZATION, SERVERLESS, IAP] {
        let response = call(&verifier, request(&[(name, &sound), (name, &sound)])).await;
        assert_eq!(response.status(), 400, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn iaps_assertion_counts_in_its_own_header_and_nowhere_else() {
    let world = World::new();
    let verifier = world.verifier();
    let Values { sound, .. } = Values::of(&world);
    let assertion = world.forge.sound_iap();
    assert_eq!(kind(&verifier, &[(IAP, &assertion)]).await, None);
    assert_eq!(
        kind(&verifier, &[(IAP, &assertion), (AUTHORIZATION, &sound)]).await,
        None
    );
    let bearer = format!("Bearer {assertion}");
    let elsewhere = kind(&verifier, &[(AUTHORIZATION, &bearer)]).await;
    assert_eq!(elsewhere, Some(RefusalKind::Algorithm));
    let token = world.token();
    assert_eq!(
        kind(&verifier, &[(IAP, &token)]).await,
        Some(RefusalKind::Algorithm)
    );
    // Once more, as both are remembered now.
    assert_eq!(
        kind(&verifier, &[(AUTHORIZATION, &bearer)]).await,
        Some(RefusalKind::Algorithm)
    );
    let iap = world.builder().iap_audience(IAP_AUDIENCE).build().unwrap();
    assert_eq!(
        kind(&iap, &[(AUTHORIZATION, &sound)]).await,
        Some(RefusalKind::Missing)
    );
    let google = world.builder().audience(AUDIENCE).build().unwrap();
    assert_eq!(
        kind(&google, &[(IAP, &assertion)]).await,
        Some(RefusalKind::Missing)
    );
}
