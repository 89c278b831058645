//! The OAuth token endpoint.

use std::time::Duration;

use google_emulator::{Credential, Emulator, Endpoint, User};
use serde_json::{Value, json};

use crate::support::*;

const SHORT_LIVED: &str = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a \
     reasonable timeframe. Check your iat and exp values in the JWT claim.";

async fn refusal(client: &Client, assertion: &str) -> (u16, String, String) {
    let fields = [("grant_type", JWT_BEARER), ("assertion", assertion)];
    client.ask(form(TOKEN_URI, &fields)).await.refusal()
}

fn invalid_grant(description: &str) -> (u16, String, String) {
    (400, "invalid_grant".to_owned(), description.to_owned())
}

#[tokio::test]
async fn a_target_audience_brings_an_id_token_and_nothing_else() {
    let emulator = paused();
    for client in Client::both(&emulator).await {
        let assertion = assertion(json!({ "target_audience": "https://x.example" }));
        let fields = [
            ("grant_type", JWT_BEARER),
            ("assertion", assertion.as_str()),
        ];
        let answer = client.ask(form(TOKEN_URI, &fields)).await;
        let json = answer.json();
        assert_eq!(json.as_object().expect("an object").len(), 1, "{json}");
        let token = json["id_token"].as_str().expect("a token");
        let claims = emulator
            .verify(token, "https://x.example")
            .expect("a sound token");
        assert_eq!(
            (claims.email.as_deref(), claims.email_verified),
            (Some(CALLER), Some(true))
        );
        assert_eq!(claims.azp.as_deref(), Some(CALLER));
    }
}

#[tokio::test]
async fn a_scope_brings_an_access_token() {
    for client in Client::both(&paused()).await {
        let assertion = assertion(json!({ "scope": SCOPE }));
        let fields = [
            ("grant_type", JWT_BEARER),
            ("assertion", assertion.as_str()),
        ];
        let token = client.ask(form(TOKEN_URI, &fields)).await.json();
        assert!(token["access_token"].is_string());
        assert_eq!(
            (&token["expires_in"], &token["token_type"]),
            (&json!(3600), &json!("Bearer"))
        );
        assert!(token.get("id_token").is_none());
    }
}

#[tokio::test]
async fn on_loopback_the_audience_may_be_the_endpoint_as_it_was_asked() {
    let emulator = paused();
    let server = emulator.serve().await.expect("a port");
    let client = Client::in_memory(&emulator);
    let uri = server.token_uri();
    let assertion = assertion_at(&uri, json!({ "target_audience": "a" }));
    let fields = [
        ("grant_type", JWT_BEARER),
        ("assertion", assertion.as_str()),
    ];
    assert_eq!(client.ask(form(&uri, &fields)).await.status, 200);
    // The same assertion is for nobody else.
    let refused = client.ask(form(TOKEN_URI, &fields)).await.refusal();
    assert_eq!(
        refused,
        invalid_grant("Invalid JWT: Failed audience check.")
    );
}

#[tokio::test]
async fn an_assertion_signed_by_another_key_is_refused() {
    for client in Client::both(&paused()).await {
        let sound = assertion(json!({ "target_audience": "a" }));
        let other = assertion(json!({ "target_audience": "b" }));
        let (signed, _) = sound.rsplit_once('.').expect("a JWT");
        let (_, signature) = other.rsplit_once('.').expect("a JWT");
        let forged = format!("{signed}.{signature}");
        assert_eq!(
            refusal(&client, &forged).await,
            invalid_grant("Invalid JWT Signature.")
        );
    }
}

#[tokio::test]
async fn an_assertion_must_be_rs256_under_a_known_key_id() {
    let emulator = paused();
    let client = Client::in_memory(&emulator);
    let file = emulator.credentials(&Credential::service_account());
    let pem = file["private_key"].as_str().expect("a key");
    let claims = json!({
        "iss": CALLER, "aud": TOKEN_URI, "iat": NOW, "exp": NOW + 3600, "target_audience": "a",
    });
    for header in [
        json!({ "alg": "HS256", "kid": file["private_key_id"] }),
        json!({ "alg": "none" }),
        json!({ "alg": "RS256", "kid": "0123456789" }),
    ] {
        let assertion = sign(&header, &claims, pem);
        assert_eq!(
            refusal(&client, &assertion).await,
            invalid_grant("Invalid JWT Signature.")
        );
    }
    let without_key_id = sign(&json!({ "alg": "RS256" }), &claims, pem);
    let fields = [
        ("grant_type", JWT_BEARER),
        ("assertion", without_key_id.as_str()),
    ];
    assert_eq!(client.ask(form(TOKEN_URI, &fields)).await.status, 200);
}

#[tokio::test]
async fn an_assertion_must_live_an_hour_at_most_and_now() {
    for client in Client::both(&paused()).await {
        for times in [
            json!({ "iat": NOW, "exp": NOW + 7200 }),
            json!({ "iat": NOW - 7200, "exp": NOW - 3600 }),
            json!({ "iat": NOW + 3600, "exp": NOW + 7200 }),
            json!({ "iat": NOW, "exp": NOW }),
            json!({ "exp": null }),
            json!({ "iat": "now" }),
        ] {
            let mut claims = json!({ "target_audience": "a" });
            for (name, value) in times.as_object().expect("an object") {
                claims[name] = value.clone();
            }
            let refused = refusal(&client, &assertion(claims)).await;
            assert_eq!(refused, invalid_grant(SHORT_LIVED), "{times}");
        }
    }
}

