//! What was asked, without secrets.

use std::time::Duration;

use google_emulator::{Credential, Emulator, Endpoint, Fault};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn an_entry_tells_what_was_asked() {
    let emulator = paused();
    for client in Client::both(&emulator).await {
        let assertion = assertion(json!({ "target_audience": "https://x" }));
        let fields = [
            ("grant_type", JWT_BEARER),
            ("assertion", assertion.as_str()),
        ];
        client.ask(form(TOKEN_URI, &fields)).await;
        let entry = emulator.journal().last(Endpoint::Token).expect("an entry");
        assert_eq!(
            (entry.method.as_str(), entry.path.as_str()),
            ("POST", "/token")
        );
        assert_eq!(entry.field("grant_type"), Some(JWT_BEARER));
        assert_eq!(entry.claim("target_audience"), Some(&json!("https://x")));
        assert_eq!(
            entry.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
        assert_eq!(
            (entry.caller.as_deref(), entry.status),
            (Some(CALLER), Some(200))
        );
        assert!(!entry.fault && entry.service.is_none());

        client.identity("https://y").await;
        let entry = emulator
            .journal()
            .last(Endpoint::Metadata)
            .expect("an entry");
        assert_eq!(entry.query("audience"), Some("https://y"));
        assert_eq!(entry.query("format"), Some("full"));
        assert_eq!(entry.header("metadata-flavor"), Some("Google"));

        let token = client.access_token(DEV).await;
        let delegates = [format!("projects/-/serviceAccounts/{CALLER}")];
        let fields = json!({ "audience": "z", "includeEmail": true, "delegates": delegates });
        let request = post_json(&format!("{IAM}/{INVOKER}:generateIdToken"), &fields);
        client.ask(bearer(request, &token)).await;
        let entry = emulator
            .journal()
            .last(Endpoint::GenerateIdToken)
            .expect("an entry");
        assert_eq!(entry.field("audience"), Some("z"));
        assert_eq!(entry.fields["includeEmail"], true);
        assert_eq!(entry.fields["delegates"], json!(delegates));
        assert_eq!(entry.caller.as_deref(), Some(DEV));
    }
}

#[tokio::test]
async fn no_secret_is_in_any_debug_output() {
    let emulator = Emulator::builder()
        .clock(TestClock::default().reader())
        .metadata_cache(Duration::from_secs(300))
        .build();
    let server = emulator.serve().await.expect("ports");
    let client = Client::on_loopback(&emulator).await;
    let user = emulator.credentials(&Credential::user());
    let key = emulator.credentials(&Credential::service_account());
    let assertion = assertion(json!({ "target_audience": "a" }));
    let mut secrets = vec![
        user["refresh_token"].as_str().expect("a token").to_owned(),
        user["client_secret"].as_str().expect("a secret").to_owned(),
        key["private_key"].as_str().expect("a key")[40..100].to_owned(),
        "PRIVATE KEY".to_owned(),
        signature(&assertion),
        "eyJ".to_owned(),
        "a-secret".to_owned(),
    ];

    let fields = [
        ("grant_type", JWT_BEARER),
        ("assertion", assertion.as_str()),
    ];
    let answer = client.ask(form(TOKEN_URI, &fields)).await.json();
    secrets.push(signature(answer["id_token"].as_str().expect("a token")));
    let tokens = client
        .ask(form(TOKEN_URI, &refresh_fields(&emulator)))
        .await
        .json();
    let access = tokens["access_token"].as_str().expect("a token").to_owned();
    secrets.push(signature(tokens["id_token"].as_str().expect("a token")));
    let request = post_json(
        &format!("{IAM}/{INVOKER}:generateIdToken"),
        &json!({"audience": "a"}),
    );
    client.ask(bearer(request, &access)).await;
    secrets.push(access);
    let identity = client.identity(HELLO).await;
    secrets.push(signature(&identity));
    let request = with_header(
        bearer(get(HELLO), "a-secret"),
        "x-serverless-authorization",
        &format!("Bearer {identity}"),
    );
    assert_eq!(client.ask(request).await.status, 200);
    client
        .ask(with_header(get(HELLO), "authorization", "a-secret"))
        .await;
    client
        .ask(with_header(
            get(HELLO),
            "proxy-authorization",
            "Basic a-secret",
        ))
        .await;
    client
        .ask(form(TOKEN_URI, &[("subject_token", "a-secret")]))
        .await;
    client
        .ask(post_json(
            TOKEN_URI,
            &json!({ "unknown": { "deep": "a-secret" } }),
        ))
        .await;
    client
        .ask(get(&format!("{HELLO}/?access_token=a-secret")))
        .await;
    emulator.fault(Endpoint::Run, Fault::status(200).body("a-secret"));

    let shown = [
        format!("{emulator:?}"),
        format!("{emulator:#?}"),
        format!("{server:?}"),
        format!("{:?}", emulator.journal()),
        format!("{:#?}", emulator.journal().entries()),
        format!("{:?}", Emulator::builder().user(DEV)),
    ];
    for text in shown {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
    }
    assert_eq!(emulator.journal().count(Endpoint::Run), 4);
}

fn signature(token: &str) -> String {
    token.rsplit_once('.').expect("a JWT").1.to_owned()
}

#[tokio::test]
async fn counts_are_by_endpoint_and_by_group() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    client.identity("a").await;
    client.ask(metadata("/project/project-id")).await;
    client
        .ask(with_header(
            get("http://metadata/"),
            "metadata-flavor",
            "Google",
        ))
        .await;
    client.ask(get(HELLO)).await;
    client.ask(get("https://www.googleapis.com/nothing")).await;
    let journal = emulator.journal();
    for (endpoint, count) in [
        (Endpoint::MetadataIdentity, 1),
        (Endpoint::MetadataPing, 1),
        (Endpoint::MetadataValue, 1),
        (Endpoint::Metadata, 3),
        (Endpoint::Run, 1),
        (Endpoint::Token, 0),
        (Endpoint::Unknown, 1),
        (Endpoint::Any, 5),
    ] {
        assert_eq!(journal.count(endpoint), count, "{endpoint:?}");
        assert_eq!(journal.of(endpoint).len() as u64, count, "{endpoint:?}");
    }
    journal.clear();
    assert_eq!(
        (journal.count(Endpoint::Any), journal.entries().len()),
        (0, 0)
    );
    client.ask(get(HELLO)).await;
    assert_eq!(
        journal.last(Endpoint::Any).expect("an entry").status,
        Some(403)
    );
}

