//! The protocols as they are written down, against peers that have nothing of the emulator's.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use google_emulator::{Credential, Emulator};
use google_id_token::{Builder, Env, Scopes};
use http::Method;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::support::{
    AUDIENCE, Peer, ROBOT, audience, id_token, json_answer, metadata_answer, now, user_file,
    with_metadata,
};

#[tokio::test]
async fn the_metadata_servers_identity_is_asked_for_in_full_and_as_text() {
    let peer = Peer::default();
    let http =
        peer.client(|_, _| metadata_answer(200, &format!("{}\n", id_token("https://a b&c"))));
    let tokens = with_metadata(http).build().await.unwrap().id_tokens();
    // Everything that a query would read otherwise.
    let strange = "https://x.example/?a=b&c=d#e+f%20g".parse().unwrap();
    let token = tokens.get(&strange).await.unwrap();
    assert!(!token.secret().ends_with('\n'));

    let asked = &peer.asked()[0];
    let uri = asked.request.uri();
    assert_eq!(asked.request.method(), Method::GET);
    assert_eq!(uri.host(), Some("metadata.google.internal"));
    assert_eq!(
        uri.path(),
        "/computeMetadata/v1/instance/service-accounts/default/identity"
    );
    assert_eq!(asked.query("audience").as_deref(), Some(strange.as_str()));
    assert_eq!(asked.query("format").as_deref(), Some("full"));
    assert_eq!(asked.query("licenses"), None);
    assert_eq!(asked.header("Metadata-Flavor"), Some("Google"));
    assert_eq!(asked.header("X-Forwarded-For"), None);
    assert_eq!(asked.request.version(), http::Version::HTTP_11);
}

#[tokio::test]
async fn the_metadata_servers_access_token_is_asked_for_by_scopes() {
    let peer = Peer::default();
    let http = peer.client(|_, _| {
        metadata_answer(
            200,
            r#"{"access_token":"ya29.x","expires_in":"3599","token_type":"Bearer"}"#,
        )
    });
    let credentials = with_metadata(http).build().await.unwrap();
    let access = credentials.access_tokens().unwrap();
    let token = access.get(&Scopes::new(["a", "b"])).await.unwrap();
    assert_eq!(token.secret(), "ya29.x");
    let asked = &peer.asked()[0];
    assert!(
        asked
            .request
            .uri()
            .path()
            .ends_with("/service-accounts/default/token")
    );
    assert_eq!(asked.query("scopes").as_deref(), Some("a,b"));
}

/// The claims of an assertion whose signature is that of the key.
fn checked(assertion: &str, key: &RsaKeyPair) -> (Value, Value) {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key())
        .verify(signed.as_bytes(), &decode(signature))
        .unwrap();
    let json = |text: &str| serde_json::from_slice(&decode(text)).unwrap();
    (json(header), json(claims))
}

