//! The metadata server.

use std::time::Duration;

use google_emulator::{Emulator, Endpoint};
use http::{Request, Version};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_ping_is_answered_with_googles_flavor() {
    for client in Client::both(&Emulator::new()).await {
        for url in ["http://metadata.google.internal/", &format!("{METADATA}/")] {
            let answer = client
                .ask(with_header(get(url), "metadata-flavor", "Google"))
                .await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("metadata-flavor"), "Google");
        }
    }
}

#[tokio::test]
async fn without_the_flavor_header_nothing_is_told() {
    for client in Client::both(&Emulator::new()).await {
        for request in [
            get(&format!("{METADATA}/project/project-id")),
            with_header(metadata("/project/project-id"), "metadata-flavor", "google"),
            with_header(
                metadata("/project/project-id"),
                "x-forwarded-for",
                "10.0.0.1",
            ),
        ] {
            let answer = client.ask(request).await;
            assert_eq!(answer.status, 403);
            assert_eq!(answer.header("metadata-flavor"), "Google");
        }
    }
}

#[tokio::test]
async fn an_identity_token_is_for_the_audience_and_lives_an_hour() {
    let emulator = paused();
    for client in Client::both(&emulator).await {
        let path = format!("{IDENTITY}?audience=https%3A%2F%2Fx.example%2Fa%3Fb");
        let token = client.ask(metadata(&path)).await.text();
        let claims = emulator
            .verify(&token, "https://x.example/a?b")
            .expect("a sound token");
        assert_eq!(claims.iss, "https://accounts.google.com");
        assert_eq!(claims.exp - claims.iat, 3600);
        assert_eq!(
            (claims.sub.len(), claims.azp.as_deref()),
            (21, Some(claims.sub.as_str()))
        );
        assert_eq!(claims.email, None);
        assert!(claims.more.is_empty(), "{:?}", claims.more);
    }
}

#[tokio::test]
async fn a_full_identity_token_has_the_email_and_the_instance() {
    let client = Client::in_memory(&Emulator::new());
    let path = format!("{IDENTITY}?audience=a&format=full");
    let token = claims(&client.ask(metadata(&path)).await.text());
    assert_eq!(token["email"], CALLER);
    assert_eq!(token["email_verified"], true);
    assert_eq!(
        token["google"]["compute_engine"]["project_id"],
        "demo-project"
    );
    assert!(
        token["google"]["compute_engine"]
            .get("license_id")
            .is_none()
    );

    let path = format!("{path}&licenses=TRUE");
    let token = claims(&client.ask(metadata(&path)).await.text());
    assert_eq!(
        token["google"]["compute_engine"]["license_id"],
        json!(["1000204"])
    );
}