#[tokio::test]
async fn the_newest_ten_thousand_are_kept_and_all_are_counted() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    for n in 0..10_050 {
        client.ask(metadata(&format!("/project/{n}"))).await;
    }
    let journal = emulator.journal();
    let entries = journal.entries();
    assert_eq!(
        (entries.len(), journal.count(Endpoint::Metadata)),
        (10_000, 10_050)
    );
    assert_eq!(entries[0].path, "/computeMetadata/v1/project/50");
    assert!(entries.iter().all(|entry| entry.status == Some(404)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_is_written_to_its_own_entry() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    for _ in 0..10_000 {
        client.ask(metadata("/project/project-id")).await;
    }
    let delay = Fault::delay(Duration::from_secs(60)).times(1);
    emulator.fault(Endpoint::MetadataIdentity, delay);
    let late = client.clone();
    let late = tokio::spawn(async move { late.identity("a").await });
    emulator
        .journal()
        .asked(Endpoint::MetadataIdentity, 1)
        .await;
    for _ in 0..5 {
        client.ask(metadata("/no/such/thing")).await;
    }
    let entry = || {
        emulator
            .journal()
            .last(Endpoint::MetadataIdentity)
            .expect("an entry")
    };
    assert_eq!(entry().status, None);
    late.await.expect("no panic");
    assert_eq!(entry().status, Some(200));
    let others = emulator.journal().of(Endpoint::MetadataValue);
    assert!(
        others
            .iter()
            .rev()
            .take(5)
            .all(|entry| entry.status == Some(404))
    );
}
