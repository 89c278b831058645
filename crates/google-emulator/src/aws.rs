//! AWS as far as federation knows it: the metadata server, and the check of a signed request.

use std::collections::BTreeMap;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use ring::{digest, hmac};
use serde_json::{Value, json};
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

use crate::{
    answer::{self, Answer},
    asked::Asked,
    key::hex,
};

/// AWS's metadata server, of the version that wants a session first.
pub(crate) fn metadata(asked: &Asked) -> Answer {
    let header = |name: &str| asked.parts.headers.get(name);
    let path = asked.parts.uri.path().trim_end_matches('/');
    if path == "/latest/api/token" {
        let life = header("x-aws-ec2-metadata-token-ttl-seconds");
        let life: Option<u32> = life.and_then(|life| life.to_str().ok()?.parse().ok());
        return match life {
            _ if asked.parts.method != Method::PUT => answer::text(405, ""),
            Some(1..=21_600) => answer::text(200, SESSION),
            _ => answer::text(400, ""),
        };
    }
    if header("x-aws-ec2-metadata-token").is_none_or(|session| session != SESSION) {
        return answer::text(401, "");
    }
    match path.strip_prefix("/latest/meta-data/") {
        Some("placement/availability-zone") => answer::text(200, format!("{REGION}b")),
        Some("iam/security-credentials") => answer::text(200, ROLE),
        Some(path) if path == format!("iam/security-credentials/{ROLE}") => answer::json(
            200,
            &json!({
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": ACCESS_KEY,
                "SecretAccessKey": SECRET_KEY,
                "Token": SESSION_TOKEN,
            }),
        ),
        _ => answer::text(404, ""),
    }
}

/// Whom AWS would name as the signer of this `GetCallerIdentity`; or what is wrong with it.
pub(crate) fn caller(token: &str, audience: &str, now: i64) -> Result<String, String> {
    let request = percent_decode_str(token).decode_utf8_lossy();
    let request: Value =
        serde_json::from_str(&request).map_err(|_| "The AWS request is no JSON.")?;
    let text = |name: &str| {
        request
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let headers: BTreeMap<String, &str> = request
        .get("headers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|header| {
            let name = header.get("key")?.as_str()?.to_ascii_lowercase();
            Some((name, header.get("value")?.as_str()?))
        })
        .collect();
    let header = |name: &str| headers.get(name).copied().unwrap_or_default();
    if header("x-goog-cloud-target-resource") != audience {
        return Err("The target resource of the AWS request is not the audience.".to_owned());
    }
    let url: Uri = text("url")
        .parse()
        .map_err(|_| "The AWS request has no URL.")?;
    let host = url.host().unwrap_or_default();
    let query = url.query().unwrap_or_default();
    let is_sts = url.scheme_str() == Some("https")
        && host.starts_with("sts.")
        && host.ends_with(".amazonaws.com");
    if !is_sts || header("host") != host || !query.contains("Action=GetCallerIdentity") {
        return Err("The AWS request is no GetCallerIdentity.".to_owned());
    }
    let time = header("x-amz-date");
    if !is_recent(time, now) {
        return Err("The AWS request's date is missing or too old.".to_owned());
    }
    let (scope, signed, signature) =
        authorization(header("authorization")).ok_or("The AWS request is not signed.")?;
    for must in ["host", "x-amz-date", "x-goog-cloud-target-resource"] {
        if !signed.contains(&must) {
            return Err(format!("The AWS request's header {must} is not signed."));
        }
    }
    let secret = match (scope[0], header("x-amz-security-token")) {
        (ACCESS_KEY, SESSION_TOKEN) if signed.contains(&"x-amz-security-token") => SECRET_KEY,
        _ => return Err("InvalidClientTokenId: the security token is invalid.".to_owned()),
    };
    let mut query: Vec<_> = query.split('&').collect();
    query.sort_unstable();
    let lines: Vec<String> = signed
        .iter()
        .map(|name| format!("{name}:{}\n", header(name).trim()))
        .collect();
    let canonical = [
        text("method"),
        url.path(),
        &query.join("&"),
        &lines.concat(),
        &signed.join(";"),
        &sha256(text("body")),
    ]
    .join("\n");
    let credential = scope[1..].join("/");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{credential}\n{}",
        sha256(&canonical)
    );
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in &scope[1..] {
        key = mac(&key, part);
    }
    if hex(&mac(&key, &to_sign)) != signature {
        return Err("SignatureDoesNotMatch: the request signature does not match.".to_owned());
    }
    Ok(format!("arn:aws:sts::123456789012:assumed-role/{ROLE}/i-0"))
}

/// The scope (access key, date, region, service, end), the signed headers and the signature.
fn authorization(value: &str) -> Option<([&str; 5], Vec<&str>, &str)> {
    let mut parts = value
        .strip_prefix("AWS4-HMAC-SHA256 ")?
        .split(',')
        .map(str::trim);
    let scope = parts.next()?.strip_prefix("Credential=")?;
    let scope: Vec<_> = scope.split('/').collect();
    let signed = parts.next()?.strip_prefix("SignedHeaders=")?;
    let signature = parts.next()?.strip_prefix("Signature=")?;
    Some((
        scope.try_into().ok()?,
        signed.split(';').collect(),
        signature,
    ))
}

/// AWS takes a request for a quarter of an hour.
fn is_recent(time: &str, now: i64) -> bool {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let then = PrimitiveDateTime::parse(time, &format).map(PrimitiveDateTime::assume_utc);
    then.map(OffsetDateTime::unix_timestamp)
        .is_ok_and(|then| (now - then).abs() <= 15 * 60)
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

pub(crate) const REGION: &str = "us-east-2";
pub(crate) const ACCESS_KEY: &str = "ASIAEMULATEDEXAMPLE";
pub(crate) const SECRET_KEY: &str = "emulated+secret/access/key";
pub(crate) const SESSION_TOKEN: &str = "emulated-aws-session-token==";
const ROLE: &str = "demo-role";
const SESSION: &str = "emulated-imds-session";