#[tokio::test]
async fn an_identity_token_without_an_audience_is_refused() {
    for client in Client::both(&Emulator::new()).await {
        for query in ["", "?audience=", "?format=full"] {
            let answer = client.ask(metadata(&format!("{IDENTITY}{query}"))).await;
            assert_eq!(answer.status, 400);
            assert_eq!(answer.text(), "non-empty audience parameter required");
        }
        let answer = client
            .ask(metadata(&format!("{IDENTITY}?audience=a&format=big")))
            .await;
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn an_account_is_found_by_its_email_as_well() {
    let client = Client::in_memory(&Emulator::new());
    for name in [
        CALLER,
        "caller%40demo-project.iam.gserviceaccount.com",
        "default",
    ] {
        let answer = client
            .ask(metadata(&format!(
                "/instance/service-accounts/{name}/email"
            )))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (200, CALLER)
        );
    }
    // Only what is attached to the machine, not every account there is.
    let path = format!("/instance/service-accounts/{INVOKER}/email");
    assert_eq!(client.ask(metadata(&path)).await.status, 404);
}

#[tokio::test]
async fn a_machine_without_a_service_account_answers_404() {
    let emulator = Emulator::builder().no_metadata_account().build();
    for client in Client::both(&emulator).await {
        for leaf in ["identity?audience=a", "token", "email", "?recursive=true"] {
            let path = format!("/instance/service-accounts/default/{leaf}");
            let answer = client.ask(metadata(&path)).await;
            assert_eq!(answer.status, 404, "{leaf}");
            assert_eq!(answer.header("metadata-flavor"), "Google");
        }
        assert_eq!(
            client.ask(metadata("/project/project-id")).await.text(),
            "demo-project"
        );
    }
}

#[tokio::test]
async fn an_access_token_is_json_and_opens_iam() {
    let emulator = Emulator::builder()
        .access_token_lifetime(Duration::from_secs(90))
        .build();
    for client in Client::both(&emulator).await {
        let path = format!("/instance/service-accounts/default/token?scopes={SCOPE}");
        let token = client.ask(metadata(&path)).await.json();
        assert_eq!(
            (&token["expires_in"], &token["token_type"]),
            (&json!(90), &json!("Bearer"))
        );
        let request = post_json(
            &format!("{IAM}/{INVOKER}:generateIdToken"),
            &json!({"audience": "a"}),
        );
        let token = token["access_token"].as_str().expect("a token");
        assert_eq!(client.ask(bearer(request, token)).await.status, 200);
    }
}

#[tokio::test]
async fn the_project_and_the_universe_are_told() {
    let emulator = Emulator::builder()
        .project("elsewhere", 42)
        .universe(Some("x.example"))
        .build();
    let client = Client::in_memory(&emulator);
    assert_eq!(
        client.ask(metadata("/project/project-id")).await.text(),
        "elsewhere"
    );
    assert_eq!(
        client
            .ask(metadata("/project/numeric-project-id"))
            .await
            .text(),
        "42"
    );
    assert_eq!(
        client
            .ask(metadata("/universe/universe-domain"))
            .await
            .text(),
        "x.example"
    );
    let old = Client::in_memory(&Emulator::builder().universe(None).build());
    assert_eq!(
        old.ask(metadata("/universe/universe-domain")).await.status,
        404
    );
    assert_eq!(old.ask(metadata("/no/such/thing")).await.status, 404);
}

#[tokio::test]
async fn accounts_are_listed_with_their_scopes() {
    let client = Client::in_memory(&Emulator::new());
    let accounts = "/instance/service-accounts/";
    assert_eq!(
        client.ask(metadata(accounts)).await.text(),
        format!("default/\n{CALLER}/\n")
    );
    let one = client
        .ask(metadata(&format!("{accounts}default/?recursive=true")))
        .await
        .json();
    assert_eq!(
        one,
        json!({ "aliases": ["default"], "email": CALLER, "scopes": [SCOPE] })
    );
    let all = client
        .ask(metadata(&format!("{accounts}?recursive=True")))
        .await
        .json();
    assert_eq!(all["default"], one);
    let scopes = client
        .ask(metadata(&format!("{accounts}default/scopes")))
        .await
        .text();
    assert_eq!(scopes, format!("{SCOPE}\n"));
    assert_eq!(
        client
            .ask(metadata(&format!("{accounts}default/aliases")))
            .await
            .text(),
        "default\n"
    );
}

#[tokio::test]
async fn http_2_is_refused_in_memory_as_well() {
    let client = Client::in_memory(&Emulator::new());
    let mut request: Request<_> = metadata("/project/project-id");
    *request.version_mut() = Version::HTTP_2;
    assert_eq!(client.ask(request).await.status, 503);
}

#[tokio::test]
async fn a_token_is_served_from_the_cache_until_shortly_before_it_expires() {
    let clock = TestClock::default();
    let emulator = Emulator::builder()
        .clock(clock.reader())
        .metadata_cache(Duration::from_secs(300))
        .build();
    let client = Client::in_memory(&emulator);
    let first = client.identity("a").await;
    clock.advance(Duration::from_secs(3600 - 301));
    assert_eq!(client.identity("a").await, first);
    assert_ne!(client.identity("b").await, first);
    clock.advance(Duration::from_secs(1));
    let second = client.identity("a").await;
    assert_ne!(second, first);
    assert_eq!(claims(&second)["iat"], NOW + 3300);
    assert_eq!(emulator.journal().count(Endpoint::MetadataIdentity), 4);
}

#[tokio::test]
async fn without_a_cache_every_token_is_fresh() {
    let clock = TestClock::default();
    let emulator = Emulator::builder().clock(clock.reader()).build();
    let client = Client::in_memory(&emulator);
    let first = client.identity("a").await;
    clock.advance(Duration::from_secs(1));
    assert_ne!(client.identity("a").await, first);
}
