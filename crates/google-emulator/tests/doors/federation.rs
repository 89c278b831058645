//! Federation: the token service, and the other clouds whose tokens it takes.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use google_emulator::{Body, Credential, Emulator, Endpoint, Fault};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::*;

const STS: &str = "https://sts.googleapis.com/v1/token";
const REFRESH: &str = "https://sts.googleapis.com/v1/oauthtoken";
const AWS: &str = "http://169.254.169.254/latest";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn pool(emulator: &Emulator, credential: &Credential) -> String {
    let file = emulator.credentials(credential);
    file["audience"].as_str().expect("an audience").to_owned()
}

fn workload(emulator: &Emulator) -> String {
    pool(emulator, &Credential::external_file())
}

fn subject_token(emulator: &Emulator) -> String {
    emulator.subject_token("it", Duration::from_secs(60))
}

/// A sound exchange with some of its fields changed, or taken out by an empty value.
fn exchange(emulator: &Emulator, changes: &[(&str, &str)]) -> Request<Body> {
    let (audience, token) = (workload(emulator), subject_token(emulator));
    let mut fields = vec![
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("audience", &*audience),
        ("scope", SCOPE),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("subject_token", &*token),
        ("subject_token_type", JWT),
    ];
    for change in changes {
        fields.retain(|(name, _)| *name != change.0);
        if !change.1.is_empty() {
            fields.push(*change);
        }
    }
    form(STS, &fields)
}

fn with_basic(mut request: Request<Body>, pair: &str) -> Request<Body> {
    let value = format!("Basic {}", STANDARD.encode(pair));
    let value = value.parse().expect("a header");
    request.headers_mut().insert("authorization", value);
    request
}

#[tokio::test]
async fn a_subject_token_becomes_an_access_token_of_its_principal_in_memory_and_on_loopback() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        let answer = client.ask(exchange(&emulator, &[])).await;
        let answer = answer.json();
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["expires_in"], 3600);
        let entry = emulator.journal().last(Endpoint::Sts).expect("an entry");
        let principal = "principal://iam.googleapis.com/projects/123456789012/locations/global/\
             workloadIdentityPools/demo-pool/subject/it";
        assert_eq!(entry.caller.as_deref(), Some(principal));
        assert_eq!(entry.field("subject_token"), Some("(withheld)"));
        assert_eq!(entry.field("subject_token_type"), Some(JWT));
    }
}

