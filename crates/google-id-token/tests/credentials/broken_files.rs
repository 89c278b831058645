//! Credential files that are there and broken: each is told by its name and its field.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_emulator::{Credential, Emulator};
use google_id_token::{Builder, Env, ErrorKind, Kind, SourceError};
use serde_json::{Value, json};

use crate::support::{KEY_PATH, ROBOT, audience, in_memory, nobody, user_file};

async fn build(contents: impl Into<bytes::Bytes>) -> Result<Kind, SourceError> {
    let env = Env::empty()
        .variable("GOOGLE_APPLICATION_CREDENTIALS", KEY_PATH)
        .file(KEY_PATH, contents);
    let builder = Builder::new().env(env).http(nobody());
    Ok(builder.user_tokens_for_cloud_run().build().await?.kind())
}

/// The file is refused, and the message names it and has all of this in it.
async fn refused(contents: impl Into<bytes::Bytes>, parts: &[&str]) {
    let error = build(contents).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let message = error.to_string();
    let origin = format!("GOOGLE_APPLICATION_CREDENTIALS ({KEY_PATH})");
    assert!(message.starts_with(&origin), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

fn key_file() -> Value {
    Emulator::new().credentials(&Credential::service_account())
}

fn impersonated_file() -> Value {
    json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": format!(
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}\
             :generateAccessToken"
        ),
        "delegates": [],
        "source_credentials": user_file(),
    })
}

fn with(mut file: Value, name: &str, value: Value) -> String {
    file[name] = value;
    file.to_string()
}

fn without(mut file: Value, name: &str) -> String {
    file.as_object_mut().unwrap().remove(name);
    file.to_string()
}

#[tokio::test]
async fn kinds_that_give_no_google_id_token_are_named_with_the_reason() {
    let gdch = json!({ "type": "gdch_service_account", "format_version": "1" });
    refused(
        gdch.to_string(),
        &[
            "gdch_service_account",
            "Google Distributed Cloud",
            "no Google ID token can come of it",
        ],
    )
    .await;
    let unknown = json!({ "type": "moon_rock" });
    refused(
        unknown.to_string(),
        &["\"moon_rock\"", "no Google ID token can come of it"],
    )
    .await;
}

#[tokio::test]
async fn a_file_that_is_empty_truncated_or_no_json_is_told_as_such() {
    refused("", &["the file is empty"]).await;
    refused(" \r\n\t", &["the file is empty"]).await;
    refused(&b"\xef\xbb\xbf"[..], &["the file is empty"]).await;
    refused(
        "{\"type\": \"service_acc",
        &["ends in the middle", "cut off"],
    )
    .await;
    let whole = key_file().to_string();
    refused(whole[..whole.len() / 2].to_owned(), &["ends in the middle"]).await;
    refused("[]", &["no object"]).await;
    refused("\"text\"", &["no object"]).await;
    refused("<html></html>", &["no JSON", "line 1"]).await;
    refused(&b"\xff\xff\xff\xff"[..], &["no text"]).await;
    refused(vec![b' '; 1024 * 1024 + 1], &["larger than 1 MiB"]).await;
}

#[tokio::test]
async fn an_unreadable_file_is_told_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let env = Env::from_iter([(
        "GOOGLE_APPLICATION_CREDENTIALS",
        directory.path().as_os_str(),
    )]);
    let error = Builder::new()
        .env(env)
        .http(nobody())
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().contains("the file cannot be read"),
        "{error}"
    );
}

#[tokio::test]
async fn a_byte_order_mark_and_powershells_utf_16_are_read() {
    let text = key_file().to_string();
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    assert_eq!(build(marked).await.unwrap(), Kind::ServiceAccount);
    let little: Vec<_> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = [b"\xff\xfe", &little[..]].concat();
    assert_eq!(build(wide).await.unwrap(), Kind::ServiceAccount);
    refused(&b"\xff\xfe\x00"[..], &["no text"]).await;
}

