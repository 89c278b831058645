//! The IAM Service Account Credentials API: tokens of one account for another principal.

use std::time::Duration;

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    access::Access,
    account::ServiceAccount,
    answer::{self, Answer, ApiStatus, Refusal, api_error},
    asked::Asked,
    endpoint::Endpoint,
    fault::Mint,
    grant::Permission,
    jws::{self, Jws},
    key,
    mint::IdToken,
    world::{World, seconds},
};

impl World {
    pub(crate) fn iam(
        &self,
        endpoint: Endpoint,
        asked: &Asked,
        fault: Option<&Mint>,
    ) -> (Answer, Option<String>) {
        let caller = match self.caller(asked) {
            Ok(caller) => caller,
            Err(refusal) => return (*refusal, None),
        };
        let answer = match endpoint {
            Endpoint::GenerateIdToken => self.generate_id_token(&caller.email, asked, fault),
            Endpoint::GenerateAccessToken => self.generate_access_token(&caller.email, asked),
            _ => self.sign_jwt(&caller.email, asked),
        };
        (
            answer.unwrap_or_else(|refusal| *refusal),
            Some(caller.email),
        )
    }

    fn generate_id_token(
        &self,
        caller: &str,
        asked: &Asked,
        fault: Option<&Mint>,
    ) -> Result<Answer, Refusal> {
        let account = self.authorize(caller, Permission::OpenIdToken, asked)?;
        let audience = asked
            .field("audience")
            .filter(|audience| !audience.is_empty());
        let audience = audience.ok_or_else(|| invalid("Audience must be specified."))?;
        let with_email = asked.flag("includeEmail");
        let wish = IdToken {
            audience,
            subject: account.unique_id(),
            authorized_party: match asked.flag("useEmailAzp") {
                true => account.email().to_owned(),
                false => account.unique_id(),
            },
            email: with_email.then(|| account.email()),
            more: Value::Null,
        };
        Ok(answer::json(
            200,
            &json!({ "token": self.id_token(wish, fault) }),
        ))
    }

