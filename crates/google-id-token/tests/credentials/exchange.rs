//! The token exchange as it is written down, against a peer that has nothing of the emulator's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_emulator::{Credential, Emulator};
use google_id_token::{Builder, Credentials, Env, ErrorKind, HttpClient, SourceError};
use http::Method;
use serde_json::{Value, json};

use crate::support::{AUDIENCE, Asked, Peer, answer, audience, id_token, json_answer, nobody};

const TOKEN_PATH: &str = "/var/run/token";

fn file(change: impl FnOnce(&mut Value)) -> Value {
    let mut file = Emulator::new().credentials(&Credential::external_file());
    file["credential_source"] = json!({ "file": TOKEN_PATH });
    change(&mut file);
    file
}

fn env() -> Env {
    Env::empty().file(TOKEN_PATH, " subject.token.1 \n")
}

async fn build(env: Env, http: HttpClient, file: &Value) -> Result<Credentials, SourceError> {
    let builder = Builder::new().env(env).http(http);
    builder.credentials_json(file.to_string()).build().await
}

/// What the token service was asked, for a file, where all goes well.
async fn asked(env: Env, file: Value) -> (Peer, Vec<Asked>) {
    let peer = Peer::default();
    let http = peer.client(|_, asked| match asked.request.uri().path() {
        "/v1/token" => json_answer(json!({
            "access_token": "federated-token",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": "3599",
        })),
        "/metadata" => json_answer(json!({ "token": " from.the.url " })),
        _ => json_answer(json!({ "token": id_token(AUDIENCE) })),
    });
    let tokens = build(env, http, &file).await.unwrap().id_tokens();
    tokens.get(&audience()).await.unwrap();
    let asked = peer.asked();
    (peer, asked)
}

fn form(asked: &Asked) -> Vec<(String, String)> {
    let mut form: Vec<_> = form_urlencoded::parse(asked.request.body())
        .into_owned()
        .collect();
    form.sort();
    form
}

#[tokio::test]
async fn a_workload_is_exchanged_with_every_parameter_and_no_more() {
    let (_, asked) = asked(env(), file(|_| {})).await;
    let pool = "//iam.googleapis.com/projects/123456789012/locations/global/\
         workloadIdentityPools/demo-pool/providers/demo-provider";
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].request.method(), Method::POST);
    assert_eq!(
        asked[0].request.uri(),
        "https://sts.googleapis.com/v1/token"
    );
    assert_eq!(asked[0].header("authorization"), None);
    let expected = [
        ("audience", pool),
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("scope", "https://www.googleapis.com/auth/cloud-platform"),
        ("subject_token", "subject.token.1"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form(&asked[0]), expected);
    // Straight to the ID token, and the bearer is there: google-cloud-go#11105 and #19939.
    let path = asked[1].request.uri().path();
    assert!(path.ends_with(":generateIdToken"), "{path}");
    assert_eq!(
        asked[1].header("authorization"),
        Some("Bearer federated-token")
    );
}

#[tokio::test]
async fn people_without_a_client_name_their_project_and_a_client_names_itself_instead() {
    let workforce = |file: &mut Value| {
        file["audience"] =
            "//iam.googleapis.com/locations/global/workforcePools/p/providers/q".into();
        file["workforce_pool_user_project"] = "my-project".into();
    };
    let (_, people) = asked(env(), file(workforce)).await;
    assert_eq!(
        people[0].form("options").as_deref(),
        Some(r#"{"userProject":"my-project"}"#)
    );
    assert_eq!(people[0].header("authorization"), None);

    let (_, client) = asked(
        env(),
        file(|file| {
            workforce(file);
            file["client_id"] = "me".into();
            file["client_secret"] = "hush: hush".into();
        }),
    )
    .await;
    assert_eq!(client[0].form("options"), None);
    assert_eq!(client[0].form("client_secret"), None);
    let pair = STANDARD.encode("me:hush: hush");
    assert_eq!(
        client[0].header("authorization"),
        Some(&*format!("Basic {pair}"))
    );
}

#[tokio::test]
async fn a_url_is_asked_with_the_headers_of_the_file() {
    let url = "http://169.254.169.254/metadata?a=b%20c";
    let (_, asked) = asked(
        env(),
        file(|file| {
            file["credential_source"] = json!({
                "url": url,
                "headers": { "Metadata": "True", "X-Other": "two words" },
                "format": { "type": "json", "subject_token_field_name": "token" },
            });
        }),
    )
    .await;
    assert_eq!(asked[0].request.method(), Method::GET);
    assert_eq!(asked[0].request.uri(), url);
    assert_eq!(asked[0].header("metadata"), Some("True"));
    assert_eq!(asked[0].header("x-other"), Some("two words"));
    assert_eq!(
        asked[1].form("subject_token").as_deref(),
        Some("from.the.url")
    );
}

#[tokio::test]
async fn a_file_is_read_anew_for_each_exchange() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let mut json = file(|_| {});
    json["credential_source"]["file"] = path.to_str().unwrap().into();
    for token in ["first", "second"] {
        std::fs::write(&path, token).unwrap();
        let (_, asked) = asked(Env::from_iter([("A", "b")]), json.clone()).await;
        assert_eq!(asked[0].form("subject_token").as_deref(), Some(token));
    }
    std::fs::remove_file(&path).unwrap();
    // It may come back: what is not there yet is no reason to fail when things are set up.
    let credentials = build(Env::from_iter([("A", "b")]), nobody(), &json).await;
    let error = credentials.unwrap().id_tokens().get(&audience()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_with_their_code_and_what_it_means() {
    for (status, code, kind, part) in [
        (400, "invalid_grant", ErrorKind::Denied, "may have expired"),
        (400, "invalid_target", ErrorKind::Config, "field `audience`"),
        (401, "invalid_client", ErrorKind::Denied, "`client_id`"),
        (403, "access_denied", ErrorKind::Denied, "subject token"),
        (
            400,
            "invalid_request",
            ErrorKind::Config,
            "provider asks for",
        ),
        (503, "unavailable", ErrorKind::Unavailable, "3 attempts"),
    ] {
        let peer = Peer::default();
        let http = peer.client(move |_, _| {
            let error = json!({
                "error": code,
                "error_description": "no subject.token.1 here",
                "error_uri": "https://x",
            });
            answer(status, error.to_string())
        });
        let credentials = build(env(), http, &file(|_| {})).await.unwrap();
        let error = credentials.id_tokens().get(&audience()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let message = error.to_string();
        for part in [code, part, "https://sts.googleapis.com/v1/token", "[cut]"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        assert!(!message.contains("subject.token.1"), "{message}");
    }
}

#[tokio::test]
async fn subject_tokens_of_the_wrong_shape_are_told() {
    let json_format = json!({ "type": "json", "subject_token_field_name": "token" });
    for (content, format, part) in [
        ("", Value::Null, "nothing"),
        ("{", json_format.clone(), "no JSON object"),
        ("{}", json_format.clone(), "without a text at `token`"),
        (r#"{"token": 7}"#, json_format.clone(), "without a text"),
        (r#"{"token": ""}"#, json_format, "nothing"),
    ] {
        let file = file(|file| file["credential_source"]["format"] = format);
        let env = Env::empty().file(TOKEN_PATH, content);
        let credentials = build(env, nobody(), &file).await.unwrap();
        let error = credentials.id_tokens().get(&audience()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let message = error.to_string();
        assert!(message.contains(part), "{part} is not in: {message}");
        assert!(message.contains(TOKEN_PATH), "{message}");
    }
}
