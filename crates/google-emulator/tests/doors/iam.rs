//! The IAM Service Account Credentials API.

use std::time::Duration;

use google_emulator::{Emulator, Grant, ServiceAccount};
use serde_json::{Value, json};

use crate::support::*;

const MIDDLE: &str = "middle@demo-project.iam.gserviceaccount.com";

async fn ask(client: &Client, caller: &str, verb: &str, fields: &Value) -> Answer {
    let token = client.access_token(caller).await;
    client
        .ask(bearer(
            post_json(&format!("{IAM}/{INVOKER}:{verb}"), fields),
            &token,
        ))
        .await
}

fn status(answer: &Answer) -> (u16, String) {
    let error = answer.json()["error"].clone();
    assert_eq!(error["code"], answer.status.as_u16());
    (
        answer.status.as_u16(),
        error["status"].as_str().expect("a status").to_owned(),
    )
}

#[tokio::test]
async fn an_id_token_of_another_account_is_minted_for_users_and_accounts() {
    let emulator = paused();
    for client in Client::both(&emulator).await {
        for caller in [DEV, CALLER] {
            let answer = ask(
                &client,
                caller,
                "generateIdToken",
                &json!({ "audience": HELLO }),
            )
            .await;
            let token = answer.json()["token"].as_str().expect("a token").to_owned();
            let claims = emulator.verify(&token, HELLO).expect("a sound token");
            assert_eq!(claims.sub, ServiceAccount::new(INVOKER).unique_id());
            assert_eq!(claims.azp.as_ref(), Some(&claims.sub));
            assert_eq!(claims.email, None);
        }
    }
}

#[tokio::test]
async fn the_email_is_included_on_request() {
    let client = Client::in_memory(&paused());
    let fields = json!({ "audience": "a", "includeEmail": true, "useEmailAzp": true });
    let answer = ask(&client, DEV, "generateIdToken", &fields).await;
    let claims = claims(answer.json()["token"].as_str().expect("a token"));
    assert_eq!(
        (&claims["email"], &claims["email_verified"]),
        (&json!(INVOKER), &json!(true))
    );
    assert_eq!(claims["azp"], INVOKER);
}

#[tokio::test]
async fn an_account_may_be_named_by_its_unique_id() {
    let client = Client::in_memory(&paused());
    let token = client.access_token(DEV).await;
    let id = ServiceAccount::new(INVOKER).unique_id();
    for url in [
        format!("{IAM}/{id}:generateIdToken"),
        format!("{IAM}/{}:generateIdToken", INVOKER.replace('@', "%40")),
        format!("{IAM}/{INVOKER}%3AgenerateIdToken"),
        format!("{IAM}/{INVOKER}:generateIdToken").replace("projects/-", "projects/demo-project"),
    ] {
        let request = bearer(post_json(&url, &json!({ "audience": "a" })), &token);
        assert_eq!(client.ask(request).await.status, 200, "{url}");
    }
}

#[tokio::test]
async fn an_access_token_of_another_account_opens_the_api_in_turn() {
    let client = Client::in_memory(&paused());
    let fields = json!({ "scope": [SCOPE], "lifetime": "600s" });
    let answer = ask(&client, DEV, "generateAccessToken", &fields)
        .await
        .json();
    assert_eq!(answer["expireTime"], "2023-11-14T22:23:20Z");
    let token = answer["accessToken"].as_str().expect("a token");
    let request = post_json(
        &format!("{IAM}/{INVOKER}:generateIdToken"),
        &json!({"audience": "a"}),
    );
    assert_eq!(client.ask(bearer(request, token)).await.status, 200);
}

#[tokio::test]
async fn what_an_account_signs_can_be_checked() {
    let emulator = paused();
    for client in Client::both(&emulator).await {
        let payload = json!({ "iss": INVOKER, "aud": "https://iap", "exp": NOW + 600 });
        let fields = json!({ "payload": payload.to_string() });
        let answer = ask(&client, DEV, "signJwt", &fields).await.json();
        let signed = answer["signedJwt"].as_str().expect("a JWT");
        assert_eq!(claims(signed), payload);
        let url = format!("https://www.googleapis.com/service_accounts/v1/jwk/{INVOKER}");
        let keys = client.ask(get(&url)).await.json();
        assert_eq!(keys["keys"][0]["kid"], answer["keyId"]);

        let late = json!({ "payload": json!({ "exp": NOW + 50_000 }).to_string() });
        let answer = ask(&client, DEV, "signJwt", &late).await;
        assert_eq!(status(&answer), (400, "INVALID_ARGUMENT".to_owned()));
        let answer = ask(&client, DEV, "signJwt", &json!({ "payload": "[]" })).await;
        assert_eq!(status(&answer), (400, "INVALID_ARGUMENT".to_owned()));
    }
}

