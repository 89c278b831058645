//! The JWT by which a service account's key asks for a token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_id_token::SourceError;

use crate::file::ServiceAccountFile;

/// What the assertion asks for.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// An ID token for this audience.
    Audience(&'a str),
    /// An access token with these scopes.
    Scopes(&'a str),
}

impl Wanted<'_> {
    /// A signed JWT (RFC 7523, section 3) as Google's token endpoint wants it: RS256, for the
    /// endpoint itself, good for an hour ([service accounts and OAuth]).
    ///
    /// [service accounts and OAuth]: https://developers.google.com/identity/protocols/oauth2/service-account
    pub(super) fn assertion(
        self,
        account: &ServiceAccountFile,
        now: SystemTime,
    ) -> Result<String, SourceError> {
        let issued = issued(now);
        let (claim, value) = match self {
            Self::Audience(audience) => ("target_audience", audience),
            Self::Scopes(scopes) => ("scope", scopes),
        };
        let mut claims = json!({
            "iss": account.email,
            "aud": account.token_endpoint.uri().to_string(),
            "iat": issued,
            "exp": issued + LIFE.as_secs(),
        });
        claims[claim] = json!(value);
        signed(account, &claims)
    }
}

/// What an account says of itself to an Identity-Aware Proxy, for this audience.
pub(super) fn own_claims(email: &str, audience: &str, now: SystemTime) -> Value {
    let issued = issued(now);
    json!({
        "iss": email,
        "sub": email,
        "aud": audience,
        "iat": issued,
        "exp": issued + LIFE.as_secs(),
    })
}

/// A JWT that is an access token itself ([AIP-4111]), and when it dies: there is no endpoint to
/// exchange it at outside googleapis.com.
///
/// [AIP-4111]: https://google.aip.dev/auth/4111
pub(super) fn access_token(
    account: &ServiceAccountFile,
    scopes: &str,
    now: SystemTime,
) -> Result<(String, SystemTime), SourceError> {
    let issued = issued(now);
    let expires = issued + LIFE.as_secs();
    let claims = json!({
        "iss": account.email,
        "sub": account.email,
        "scope": scopes,
        "iat": issued,
        "exp": expires,
    });
    let expires_at = UNIX_EPOCH + Duration::from_secs(expires);
    Ok((signed(account, &claims)?, expires_at))
}

/// These claims as a JWT, signed by the account's key.
pub(super) fn signed(account: &ServiceAccountFile, claims: &Value) -> Result<String, SourceError> {
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(id) = &account.key_id {
        header["kid"] = json!(id);
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut jwt = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let signature = account.signer.sign(jwt.as_bytes())?;
    jwt.push('.');
    jwt.push_str(&encode(&signature));
    Ok(jwt)
}

/// In seconds since the epoch.
fn issued(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(BACKDATED)
        .as_secs()
}

/// Clocks differ: a JWT from the endpoint's future is refused.
const BACKDATED: Duration = Duration::from_secs(10);
/// The longest that the endpoint takes.
const LIFE: Duration = Duration::from_secs(3600);