#[tokio::test]
async fn whatever_is_missing_or_wrong_is_refused_in_oauths_words() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    let stale = emulator.subject_token("it", Duration::ZERO);
    for (change, code) in [
        (("grant_type", ""), "invalid_request"),
        (("grant_type", "refresh_token"), "unsupported_grant_type"),
        (("audience", ""), "invalid_request"),
        (("audience", "//iam.googleapis.com/x"), "invalid_target"),
        (("scope", ""), "invalid_request"),
        (("requested_token_type", JWT), "invalid_request"),
        (("subject_token", ""), "invalid_request"),
        (("subject_token", "a.b.c"), "invalid_grant"),
        (("subject_token", &stale), "invalid_grant"),
        (
            ("subject_token", &emulator.mint(json!({ "iss": "x" }))),
            "invalid_grant",
        ),
        (("subject_token_type", "x"), "invalid_request"),
        // Only people without a client name a project.
        (("options", r#"{"userProject":"p"}"#), "invalid_request"),
        (("options", "{"), "invalid_request"),
    ] {
        let answer = client.ask(exchange(&emulator, &[change])).await;
        assert_eq!(answer.status, 400, "{change:?}");
        assert_eq!(answer.json()["error"], code, "{change:?}");
        assert!(answer.json()["error_description"].is_string());
    }
}

#[tokio::test]
async fn people_may_name_a_project_quoted_once_or_twice_and_not_beside_a_client() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    let audience = pool(&emulator, &Credential::external_workforce());
    for options in [
        r#"{"userProject":"p"}"#,
        "%7B%22userProject%22%3A%22p%22%7D",
    ] {
        let changes = [("audience", &*audience), ("options", options)];
        let answer = client.ask(exchange(&emulator, &changes)).await;
        assert_eq!(answer.status, 200);
        let request = exchange(&emulator, &changes);
        let pair = "emulated-sts-client:emulated-sts-secret";
        let answer = client.ask(with_basic(request, pair)).await;
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn a_client_that_names_itself_has_to_be_the_one_there_is() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    for (pair, status) in [
        ("emulated-sts-client:emulated-sts-secret", 200),
        ("emulated-sts-client:other", 401),
        ("other:emulated-sts-secret", 401),
    ] {
        let answer = client.ask(with_basic(exchange(&emulator, &[]), pair)).await;
        assert_eq!(answer.status, status);
        if status == 401 {
            assert_eq!(answer.json()["error"], "invalid_client");
        }
    }
}

#[tokio::test]
async fn other_providers_can_be_added() {
    let audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/\
         providers/q";
    let emulator = Emulator::builder().pool_provider(audience).build();
    let client = Client::in_memory(&emulator);
    let request = exchange(&emulator, &[("audience", audience)]);
    assert_eq!(client.ask(request).await.status, 200);
    let entry = emulator.journal().last(Endpoint::Sts).expect("an entry");
    let caller = entry.caller.expect("a caller");
    assert!(
        caller.ends_with("/workloadIdentityPools/p/subject/it"),
        "{caller}"
    );
}

#[tokio::test]
async fn a_workforce_users_refresh_token_is_good_once() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    let file = emulator.credentials(&Credential::external_user());
    let pair = "emulated-sts-client:emulated-sts-secret";
    let refresh = |token: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        with_basic(form(REFRESH, &fields), pair)
    };
    let first = file["refresh_token"].as_str().expect("a token");
    let answer = client.ask(refresh(first)).await.json();
    assert!(answer["access_token"].is_string());
    let second = answer["refresh_token"].as_str().expect("another token");
    assert_eq!(
        client.ask(refresh(first)).await.json()["error"],
        "invalid_grant"
    );
    assert_eq!(client.ask(refresh(second)).await.status, 200);
    let bare = form(REFRESH, &[("grant_type", "refresh_token")]);
    assert_eq!(client.ask(bare).await.status, 401);
}

#[tokio::test]
async fn the_subject_tokens_url_wants_azures_header() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        let url = "http://169.254.169.254/metadata/identity/oauth2/token?resource=api://x";
        let bare = Request::get(url).body(Body::empty()).expect("a request");
        assert_eq!(client.ask(bare).await.status, 400);
        let request = Request::get(url).header("metadata", "True");
        let answer = client
            .ask(request.body(Body::empty()).expect("a request"))
            .await;
        let token = answer.json()["access_token"]
            .as_str()
            .expect("a token")
            .to_owned();
        let answer = client
            .ask(exchange(&emulator, &[("subject_token", &token)]))
            .await;
        assert_eq!(answer.status, 200);
    }
}

fn aws(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{AWS}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn aws_wants_a_session_before_it_tells_anything() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        let zone = "/meta-data/placement/availability-zone";
        assert_eq!(client.ask(aws(Method::GET, zone, &[])).await.status, 401);
        assert_eq!(
            client.ask(aws(Method::PUT, "/api/token", &[])).await.status,
            400
        );
        let ttl = [("x-aws-ec2-metadata-token-ttl-seconds", "300")];
        assert_eq!(
            client
                .ask(aws(Method::GET, "/api/token", &ttl))
                .await
                .status,
            405
        );
        let session = client
            .ask(aws(Method::PUT, "/api/token", &ttl))
            .await
            .text();
        let session = [("x-aws-ec2-metadata-token", &*session)];
        assert_eq!(
            client.ask(aws(Method::GET, zone, &session)).await.text(),
            "us-east-2b"
        );
        let roles = "/meta-data/iam/security-credentials";
        let role = client.ask(aws(Method::GET, roles, &session)).await.text();
        let keys = aws(Method::GET, &format!("{roles}/{role}"), &session);
        assert_eq!(client.ask(keys).await.json()["Code"], "Success");
        let entry = emulator
            .journal()
            .last(Endpoint::AwsMetadata)
            .expect("an entry");
        assert_eq!(entry.header("x-aws-ec2-metadata-token"), Some("(withheld)"));
    }
}

