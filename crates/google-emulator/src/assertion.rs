//! The check of a service account's self-signed assertion.

use serde_json::Value;

use crate::{
    account::ServiceAccount,
    answer::{Refusal, oauth_error},
    asked::Asked,
    jws::Jws,
    key,
    world::World,
};

/// What a sound assertion asks for.
pub(crate) enum Wish {
    IdToken { audience: String },
    AccessToken { scopes: Vec<String> },
}

/// Checks the assertion of a token request in the order in which Google finds fault.
pub(crate) fn check<'a>(
    world: &'a World,
    asked: &Asked,
) -> Result<(&'a ServiceAccount, Wish), Refusal> {
    let Some(assertion) = asked.field("assertion") else {
        return Err(oauth_error(
            400,
            "invalid_request",
            "Missing required parameter: assertion",
        ));
    };
    let jws = Jws::parse(assertion).ok_or_else(|| invalid_grant("Bad Request"))?;
    let claim = |name: &str| jws.claims.get(name).and_then(Value::as_str);
    let account = claim("iss")
        .and_then(|iss| world.accounts.iter().find(|account| account.email() == iss))
        .ok_or_else(|| invalid_grant("Invalid grant: account not found"))?;
    if jws.key_id().is_some_and(|id| id != key::SERVICE_ACCOUNT.id)
        || !jws.is_signed_by(&key::SERVICE_ACCOUNT)
    {
        return Err(invalid_grant("Invalid JWT Signature."));
    }
    if !claim("aud").is_some_and(|audience| audience == asked.url() || audience == GOOGLE) {
        return Err(invalid_grant("Invalid JWT: Failed audience check."));
    }
    if !is_short_lived(&jws.claims, world.clock.unix()) {
        return Err(invalid_grant(NOT_SHORT_LIVED));
    }
    if claim("sub").is_some_and(|subject| subject != account.email()) {
        return Err(oauth_error(401, "unauthorized_client", NO_DELEGATION));
    }
    let wish = match (claim("target_audience"), claim("scope")) {
        (Some(audience), _) if !audience.is_empty() => Wish::IdToken {
            audience: audience.to_owned(),
        },
        (_, Some(scope)) if !scope.trim().is_empty() => Wish::AccessToken {
            scopes: scope.split_whitespace().map(str::to_owned).collect(),
        },
        _ => {
            let neither = "Invalid OAuth scope or ID token audience provided.";
            return Err(oauth_error(400, "invalid_scope", neither));
        }
    };
    Ok((account, wish))
}

fn is_short_lived(claims: &Value, now: i64) -> bool {
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
    let (Some(issued), Some(expires)) = (seconds("iat"), seconds("exp")) else {
        return false;
    };
    let lifetime = expires.saturating_sub(issued);
    (1..=HOUR + LEEWAY).contains(&lifetime) && issued <= now + SKEW && expires > now - SKEW
}

fn invalid_grant(description: &str) -> Refusal {
    oauth_error(400, "invalid_grant", description)
}

/// The audience that some libraries write whatever URL their file names.
const GOOGLE: &str = "https://oauth2.googleapis.com/token";

const NOT_SHORT_LIVED: &str = "Invalid JWT: Token must be a short-lived token (60 minutes) and in \
     a reasonable timeframe. Check your iat and exp values in the JWT claim.";

const NO_DELEGATION: &str = "Client is unauthorized to retrieve access tokens using this method, \
     or client not authorized for any of the scopes requested.";

const HOUR: i64 = 3600;

/// Some libraries date `iat` back by seconds without shortening the hour.
const LEEWAY: i64 = 60;

/// How far a client's clock may be off.
const SKEW: i64 = 300;
