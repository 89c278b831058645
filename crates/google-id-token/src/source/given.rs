//! Tokens that somebody else has minted: whether one is for the audience that was asked for.

use tower_id_token::{Audience, Clock, ErrorKind, Expires, IdToken, SourceError};

use super::GCLOUD;
use crate::jwt::{Claims, id_token_from_jwt};

/// Whether gcloud's own tokens, which are for gcloud itself, are taken for any audience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Exemption {
    #[default]
    None,
    /// Cloud Run's.
    CloudRun,
}

/// A token, checked as far as can be without keys: its form, its audience, its end.
///
/// `origin` names it in messages; `late` is what its end means.
pub(super) fn check(
    origin: &str,
    jwt: &str,
    audience: &Audience,
    exemption: Exemption,
    late: (ErrorKind, &str),
) -> Result<IdToken, SourceError> {
    let wrong = |kind, what: &str| SourceError::new(kind, format!("{origin}: {what}"));
    let jwt = jwt.trim();
    if jwt.is_empty() {
        return Err(wrong(ErrorKind::Config, "there is nothing in it"));
    }
    let token = id_token_from_jwt(jwt)
        .map_err(|error| wrong(ErrorKind::Malformed, &format!("no ID token: {error}")))?;
    let aud = Claims::unverified(&token)?.aud.unwrap_or_default();
    let exempt = exemption == Exemption::CloudRun && GCLOUD.contains(&&*aud);
    if !exempt && !aud.split(", ").any(|aud| aud == audience.as_str()) {
        let hint = match GCLOUD.contains(&&*aud) {
            true => {
                ". It is a user's, for gcloud itself: only Cloud Run takes it, and only where \
                     you say so (`user_tokens_for_cloud_run`)"
            }
            false => "",
        };
        let what = format!("the token is for {aud:?}, and one for {audience} was asked for{hint}");
        return Err(wrong(ErrorKind::Config, &what));
    }
    if token.expires_at() <= Clock::default().now() {
        let when = httpdate::fmt_http_date(token.expires_at());
        return Err(wrong(
            late.0,
            &format!("the token expired on {when}: {}", late.1),
        ));
    }
    Ok(token)
}