#[tokio::test]
async fn aws_requests_that_are_not_signed_for_this_pool_and_this_hour_are_refused() {
    let emulator = paused();
    let client = Client::in_memory(&emulator);
    let pool = workload(&emulator);
    let request = |change: &dyn Fn(&mut Value)| {
        let header = |key: &str, value: &str| json!({ "key": key, "value": value });
        let mut request = json!({
            "url": "https://sts.us-east-2.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
            "method": "POST",
            "headers": [
                header("host", "sts.us-east-2.amazonaws.com"),
                header("x-amz-date", "20231114T221320Z"),
                header("x-goog-cloud-target-resource", &pool),
                header("x-amz-security-token", "emulated-aws-session-token=="),
                header(
                    "Authorization",
                    "AWS4-HMAC-SHA256 Credential=ASIAEMULATEDEXAMPLE/20231114/us-east-2/sts/\
                     aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token;\
                     x-goog-cloud-target-resource, Signature=00",
                ),
            ],
            "body": "",
        });
        change(&mut request);
        request.to_string()
    };
    for (token, part) in [
        ("hush".to_owned(), "no JSON"),
        (
            request(&|it| it["headers"][2]["value"] = "x".into()),
            "target resource",
        ),
        (
            request(&|it| it["url"] = "https://evil.example/".into()),
            "no GetCallerIdentity",
        ),
        (
            request(&|it| it["headers"][0]["value"] = "x".into()),
            "no GetCallerIdentity",
        ),
        (
            request(&|it| it["headers"][1]["value"] = "20231114T215000Z".into()),
            "too old",
        ),
        (
            request(&|it| it["headers"][4]["value"] = "x".into()),
            "not signed",
        ),
        (
            request(&|it| {
                let value = it["headers"][4]["value"].as_str().expect("text");
                it["headers"][4]["value"] = value.replace("host;", "").into();
            }),
            "header host is not signed",
        ),
        (
            request(&|it| it["headers"][3]["value"] = "x".into()),
            "InvalidClientTokenId",
        ),
        (request(&|_| {}), "SignatureDoesNotMatch"),
    ] {
        let kind = "urn:ietf:params:aws:token-type:aws4_request";
        let changes = [("subject_token_type", kind), ("subject_token", &*token)];
        let answer = client.ask(exchange(&emulator, &changes)).await.json();
        assert_eq!(answer["error"], "invalid_grant");
        let description = answer["error_description"].as_str().expect("text");
        assert!(
            description.contains(part),
            "{part:?} is not in {description}"
        );
    }
}

#[tokio::test]
async fn a_certificate_counts_for_nothing_on_a_connection_that_has_shown_none() {
    let emulator = Emulator::new();
    for client in Client::both(&emulator).await {
        let changes = [
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:mtls",
            ),
            ("subject_token", "[\"AAAA\"]"),
        ];
        let answer = client.ask(exchange(&emulator, &changes)).await.json();
        assert_eq!(answer["error"], "invalid_grant");
        assert_eq!(
            answer["error_description"],
            "The connection has no client certificate."
        );
    }
}

#[tokio::test]
async fn faults_answer_in_oauths_words() {
    let emulator = Emulator::new();
    let client = Client::in_memory(&emulator);
    emulator.fault(Endpoint::Sts, Fault::status(503).times(1));
    let answer = client.ask(exchange(&emulator, &[])).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "internal_failure");
    assert_eq!(client.ask(exchange(&emulator, &[])).await.status, 200);
}

#[tokio::test]
async fn every_external_credential_comes_with_the_files_that_it_names() {
    let server = Emulator::new().serve().await.expect("ports");
    for credential in Credential::external() {
        let directory = tempfile::tempdir().expect("a directory");
        let env = server
            .env_with(&credential, directory.path())
            .expect("files");
        let names = credential.file_names();
        for name in &names {
            assert!(directory.path().join(name).is_file(), "{name}");
        }
        let files = std::fs::read_dir(directory.path()).expect("a directory");
        assert_eq!(files.count(), names.len());
        for (name, value) in credential.variables() {
            let there = |(other, its): &(String, String)| other == name && its == value;
            assert!(env.iter().any(there), "{name}");
        }
    }
}
