//! Finds the token of a request: the one header of several whose token can be checked here.

use ::http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::token::SIGNATURE_REMOVED;
use super::{Issuer, RefusalKind};

/// A token, the header that it was found in, and who is to have issued it.
#[derive(Debug, PartialEq)]
pub(super) struct Picked<'a> {
    pub(super) token: &'a str,
    pub(super) header: HeaderName,
    pub(super) issuer: Issuer,
}

/// Looks where this issuer's tokens are put: an assertion of IAP's in a header of its own; a token
/// of Google's in `X-Serverless-Authorization` or `Authorization`.
///
/// Of those two the first one wins that has a whole JWT in it: callers take the first where the
/// second is the application's own, and Cloud Run removes the signature from the one that it has
/// checked.
pub(super) fn pick(
    headers: &HeaderMap,
    google: bool,
    iap: bool,
) -> Result<Picked<'_>, RefusalKind> {
    if iap && let Some(token) = only(headers, &IAP_ASSERTION)? {
        return Ok(Picked {
            token,
            header: IAP_ASSERTION,
            issuer: Issuer::Iap,
        });
    }
    let mut refusal = RefusalKind::Missing;
    if !google {
        return Err(refusal);
    }
    for header in [SERVERLESS, AUTHORIZATION] {
        let Some(token) = only(headers, &header)?.and_then(bearer) else {
            continue;
        };
        match token.rsplit_once('.') {
            Some((_, SIGNATURE_REMOVED)) => refusal = RefusalKind::SignatureRemoved,
            // Three parts, or so many that it is no access token.
            Some((signed, _)) if signed.contains('.') => {
                return Ok(Picked {
                    token,
                    header,
                    issuer: Issuer::Google,
                });
            }
            _ if refusal == RefusalKind::Missing => refusal = RefusalKind::NotJwt,
            _ => {}
        }
    }
    Err(refusal)
}

/// The header's value, if it is there; never one of several.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, RefusalKind> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(RefusalKind::Ambiguous);
    }
    value.to_str().map(Some).map_err(|_| RefusalKind::Encoding)
}

/// The token of `Bearer <token>` (RFC 6750, section 2.1); the scheme is in any case of letters
/// (RFC 9110, section 11.1).
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("Bearer")
        .then(|| token.trim_matches(' '))
}

const IAP_ASSERTION: HeaderName = HeaderName::from_static("x-goog-iap-jwt-assertion");
pub(super) const SERVERLESS: HeaderName = HeaderName::from_static("x-serverless-authorization");