#[tokio::test]
async fn an_unknown_type_is_named_with_those_that_are_supported() {
    refused(
        r#"{"type": "tea_pot"}"#,
        &[
            "field `type`",
            "tea_pot",
            "service_account, authorized_user, impersonated",
        ],
    )
    .await;
    refused("{}", &["the field `type` is missing"]).await;
    refused(r#"{"type": 7}"#, &["field `type`", "no text"]).await;
    refused(r#"{"installed": {}}"#, &["an OAuth client's file"]).await;
    for domain in ["example", "a b.c", "https://example.com", "x/y.z", "a..b"] {
        let elsewhere = with(key_file(), "universe_domain", domain.into());
        refused(elsewhere, &["field `universe_domain`", "no domain name"]).await;
    }
    let user = without(user_file(), "token_uri").parse().unwrap();
    let elsewhere = with(user, "universe_domain", "example.com".into());
    refused(elsewhere, &["field `token_uri` is missing"]).await;
}

#[tokio::test]
async fn a_missing_field_is_named() {
    for name in ["client_email", "private_key"] {
        let field = format!("the field `{name}` is missing");
        refused(without(key_file(), name), &[&field]).await;
        refused(with(key_file(), name, "".into()), &[name, "empty"]).await;
        refused(with(key_file(), name, json!({})), &[name, "no text"]).await;
    }
    for name in ["client_id", "client_secret", "refresh_token"] {
        let field = format!("the field `{name}` is missing");
        refused(without(user_file(), name), &[&field]).await;
        let inside = format!("the field `source_credentials.{name}` is missing");
        let source: Value = without(user_file(), name).parse().unwrap();
        refused(
            with(impersonated_file(), "source_credentials", source),
            &[&inside],
        )
        .await;
    }
    for name in ["service_account_impersonation_url", "source_credentials"] {
        let field = format!("the field `{name}` is missing");
        refused(without(impersonated_file(), name), &[&field]).await;
    }
    let bad = with(impersonated_file(), "delegates", json!([7]));
    refused(bad, &["the field `delegates`"]).await;
    let bad = with(impersonated_file(), "delegates", json!("a@b"));
    refused(bad, &["the field `delegates`"]).await;
    let bad = with(impersonated_file(), "delegates", json!(["a/b"]));
    refused(bad, &["the field `delegates`"]).await;
}

#[tokio::test]
async fn optional_fields_may_be_null_empty_or_missing() {
    let key = without(key_file(), "token_uri").parse().unwrap();
    let key = without(key, "private_key_id");
    assert_eq!(build(key).await.unwrap(), Kind::ServiceAccount);
    let user = with(user_file(), "token_uri", Value::Null);
    assert_eq!(build(user).await.unwrap(), Kind::User);
    let user = with(user_file(), "account", "".into());
    assert_eq!(build(user).await.unwrap(), Kind::User);
    let file = without(impersonated_file(), "delegates");
    assert_eq!(build(file).await.unwrap(), Kind::Impersonated);
}

#[tokio::test]
async fn endpoints_are_https_or_loopback() {
    for (url, why) in [
        ("http://oauth2.googleapis.com/token", "plain http"),
        ("http://127.0.0.1.example.com/token", "plain http"),
        ("ftp://oauth2.googleapis.com/token", "ftp"),
        ("oauth2.googleapis.com", "not a whole URL"),
        ("https://me:secret@oauth2.googleapis.com/", "user name"),
        ("https://", "not a URL"),
        ("https://oauth2.googleapis.com:port/", "no number"),
    ] {
        let field = "the field `token_uri`";
        refused(with(key_file(), "token_uri", url.into()), &[field, why]).await;
        refused(with(user_file(), "token_uri", url.into()), &[field, why]).await;
    }
    for url in [
        "http://127.0.0.1:9/token",
        "http://[::1]:9/token",
        "http://localhost/token",
    ] {
        let file = with(key_file(), "token_uri", url.into());
        assert_eq!(build(file).await.unwrap(), Kind::ServiceAccount);
    }
    let field = "the field `service_account_impersonation_url`";
    for (url, why) in [
        (
            format!("http://iam.example/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"),
            "plain http",
        ),
        ("https://iam.example/".to_owned(), "does not end in"),
    ] {
        let file = with(
            impersonated_file(),
            "service_account_impersonation_url",
            url.into(),
        );
        refused(file, &[field, why]).await;
    }
}

#[tokio::test]
async fn a_key_that_is_no_key_is_told_as_such() {
    let field = "the field `private_key`";
    let pem = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    for (key, why) in [
        ("not a key".to_owned(), "no key in PEM"),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIE".to_owned(),
            "no key in PEM",
        ),
        (pem("PRIVATE KEY", "!!!"), "no base64"),
        (pem("PRIVATE KEY", "MIIEvQ=="), "no RSA private key"),
        (pem("RSA PRIVATE KEY", "MIIEvQ=="), "no RSA private key"),
        (
            pem("PUBLIC KEY", "MIIEvQ=="),
            "openssl pkcs8 -topk8 -nocrypt",
        ),
        (
            pem("EC PRIVATE KEY", "MIIEvQ=="),
            "openssl pkcs8 -topk8 -nocrypt",
        ),
        (pem("ENCRYPTED PRIVATE KEY", "MIIEvQ=="), "encrypted"),
    ] {
        refused(with(key_file(), "private_key", key.into()), &[field, why]).await;
    }
}

#[tokio::test]
async fn a_pkcs_1_key_and_one_with_escaped_line_breaks_work() {
    let file = key_file();
    let key = file["private_key"].as_str().unwrap();
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let pkcs8 = STANDARD.decode(body).unwrap();
    // What PKCS#8 wraps around a key of 2,048 bits.
    let pkcs1 = STANDARD.encode(&pkcs8[26..]);
    let pkcs1 =
        format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n");
    let escaped = key.replace('\n', "\\n");

    let emulator = Emulator::new();
    for key in [pkcs1, escaped] {
        let file = with(file.clone(), "private_key", key.into());
        let builder = Builder::new()
            .http(in_memory(&emulator))
            .credentials_json(file);
        let tokens = builder.build().await.unwrap().id_tokens();
        tokens.get(&audience()).await.unwrap();
    }
}

#[tokio::test]
async fn the_builders_own_settings_are_checked_too() {
    let key = Builder::new()
        .http(nobody())
        .credentials_json(key_file().to_string());
    for builder in [
        key.clone().impersonate(""),
        key.clone().impersonate("two words@x"),
        key.clone().impersonate("a/b"),
        key.clone().impersonate("x".repeat(257)),
        key.clone().delegates([ROBOT]),
        key.clone().impersonate(ROBOT).delegates(["a:b"]),
    ] {
        assert_eq!(builder.build().await.unwrap_err().kind(), ErrorKind::Config);
    }
    let variable = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";
    let env = Env::empty().variable(variable, "http://iam.example/");
    let error = key.impersonate(ROBOT).env(env).build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(variable), "{error}");
}
