//! What the other Google answers, as its documents have it.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::files::{ACCOUNT, ATTACHED, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, USER};
use super::http::{Answer, Asked};
use super::server::State;

impl State {
    pub(super) fn answer(&self, asked: &Asked) -> Answer {
        let path = asked.path().split('?').next().unwrap_or_default();
        if let Some(path) = path.strip_prefix("/computeMetadata/v1/") {
            return self.metadata(path, asked);
        }
        if path == "/token" && asked.line.starts_with("POST") {
            return self.token(asked);
        }
        let account = path.strip_prefix("/v1/projects/-/serviceAccounts/");
        if let Some(account) = account.and_then(|it| it.strip_suffix(":generateIdToken")) {
            return self.impersonate(account, asked);
        }
        self.door(asked)
    }

    fn metadata(&self, path: &str, asked: &Asked) -> Answer {
        if asked.header("metadata-flavor") != Some("Google") {
            return Answer::refusal("403 Forbidden", "Missing Metadata-Flavor:Google header.");
        }
        match path {
            "instance/service-accounts/default/identity" => {
                let Some(audience) = asked.query("audience") else {
                    let body = "non-empty audience parameter required\n";
                    return Answer::Sized("400 Bad Request", FLAVOR, body.to_owned());
                };
                let full = asked.query("format").as_deref() == Some("full");
                Answer::UntilClosed(FLAVOR, id_token(&audience, full.then_some(ATTACHED)) + "\n")
            }
            "instance/service-accounts/default/token" => Answer::UntilClosed(
                FLAVOR,
                r#"{"token_type":"Bearer","expires_in":3599,"access_token":"ya29.other"}"#.into(),
            ),
            _ => Answer::Sized(
                "404 Not Found",
                FLAVOR,
                "<title>Not Found</title>".to_owned(),
            ),
        }
    }

    fn token(&self, asked: &Asked) -> Answer {
        let refused = |error: &str| {
            let body = json!({ "error": error, "error_description": "Bad Request" });
            Answer::refusal("400 Bad Request", body.to_string())
        };
        let mut answer = json!({
            "access_token": "ya29.other",
            "expires_in": "3599",
            "token_type": "Bearer",
            "scope": "openid https://www.googleapis.com/auth/cloud-platform",
            "refresh_token_expires_in": 604_799,
        });
        match asked.form("grant_type").as_deref() {
            Some("refresh_token") => {
                let expected = [CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN];
                let given = ["client_id", "client_secret", "refresh_token"];
                if given.map(|name| asked.form(name)) != expected.map(|it| Some(it.to_owned())) {
                    return refused("invalid_grant");
                }
                answer["id_token"] = id_token(CLIENT_ID, Some(USER)).into();
                Answer::json(&answer)
            }
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                let assertion = asked.form("assertion").unwrap_or_default();
                let Some((header, claims)) = self.check(&assertion) else {
                    return refused("invalid_grant");
                };
                let audience = claims["target_audience"].as_str().map(str::to_owned);
                self.assertions.lock().unwrap().push((header, claims));
                Answer::json(&match audience {
                    Some(audience) => json!({ "id_token": id_token(&audience, Some(ACCOUNT)) }),
                    None => answer,
                })
            }
            _ => refused("unsupported_grant_type"),
        }
    }

    /// Header and claims of a JWT that the key file's key has signed for this endpoint.
    fn check(&self, jwt: &str) -> Option<(Value, Value)> {
        let (signed, signature) = jwt.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        let (header, claims) = signed.split_once('.')?;
        let [header, claims] = [header, claims].map(|part| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        });
        Some((header?, claims?)).filter(|(_, claims)| claims["iss"] == ACCOUNT)
    }

    fn impersonate(&self, account: &str, asked: &Asked) -> Answer {
        if asked.bearer() != Some("ya29.other") {
            let error = json!({ "code": 401, "status": "UNAUTHENTICATED", "message": "no" });
            return Answer::refusal("401 Unauthorized", json!({ "error": error }).to_string());
        }
        let wish: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let email = account.replace("%40", "@");
        let email = (wish["includeEmail"] == true).then_some(&*email);
        let token = id_token(wish["audience"].as_str().unwrap_or_default(), email);
        self.impersonations.lock().unwrap().push(wish);
        Answer::json(&json!({ "kind": "iam#token", "token": token }))
    }

    /// A private service: in comes who has a token for it, or a user of gcloud's.
    fn door(&self, asked: &Asked) -> Answer {
        let claims = asked.bearer().and_then(|token| {
            let claims = token.strip_suffix(SIGNATURE)?.split('.').nth(1)?;
            serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
        });
        match claims {
            Some(claims) if claims["aud"] == self.url || claims["aud"] == CLIENT_ID => {
                let name = claims["email"].as_str().unwrap_or("whoever you are");
                Answer::Sized("200 OK", "", format!("Hello {name}"))
            }
            Some(_) => Answer::refusal("401 Unauthorized", "not for me"),
            None => Answer::refusal("403 Forbidden", "no token"),
        }
    }
}

/// A token of this Google's, which checks no signatures of its own.
fn id_token(audience: &str, email: Option<&str>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims = json!({
        "aud": audience,
        "azp": "101234567890123456789",
        "exp": now.as_secs() + 3600,
        "iat": now.as_secs(),
        "iss": "https://accounts.google.com",
        "sub": "101234567890123456789",
        "google": { "compute_engine": { "instance_id": "1", "zone": "us-central1-a" } },
    });
    if let Some(email) = email {
        claims["email"] = email.into();
        claims["email_verified"] = true.into();
    }
    let header = json!({ "alg": "RS256", "kid": "other-1", "typ": "JWT" });
    let [header, claims] = [header, claims].map(|it| URL_SAFE_NO_PAD.encode(it.to_string()));
    format!("{header}.{claims}{SIGNATURE}")
}

const SIGNATURE: &str = ".b3RoZXI";

const FLAVOR: &str = "METADATA-FLAVOR: Google\r\nServer: Metadata Server for VM\r\n\
    Content-Type: text/html\r\nX-XSS-Protection: 0\r\n";
