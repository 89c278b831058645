//! The source of public keys: a tower service that asks the issuer for them.

use ::http::Uri;
use tower_id_token::{Clock, Source, SourceError};

use super::Issuer;
use super::keys::{Keys, freshness};
use crate::HttpClient;
use crate::http::{Call, deadline};

/// Fetches an issuer's keys from this address.
pub(super) fn keys(
    http: HttpClient,
    issuer: Issuer,
    uri: Uri,
    clock: Clock,
) -> impl Source<(), Value = Keys> {
    tower::service_fn(move |()| {
        let (http, uri, clock) = (http.clone(), uri.clone(), clock.clone());
        async move { fetch(&http, issuer, uri, &clock).await }
    })
}

async fn fetch(
    http: &HttpClient,
    issuer: Issuer,
    uri: Uri,
    clock: &Clock,
) -> Result<Keys, SourceError> {
    let whom = match issuer {
        Issuer::Google => "the list of Google's public keys",
        Issuer::Iap => "the list of IAP's public keys",
    };
    let answer = http.ask(Call::get(whom, uri, deadline()), |_| None).await?;
    let fresh = freshness(&answer.headers);
    // For as long again, and an hour at most, they serve where there are no newer ones to be had.
    let expires_at = clock.now() + fresh + fresh.min(GRACE);
    Keys::read(&answer.json()?, issuer.algorithm(), expires_at)
        .ok_or_else(|| answer.malformed("no key that could be of use"))
}

/// How long keys serve after the time that they are good for, while new ones cannot be had. It is
/// also how long before their end a cache is to renew them.
pub(super) const GRACE: std::time::Duration = std::time::Duration::from_secs(60 * 60);