    fn generate_access_token(&self, caller: &str, asked: &Asked) -> Result<Answer, Refusal> {
        let account = self.authorize(caller, Permission::AccessToken, asked)?;
        let scopes = asked.list("scope");
        if scopes.is_empty() {
            return Err(invalid("Scope required."));
        }
        let lifetime = match asked.field("lifetime") {
            None => self.access_token_lifetime,
            Some(text) => lifetime(text).ok_or_else(|| {
                invalid("The access token lifetime must be positive and at most 43200s.")
            })?,
        };
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        let token = self.access_token(account.email(), scopes, lifetime);
        let expires = OffsetDateTime::from_unix_timestamp(self.clock.unix() + seconds(lifetime))
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok());
        Ok(answer::json(
            200,
            &json!({ "accessToken": token, "expireTime": expires }),
        ))
    }

    fn sign_jwt(&self, caller: &str, asked: &Asked) -> Result<Answer, Refusal> {
        self.authorize(caller, Permission::SignJwt, asked)?;
        let claims: Value = asked
            .field("payload")
            .and_then(|payload| serde_json::from_str(payload).ok())
            .filter(Value::is_object)
            .ok_or_else(|| invalid("The payload must be a JSON object."))?;
        let expires = claims.get("exp").and_then(Value::as_i64);
        if expires.is_some_and(|exp| exp > self.clock.unix() + seconds(LONGEST)) {
            return Err(invalid(
                "The 'exp' must be no more than 12 hours in the future.",
            ));
        }
        let key = &*key::SERVICE_ACCOUNT;
        let signed = jws::sign(&claims, key);
        Ok(answer::json(
            200,
            &json!({ "keyId": key.id, "signedJwt": signed }),
        ))
    }

    /// Whose access token this is.
    fn caller(&self, asked: &Asked) -> Result<Access, Refusal> {
        let Some(token) = asked.bearer() else {
            let message = "Request is missing required authentication credential. Expected OAuth 2 \
                 access token, login cookie or other valid authentication credential.";
            let reason = error_info("CREDENTIALS_MISSING", "googleapis.com");
            return Err(api_error(ApiStatus::Unauthenticated, message, Some(reason)));
        };
        let access = self.access_of(token).ok_or_else(|| {
            let message = "Request had invalid authentication credentials. Expected OAuth 2 access \
                 token, login cookie or other valid authentication credential.";
            let reason = error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED", "googleapis.com");
            api_error(ApiStatus::Unauthenticated, message, Some(reason))
        })?;
        if !access.covers_iam() {
            let message = "Request had insufficient authentication scopes.";
            let reason = error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com");
            return Err(api_error(
                ApiStatus::PermissionDenied,
                message,
                Some(reason),
            ));
        }
        Ok(access)
    }

    /// What a bearer token stands for: one that was minted here, or one that a service account has
    /// signed itself (AIP-4111).
    fn access_of(&self, token: &str) -> Option<Access> {
        let now = self.clock.unix();
        if let Some(access) = self.access_tokens.find(token, now) {
            return Some(access);
        }
        let jws = Jws::parse(token)?;
        let text = |name: &str| jws.claims.get(name).and_then(Value::as_str);
        let seconds = |name: &str| jws.claims.get(name).and_then(Value::as_i64);
        let account = self.account(text("iss")?)?;
        let (issued, expires) = (seconds("iat")?, seconds("exp")?);
        let sound = text("sub") == text("iss")
            && jws.key_id().is_none_or(|id| id == key::SERVICE_ACCOUNT.id)
            && jws.is_signed_by(&key::SERVICE_ACCOUNT)
            && issued <= now
            && expires > now
            && expires - issued <= HOUR;
        sound.then(|| Access {
            email: account.email().to_owned(),
            scopes: text("scope")
                .unwrap_or_default()
                .split(' ')
                .map(str::to_owned)
                .collect(),
            expires,
        })
    }

    /// The account of the path, if the caller may do this with it, link by link.
    fn authorize(
        &self,
        caller: &str,
        permission: Permission,
        asked: &Asked,
    ) -> Result<&ServiceAccount, Refusal> {
        let target = self.named(asked.parts.uri.path())?;
        let mut hand = caller;
        for delegate in asked.list("delegates") {
            let delegate = self.named(delegate)?;
            self.require(hand, Permission::ImplicitDelegation, delegate)?;
            hand = delegate.email();
        }
        self.require(hand, permission, target)?;
        Ok(target)
    }

    fn require(
        &self,
        member: &str,
        permission: Permission,
        account: &ServiceAccount,
    ) -> Result<(), Refusal> {
        if self.policy.allows(member, permission, account.email()) {
            return Ok(());
        }
        let name = permission.name();
        let message = format!("Permission '{name}' denied on resource (or it may not exist).");
        let mut reason = error_info("IAM_PERMISSION_DENIED", "iam.googleapis.com");
        reason["metadata"] = json!({ "permission": name });
        Err(api_error(
            ApiStatus::PermissionDenied,
            &message,
            Some(reason),
        ))
    }

    /// The account that a resource name, or a path that starts with one, names.
    fn named(&self, resource: &str) -> Result<&ServiceAccount, Refusal> {
        let resource = percent_encoding::percent_decode_str(resource).decode_utf8_lossy();
        let mut parts = resource.trim_start_matches("/v1/").split('/');
        let (Some("projects"), Some(project), Some("serviceAccounts"), Some(name), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(invalid(
                "Invalid form of account ID. Should be projects/-/serviceAccounts/…",
            ));
        };
        let name = name.split(':').next().unwrap_or_default();
        self.account(name)
            .filter(|account| project == "-" || project == account.project())
            .ok_or_else(|| {
                let message = format!("Not found; Gaia id not found for email {name}");
                api_error(ApiStatus::NotFound, &message, None)
            })
    }
}

fn lifetime(text: &str) -> Option<Duration> {
    let lifetime = Duration::from_secs(text.strip_suffix('s')?.parse().ok()?);
    (!lifetime.is_zero() && lifetime <= LONGEST).then_some(lifetime)
}

fn invalid(message: &str) -> Refusal {
    api_error(ApiStatus::InvalidArgument, message, None)
}

fn error_info(reason: &str, domain: &str) -> Value {
    json!({ "reason": reason, "domain": domain })
}

const HOUR: i64 = 3600;

/// Twelve hours, the most that IAM ever allows.
const LONGEST: Duration = Duration::from_secs(43_200);