#[tokio::test]
async fn an_assertion_of_nobody_known_is_refused() {
    let client = Client::in_memory(&paused());
    let assertion = assertion(json!({ "iss": "ghost@demo-project.iam.gserviceaccount.com" }));
    let refused = refusal(&client, &assertion).await;
    assert_eq!(refused, invalid_grant("Invalid grant: account not found"));
    assert_eq!(
        refusal(&client, "x.y.z").await,
        invalid_grant("Bad Request")
    );
}

#[tokio::test]
async fn an_assertion_for_another_endpoint_is_refused() {
    let client = Client::in_memory(&paused());
    let assertion =
        assertion(json!({ "aud": "https://evil.example/token", "target_audience": "a" }));
    let refused = refusal(&client, &assertion).await;
    assert_eq!(
        refused,
        invalid_grant("Invalid JWT: Failed audience check.")
    );
}

#[tokio::test]
async fn an_assertion_that_asks_for_nothing_is_refused() {
    let client = Client::in_memory(&paused());
    for claims in [
        json!({}),
        json!({ "scope": " " }),
        json!({ "target_audience": "" }),
    ] {
        let refused = refusal(&client, &assertion(claims)).await;
        let neither = "Invalid OAuth scope or ID token audience provided.";
        assert_eq!(
            refused,
            (400, "invalid_scope".to_owned(), neither.to_owned())
        );
    }
}

#[tokio::test]
async fn an_assertion_for_another_user_is_refused() {
    let client = Client::in_memory(&paused());
    let assertion = assertion(json!({ "sub": "boss@example.com", "scope": SCOPE }));
    let (status, error, _) = refusal(&client, &assertion).await;
    assert_eq!((status, error.as_str()), (401, "unauthorized_client"));
}

#[tokio::test]
async fn a_grant_that_is_none_is_refused() {
    for client in Client::both(&Emulator::new()).await {
        let (status, error, _) = client.ask(form(TOKEN_URI, &[])).await.refusal();
        assert_eq!((status, error.as_str()), (400, "invalid_request"));
        let fields = [("grant_type", "password")];
        let (status, error, _) = client.ask(form(TOKEN_URI, &fields)).await.refusal();
        assert_eq!((status, error.as_str()), (400, "unsupported_grant_type"));
        let fields = [("grant_type", JWT_BEARER)];
        let (status, error, _) = client.ask(form(TOKEN_URI, &fields)).await.refusal();
        assert_eq!((status, error.as_str()), (400, "invalid_request"));
        assert_eq!(client.ask(get(TOKEN_URI)).await.status, 404);
    }
}

#[tokio::test]
async fn a_refresh_token_brings_all_kinds_of_tokens() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        let fields = refresh_fields(&emulator);
        let as_json: Value = fields
            .iter()
            .map(|&(k, v)| (k.to_owned(), Value::from(v)))
            .collect();
        for request in [form(TOKEN_URI, &fields), post_json(TOKEN_URI, &as_json)] {
            let tokens = client.ask(request).await.json();
            assert!(tokens["access_token"].is_string());
            assert!(tokens["scope"].as_str().expect("scopes").contains("openid"));
            assert_eq!(tokens["expires_in"], 3600);
            let client_id = fields[1].1;
            let id_token = tokens["id_token"].as_str().expect("a token");
            let claims = emulator.verify(id_token, client_id).expect("a sound token");
            assert_eq!(claims.azp.as_deref(), Some(client_id));
            assert_eq!(claims.email.as_deref(), Some(DEV));
        }
    }
}

#[tokio::test]
async fn a_login_without_openid_brings_no_id_token() {
    let emulator = Emulator::builder()
        .user(User::new(DEV).scopes([SCOPE]))
        .build();
    let client = Client::in_memory(&emulator);
    let tokens = client
        .ask(form(TOKEN_URI, &refresh_fields(&emulator)))
        .await
        .json();
    assert!(tokens["access_token"].is_string());
    assert!(tokens.get("id_token").is_none());
}

#[tokio::test]
async fn a_refresh_with_a_wrong_field_is_refused() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        for (index, expected) in [
            (1, (401, "invalid_client")),
            (2, (401, "invalid_client")),
            (3, (400, "invalid_grant")),
        ] {
            let mut fields = refresh_fields(&emulator);
            fields[index].1 = "wrong";
            let (status, error, _) = client.ask(form(TOKEN_URI, &fields)).await.refusal();
            assert_eq!((status, error.as_str()), expected);
            let mut fields = refresh_fields(&emulator).to_vec();
            fields.remove(index);
            assert!(
                client
                    .ask(form(TOKEN_URI, &fields))
                    .await
                    .status
                    .is_client_error()
            );
        }
    }
}

#[tokio::test]
async fn a_revoked_login_is_refused() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    emulator.revoke_login(DEV);
    let refused = client
        .ask(form(TOKEN_URI, &refresh_fields(&emulator)))
        .await
        .refusal();
    assert_eq!(refused, invalid_grant("Token has been expired or revoked."));
    assert_eq!(
        emulator
            .journal()
            .last(Endpoint::Token)
            .expect("an entry")
            .status,
        Some(400)
    );
}

#[tokio::test]
async fn tokens_live_as_long_as_they_were_told() {
    let emulator = Emulator::builder()
        .token_lifetime(Duration::from_secs(5))
        .access_token_lifetime(Duration::from_secs(7))
        .build();
    let tokens = Client::in_memory(&emulator)
        .ask(form(TOKEN_URI, &refresh_fields(&emulator)))
        .await;
    let tokens = tokens.json();
    assert_eq!(tokens["expires_in"], 7);
    let claims = claims(tokens["id_token"].as_str().expect("a token"));
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        5
    );
}