#[tokio::test]
async fn a_request_without_a_credential_is_unauthenticated() {
    for client in Client::both(&Emulator::new()).await {
        let url = format!("{IAM}/{INVOKER}:generateIdToken");
        let answer = client
            .ask(post_json(&url, &json!({ "audience": "a" })))
            .await;
        assert_eq!(status(&answer), (401, "UNAUTHENTICATED".to_owned()));
        assert_eq!(
            answer.json()["error"]["details"][0]["reason"],
            "CREDENTIALS_MISSING"
        );
        let request = bearer(post_json(&url, &json!({ "audience": "a" })), "ya29.made-up");
        let answer = client.ask(request).await;
        assert_eq!(status(&answer), (401, "UNAUTHENTICATED".to_owned()));
        // An ID token is not an access token.
        let token = client
            .identity("https://iamcredentials.googleapis.com")
            .await;
        let request = bearer(post_json(&url, &json!({ "audience": "a" })), &token);
        assert_eq!(client.ask(request).await.status, 401);
    }
}

#[tokio::test]
async fn an_expired_access_token_is_unauthenticated() {
    let clock = TestClock::default();
    let emulator = Emulator::builder().clock(clock.reader()).build();
    let client = Client::in_memory(&emulator);
    let token = client.access_token(DEV).await;
    let request = || {
        post_json(
            &format!("{IAM}/{INVOKER}:generateIdToken"),
            &json!({ "audience": "a" }),
        )
    };
    clock.advance(Duration::from_secs(3599));
    assert_eq!(client.ask(bearer(request(), &token)).await.status, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(client.ask(bearer(request(), &token)).await.status, 401);
}

#[tokio::test]
async fn an_access_token_needs_a_scope_for_iam() {
    let client = Client::in_memory(&paused());
    let narrow =
        assertion(json!({ "scope": "https://www.googleapis.com/auth/devstorage.read_only" }));
    let fields = [("grant_type", JWT_BEARER), ("assertion", narrow.as_str())];
    let token = client.ask(form(TOKEN_URI, &fields)).await.json();
    let request = post_json(
        &format!("{IAM}/{INVOKER}:generateIdToken"),
        &json!({"audience": "a"}),
    );
    let answer = client
        .ask(bearer(
            request,
            token["access_token"].as_str().expect("one"),
        ))
        .await;
    assert_eq!(status(&answer), (403, "PERMISSION_DENIED".to_owned()));
}

#[tokio::test]
async fn without_the_role_permission_is_denied() {
    let emulator = Emulator::builder()
        .clock(TestClock::default().reader())
        .grant(Grant::open_id_token_creator(CALLER, INVOKER))
        .build();
    for client in Client::both(&emulator).await {
        let fields = json!({ "audience": "a", "scope": [SCOPE], "payload": "{}" });
        let answer = ask(&client, DEV, "generateIdToken", &fields).await;
        assert_eq!(status(&answer), (403, "PERMISSION_DENIED".to_owned()));
        let error = answer.json()["error"].clone();
        assert_eq!(
            error["message"],
            "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not \
             exist)."
        );
        assert_eq!(error["details"][0]["reason"], "IAM_PERMISSION_DENIED");
        assert_eq!(
            error["details"][0]["metadata"]["permission"],
            "iam.serviceAccounts.getOpenIdToken"
        );
        // The narrow role is for ID tokens alone.
        assert_eq!(
            ask(&client, CALLER, "generateIdToken", &fields)
                .await
                .status,
            200
        );
        assert_eq!(
            ask(&client, CALLER, "generateAccessToken", &fields)
                .await
                .status,
            403
        );
        assert_eq!(ask(&client, CALLER, "signJwt", &fields).await.status, 403);
    }
    let client = Client::in_memory(&emulator);
    emulator.grant(Grant::token_creator(DEV, INVOKER));
    let fields = json!({ "audience": "a" });
    assert_eq!(
        ask(&client, DEV, "generateIdToken", &fields).await.status,
        200
    );
    emulator.revoke(Grant::token_creator(DEV, INVOKER));
    assert_eq!(
        ask(&client, DEV, "generateIdToken", &fields).await.status,
        403
    );
}

#[tokio::test]
async fn in_an_open_world_a_role_can_be_taken_all_the_same() {
    let emulator = paused();
    let client = Client::in_memory(&emulator);
    emulator.revoke(Grant::token_creator(DEV, INVOKER));
    let fields = json!({ "audience": "a" });
    assert_eq!(
        ask(&client, DEV, "generateIdToken", &fields).await.status,
        403
    );
    assert_eq!(
        ask(&client, CALLER, "generateIdToken", &fields)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn delegates_are_checked_link_by_link() {
    let through = json!({
        "audience": "a",
        "delegates": [format!("projects/-/serviceAccounts/{MIDDLE}")],
    });
    let links = [
        Grant::token_creator(DEV, MIDDLE),
        Grant::token_creator(MIDDLE, INVOKER),
    ];
    let world = |grants: &[Grant]| {
        let mut builder = Emulator::builder().closed();
        for account in [CALLER, MIDDLE, INVOKER] {
            builder = builder.service_account(account);
        }
        for grant in grants {
            builder = builder.grant(grant.clone());
        }
        builder.build()
    };
    let whole = Client::in_memory(&world(&links));
    assert_eq!(
        ask(&whole, DEV, "generateIdToken", &through).await.status,
        200
    );
    // Not without the chain, and not with a link missing.
    let direct = json!({ "audience": "a" });
    assert_eq!(
        ask(&whole, DEV, "generateIdToken", &direct).await.status,
        403
    );
    for link in &links {
        let broken = Client::in_memory(&world(std::slice::from_ref(link)));
        assert_eq!(
            ask(&broken, DEV, "generateIdToken", &through).await.status,
            403
        );
    }
    let nobody = json!({ "audience": "a", "delegates": ["projects/-/serviceAccounts/ghost@x"] });
    assert_eq!(
        ask(&whole, DEV, "generateIdToken", &nobody).await.status,
        404
    );
}

#[tokio::test]
async fn an_account_that_is_not_there_is_not_found() {
    for client in Client::both(&Emulator::new()).await {
        let token = client.access_token(DEV).await;
        for target in ["ghost@demo-project.iam.gserviceaccount.com", "12345"] {
            let url = format!("{IAM}/{target}:generateIdToken");
            let answer = client
                .ask(bearer(post_json(&url, &json!({ "audience": "a" })), &token))
                .await;
            assert_eq!(status(&answer), (404, "NOT_FOUND".to_owned()));
        }
        let url = "https://iamcredentials.googleapis.com/v1/projects/-/nonsense:generateIdToken";
        let answer = client
            .ask(bearer(post_json(url, &json!({ "audience": "a" })), &token))
            .await;
        assert_eq!(status(&answer), (400, "INVALID_ARGUMENT".to_owned()));
    }
}

#[tokio::test]
async fn a_request_without_its_fields_is_invalid() {
    for client in Client::both(&paused()).await {
        for (verb, fields) in [
            ("generateIdToken", json!({})),
            ("generateIdToken", json!({ "audience": "" })),
            ("generateAccessToken", json!({})),
            (
                "generateAccessToken",
                json!({ "scope": [SCOPE], "lifetime": "0s" }),
            ),
            (
                "generateAccessToken",
                json!({ "scope": [SCOPE], "lifetime": "43201s" }),
            ),
            (
                "generateAccessToken",
                json!({ "scope": [SCOPE], "lifetime": "ten" }),
            ),
            ("signJwt", json!({})),
        ] {
            let answer = ask(&client, CALLER, verb, &fields).await;
            assert_eq!(
                status(&answer),
                (400, "INVALID_ARGUMENT".to_owned()),
                "{verb} {fields}"
            );
        }
    }
}