#[tokio::test]
async fn a_key_file_signs_what_the_token_endpoint_wants() {
    let mut file = Emulator::new().credentials(&Credential::service_account());
    file["token_uri"] = "https://oauth.example/t".into();
    file["private_key_id"] = "key-1".into();
    file["client_email"] = ROBOT.into();
    let pem = file["private_key"].as_str().unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();

    let peer = Peer::default();
    let http = peer.client(|number, _| match number {
        1 => json_answer(json!({ "id_token": id_token(AUDIENCE) })),
        _ => json_answer(json!({ "access_token": "ya29.x", "expires_in": 3600 })),
    });
    let builder = Builder::new().http(http).credentials_json(file.to_string());
    let credentials = builder.build().await.unwrap();
    credentials.id_tokens().get(&audience()).await.unwrap();
    let access = credentials.access_tokens().unwrap();
    access.get(&Scopes::cloud_platform()).await.unwrap();

    for (asked, name, value) in [
        (&peer.asked()[0], "target_audience", AUDIENCE),
        (
            &peer.asked()[1],
            "scope",
            "https://www.googleapis.com/auth/cloud-platform",
        ),
    ] {
        assert_eq!(asked.request.method(), Method::POST);
        assert_eq!(asked.request.uri(), "https://oauth.example/t");
        assert_eq!(
            asked.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
        assert_eq!(
            asked.form("grant_type").as_deref(),
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
        );
        let (header, claims) = checked(&asked.form("assertion").unwrap(), &key);
        assert_eq!(
            header,
            json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" })
        );
        let issued = claims["iat"].as_u64().unwrap();
        assert!((now() - 20..=now()).contains(&issued));
        let expected = json!({
            "iss": ROBOT,
            "aud": "https://oauth.example/t",
            "iat": issued,
            "exp": issued + 3600,
            name: value,
        });
        assert_eq!(claims, expected);
    }
}

#[tokio::test]
async fn a_users_login_is_a_refresh_grant() {
    for token_uri in [None, Some("https://oauth.example/t")] {
        let mut file = user_file();
        if let Some(uri) = token_uri {
            file["token_uri"] = uri.into();
        }
        let peer = Peer::default();
        let http = peer.client(|_, _| {
            json_answer(json!({
                "access_token": "ya29.x",
                "expires_in": 3599,
                "id_token": id_token("gcloud"),
            }))
        });
        let builder = Builder::new().http(http).credentials_json(file.to_string());
        let credentials = builder.user_tokens_for_cloud_run().build().await.unwrap();
        credentials.id_tokens().get(&audience()).await.unwrap();

        let asked = &peer.asked()[0];
        let expected = token_uri.unwrap_or("https://oauth2.googleapis.com/token");
        assert_eq!(asked.request.uri(), expected);
        assert_eq!(asked.form("grant_type").as_deref(), Some("refresh_token"));
        for name in ["client_id", "client_secret", "refresh_token"] {
            assert_eq!(asked.form(name).as_deref(), file[name].as_str());
        }
    }
}

#[tokio::test]
async fn an_impersonation_goes_straight_to_generate_id_token() {
    let file = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": format!(
            "https://iam.example/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
        ),
        "delegates": ["projects/-/serviceAccounts/first@p", "second@p"],
        "source_credentials": user_file(),
    });
    let peer = Peer::default();
    let http = peer.client(|_, asked| match asked.request.uri().host() {
        Some("iam.example") => json_answer(json!({ "token": id_token(AUDIENCE) })),
        _ => json_answer(json!({ "access_token": "ya29.source", "expires_in": 3599 })),
    });
    let builder = Builder::new().http(http).credentials_json(file.to_string());
    let credentials = builder.build().await.unwrap();
    assert_eq!(credentials.principal(), Some(ROBOT));
    credentials.id_tokens().get(&audience()).await.unwrap();

    let asked = peer.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[0].form("grant_type").as_deref(),
        Some("refresh_token")
    );
    assert_eq!(asked[1].request.method(), Method::POST);
    assert_eq!(
        asked[1].request.uri(),
        &*format!("https://iam.example/v1/projects/-/serviceAccounts/{ROBOT}:generateIdToken")
    );
    assert_eq!(asked[1].header("authorization"), Some("Bearer ya29.source"));
    assert_eq!(asked[1].header("content-type"), Some("application/json"));
    assert_eq!(
        asked[1].json(),
        json!({
            "audience": AUDIENCE,
            "includeEmail": true,
            "delegates": [
                "projects/-/serviceAccounts/first@p",
                "projects/-/serviceAccounts/second@p",
            ],
        })
    );
}

#[tokio::test]
async fn an_impersonation_on_request_asks_the_universes_iam_or_the_one_that_gcloud_is_told_of() {
    let variable = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";
    let google = "https://iamcredentials.googleapis.com";
    for (value, universe, host) in [
        ("", (404, "Not Found"), google),
        ("", (200, ""), google),
        ("", (200, "googleapis.com\n"), google),
        (
            "",
            (200, "s3nsapis.fr"),
            "https://iamcredentials.s3nsapis.fr",
        ),
        ("https://iam.example/", (500, ""), "https://iam.example"),
        (
            "http://127.0.0.1:9/base",
            (500, ""),
            "http://127.0.0.1:9/base",
        ),
    ] {
        let peer = Peer::default();
        let http = peer.client(move |_, asked| match asked.request.uri().path() {
            path if path.ends_with(":generateIdToken") => {
                json_answer(json!({ "token": id_token(AUDIENCE) }))
            }
            path if path.ends_with("/universe-domain") => metadata_answer(universe.0, universe.1),
            _ => metadata_answer(200, r#"{"access_token":"ya29.x","expires_in":3599}"#),
        });
        let env = Env::empty()
            .variable("GCE_METADATA_HOST", "127.0.0.1:1")
            .variable(variable, value);
        let builder = Builder::new().env(env).http(http).impersonate(ROBOT);
        let tokens = builder.build().await.unwrap().id_tokens();
        for audience in [audience(), "https://other.example".parse().unwrap()] {
            tokens.get(&audience).await.unwrap();
            assert_eq!(
                peer.asked().last().unwrap().request.uri(),
                &*format!("{host}/v1/projects/-/serviceAccounts/{ROBOT}:generateIdToken")
            );
        }
        let universes = peer.asked().into_iter();
        let universes = universes.filter(|asked| asked.request.uri().path().contains("universe"));
        assert_eq!(universes.count(), usize::from(value.is_empty()));
    }
}
