//! The public keys: Google's as JWK set and as X.509 certificates, and those of accounts.

use http::HeaderValue;
use serde_json::{Map, Value, json};

use crate::{
    answer::{self, Answer},
    asked::Asked,
    key::{self, Key},
    world::World,
};

impl World {
    pub(crate) fn certs(&self, asked: &Asked) -> Answer {
        let path = asked.parts.uri.path();
        let mut answer = match path {
            "/oauth2/v3/certs" => jwks(&self.published_keys()),
            "/oauth2/v1/certs" => certificates(&self.published_keys()),
            _ => self.account_keys(path),
        };
        self.say_how_long(&mut answer);
        answer
    }

    /// How long keys may be kept.
    pub(crate) fn say_how_long(&self, answer: &mut Answer) {
        let max_age = self.certs_max_age.as_secs();
        let cache = format!("public, max-age={max_age}, must-revalidate, no-transform");
        if let Ok(cache) = HeaderValue::from_str(&cache) {
            answer.headers_mut().insert("cache-control", cache);
        }
        answer
            .headers_mut()
            .insert("age", HeaderValue::from(self.certs_age.as_secs()));
    }

    /// Where JWTs that an account has signed are checked.
    fn account_keys(&self, path: &str) -> Answer {
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        let keys = [&*key::SERVICE_ACCOUNT];
        if let Some(email) = path.strip_prefix("/service_accounts/v1/jwk/")
            && self.account(email).is_some()
        {
            return jwks(&keys);
        }
        if let Some(email) = path.strip_prefix("/service_accounts/v1/metadata/x509/")
            && self.account(email).is_some()
        {
            return certificates(&keys);
        }
        answer::html(404, "<title>Error 404 (Not Found)!!1</title>")
    }
}

fn jwks(keys: &[&Key]) -> Answer {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    answer::json(200, &json!({ "keys": keys }))
}

fn certificates(keys: &[&Key]) -> Answer {
    let by_id: Map<String, Value> = keys
        .iter()
        .map(|key| (key.id.clone(), Value::from(key.certificate)))
        .collect();
    answer::json(200, &Value::Object(by_id))
}
