//! The OAuth token endpoint, `oauth2.googleapis.com/token`, with both of its grants.

use serde_json::{Value, json};

use crate::{
    account::User,
    answer::{self, Answer, Refusal, oauth_error},
    asked::Asked,
    assertion::{self, Wish},
    fault::Mint,
    mint::IdToken,
    world::{World, seconds},
};

impl World {
    pub(crate) fn token(&self, asked: &Asked, fault: Option<&Mint>) -> (Answer, Option<String>) {
        let mut caller = None;
        let answer = match asked.field("grant_type") {
            Some(JWT_BEARER) => self.assertion_grant(asked, fault, &mut caller),
            Some("refresh_token") => self.refresh_grant(asked, fault, &mut caller),
            None => Err(oauth_error(
                400,
                "invalid_request",
                "Required parameter is missing: grant_type",
            )),
            Some(other) => Err(oauth_error(
                400,
                "unsupported_grant_type",
                &format!("Invalid grant_type: {other}"),
            )),
        };
        (answer.unwrap_or_else(|refusal| *refusal), caller)
    }

    /// RFC 7523, with Google's `target_audience` for ID tokens.
    fn assertion_grant(
        &self,
        asked: &Asked,
        fault: Option<&Mint>,
        caller: &mut Option<String>,
    ) -> Result<Answer, Refusal> {
        let (account, wish) = assertion::check(self, asked)?;
        *caller = Some(account.email().to_owned());
        Ok(match wish {
            Wish::IdToken { audience } => {
                let wish = IdToken {
                    audience: &audience,
                    subject: account.unique_id(),
                    authorized_party: account.email().to_owned(),
                    email: Some(account.email()),
                    more: Value::Null,
                };
                answer::json(200, &json!({ "id_token": self.id_token(wish, fault) }))
            }
            Wish::AccessToken { scopes } => {
                let lifetime = self.access_token_lifetime;
                answer::json(
                    200,
                    &json!({
                        "access_token": self.access_token(account.email(), scopes, lifetime),
                        "expires_in": seconds(lifetime),
                        "token_type": "Bearer",
                    }),
                )
            }
        })
    }

    /// RFC 6749, section 6, with an ID token where the login was for `openid`.
    fn refresh_grant(
        &self,
        asked: &Asked,
        fault: Option<&Mint>,
        caller: &mut Option<String>,
    ) -> Result<Answer, Refusal> {
        let user = self.user_of(asked)?;
        *caller = Some(user.email().to_owned());
        let lifetime = self.access_token_lifetime;
        let scopes = user.granted_scopes().to_vec();
        let mut tokens = json!({
            "access_token": self.access_token(user.email(), scopes, lifetime),
            "expires_in": seconds(lifetime),
            "scope": user.granted_scopes().join(" "),
            "token_type": "Bearer",
        });
        if user.granted_scopes().iter().any(|scope| scope == "openid") {
            let wish = IdToken {
                audience: user.client_id(),
                subject: user.unique_id(),
                authorized_party: user.client_id().to_owned(),
                email: Some(user.email()),
                more: Value::Null,
            };
            tokens["id_token"] = Value::from(self.id_token(wish, fault));
        }
        Ok(answer::json(200, &tokens))
    }

    fn user_of(&self, asked: &Asked) -> Result<&User, Refusal> {
        let Some(client) = asked.field("client_id") else {
            return Err(oauth_error(
                400,
                "invalid_request",
                "Could not determine client ID from request.",
            ));
        };
        let Some(refresh_token) = asked.field("refresh_token") else {
            let missing = "Missing required parameter: refresh_token";
            return Err(oauth_error(400, "invalid_request", missing));
        };
        let mut users = self
            .users
            .iter()
            .filter(|user| user.client_id() == client)
            .peekable();
        if users.peek().is_none() {
            return Err(oauth_error(
                401,
                "invalid_client",
                "The OAuth client was not found.",
            ));
        }
        let secret = asked.field("client_secret").unwrap_or_default();
        let mut users = users
            .filter(|user| user.client_secret() == secret)
            .peekable();
        if users.peek().is_none() {
            let wrong = "The provided client secret is invalid.";
            return Err(oauth_error(401, "invalid_client", wrong));
        }
        let login = users.find(|user| user.refresh() == refresh_token);
        login
            .filter(|user| !self.is_login_revoked(user.email()))
            .ok_or_else(|| oauth_error(400, "invalid_grant", "Token has been expired or revoked."))
    }
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
