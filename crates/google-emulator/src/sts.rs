//! The Security Token Service: subject tokens of other parties, exchanged for access tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header;
use serde_json::{Value, json};

use crate::{
    answer::{self, Answer, Refusal, oauth_error},
    asked::Asked,
    aws,
    federation::Pool,
    tls::{self, Shown},
    world::{World, seconds},
};

impl World {
    /// `sts.googleapis.com/v1/token` (RFC 8693).
    pub(crate) fn sts(&self, asked: &Asked) -> (Answer, Option<String>) {
        let mut caller = None;
        let answer = self.exchange(asked, &mut caller);
        (answer.unwrap_or_else(|refusal| *refusal), caller)
    }

    fn exchange(&self, asked: &Asked, caller: &mut Option<String>) -> Result<Answer, Refusal> {
        let field = |name: &str| {
            let field = asked.field(name).filter(|value| !value.is_empty());
            field.ok_or_else(|| invalid_request(&format!("Missing required parameter: {name}")))
        };
        if field("grant_type")? != TOKEN_EXCHANGE {
            let message = "Unsupported grant type.";
            return Err(oauth_error(400, "unsupported_grant_type", message));
        }
        if field("requested_token_type")? != ACCESS_TOKEN {
            return Err(invalid_request("Invalid value for requested_token_type"));
        }
        let client = self.sts_client(asked)?;
        let audience = field("audience")?;
        let pool = Pool::of(audience, &self.federation.pools).ok_or_else(|| {
            let message = format!(
                "The target service indicated by the \"audience\" parameter is \
                 invalid: {audience}"
            );
            oauth_error(400, "invalid_target", &message)
        })?;
        let scopes: Vec<_> = field("scope")?.split(' ').map(str::to_owned).collect();
        check_options(asked.field("options"), &pool, client.is_some())?;
        let subject = self.subject(field("subject_token_type")?, field("subject_token")?, asked)?;
        let principal = pool.principal(&subject);
        *caller = Some(principal.clone());
        let lifetime = self.access_token_lifetime;
        Ok(answer::json(
            200,
            &json!({
                "access_token": self.access_token(&principal, scopes, lifetime),
                "issued_token_type": ACCESS_TOKEN,
                "token_type": "Bearer",
                "expires_in": seconds(lifetime),
            }),
        ))
    }

    /// `sts.googleapis.com/v1/oauthtoken`: the refresh of a workforce user's login (RFC 6749,
    /// section 6). Each refresh token is good once.
    pub(crate) fn sts_refresh(&self, asked: &Asked) -> (Answer, Option<String>) {
        let refresh = || {
            if self.sts_client(asked)?.is_none() {
                return Err(invalid_client("Client authentication is missing."));
            }
            if asked.field("grant_type") != Some("refresh_token") {
                let message = "Unsupported grant type.";
                return Err(oauth_error(400, "unsupported_grant_type", message));
            }
            let shown = asked.field("refresh_token").unwrap_or_default();
            let next = self.federation.next_refresh_token(shown).ok_or_else(|| {
                oauth_error(400, "invalid_grant", "Token has been expired or revoked.")
            })?;
            let lifetime = self.access_token_lifetime;
            let scopes = vec![crate::access::CLOUD_PLATFORM.to_owned()];
            let principal = self.federation.workforce_user();
            let answer = json!({
                "access_token": self.access_token(&principal, scopes, lifetime),
                "refresh_token": next,
                "token_type": "Bearer",
                "expires_in": seconds(lifetime),
            });
            Ok((answer::json(200, &answer), Some(principal)))
        };
        refresh().unwrap_or_else(|refusal| (*refusal, None))
    }

    /// The OAuth client that names itself by HTTP Basic, if one does.
    fn sts_client(&self, asked: &Asked) -> Result<Option<()>, Refusal> {
        let Some(value) = asked.parts.headers.get(header::AUTHORIZATION) else {
            return Ok(None);
        };
        let pair = value
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|value| STANDARD.decode(value).ok());
        let (id, secret) = self.federation.client();
        if pair.as_deref() == Some(format!("{id}:{secret}").as_bytes()) {
            return Ok(Some(()));
        }
        Err(invalid_client("The OAuth client was not found."))
    }

    /// Who the subject token is about, once it holds.
    fn subject(&self, kind: &str, token: &str, asked: &Asked) -> Result<String, Refusal> {
        match kind {
            "urn:ietf:params:oauth:token-type:jwt"
            | "urn:ietf:params:oauth:token-type:id_token"
            | "urn:ietf:params:oauth:token-type:saml2" => self
                .federation
                .subject_of(token, self.clock.unix())
                .map_err(|why| invalid_grant(&why)),
            "urn:ietf:params:oauth:token-type:mtls" => {
                certificate_subject(token, asked).map_err(invalid_grant)
            }
            "urn:ietf:params:aws:token-type:aws4_request" => {
                let audience = asked.field("audience").unwrap_or_default();
                aws::caller(token, audience, self.clock.unix()).map_err(|why| invalid_grant(&why))
            }
            _ => Err(invalid_request("Invalid value for subject_token_type")),
        }
    }
}

/// The workload of a certificate that was shown in TLS and leads to the pool's trust anchor.
fn certificate_subject(token: &str, asked: &Asked) -> Result<String, &'static str> {
    let shown = asked.parts.extensions.get::<Shown>();
    let shown = shown
        .and_then(|shown| shown.0.as_deref())
        .ok_or("The connection has no client certificate.")?;
    let chain: Vec<String> = serde_json::from_str(token).map_err(|_| "The chain is no JSON.")?;
    let chain: Option<Vec<_>> = chain.iter().map(|one| STANDARD.decode(one).ok()).collect();
    let chain = chain.ok_or("The chain is no base64.")?;
    let Some((leaf, rest)) = chain.split_first() else {
        return Err("The chain is empty.");
    };
    if leaf != shown {
        return Err("The first certificate is not the one of the connection.");
    }
    // The anchor itself may be left out, as in TLS.
    let anchor = tls::trust_anchor();
    let between: Vec<_> = rest.iter().filter(|one| **one != anchor).collect();
    if between != [&tls::intermediate()] {
        return Err("The chain does not lead to the pool's trust anchor.");
    }
    Ok("demo-workload".to_owned())
}

/// Whose quota it is: only people without a client of their own have to say.
fn check_options(options: Option<&str>, pool: &Pool, has_client: bool) -> Result<(), Refusal> {
    let Some(options) = options else {
        return Ok(());
    };
    // Libraries differ in whether they quote it once more than the form does.
    let options = percent_encoding::percent_decode_str(options).decode_utf8_lossy();
    let options: Value =
        serde_json::from_str(&options).map_err(|_| invalid_request("Invalid value for options"))?;
    let project = options.get("userProject");
    if project.is_some() && (!pool.is_workforce() || has_client) {
        return Err(invalid_request("userProject is not allowed here."));
    }
    Ok(())
}

fn invalid_request(description: &str) -> Refusal {
    oauth_error(400, "invalid_request", description)
}

fn invalid_client(description: &str) -> Refusal {
    oauth_error(401, "invalid_client", description)
}

fn invalid_grant(description: &str) -> Refusal {
    oauth_error(400, "invalid_grant", description)
}

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
