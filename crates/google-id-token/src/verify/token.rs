//! Takes a token apart, as far as that goes without a key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::RefusalKind;
use super::issuer::Algorithm;
use super::json::{Scalar, members};

/// A signed token as it came; nothing about it is checked yet but its form.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: String,
    /// What the signature is over: header and payload, as they came.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Reads the compact form (RFC 7515, section 3.1) and the header.
    pub(super) fn parse(token: &'a str) -> Result<Self, RefusalKind> {
        if token.len() > LONGEST {
            return Err(RefusalKind::TooLong);
        }
        if !token.is_ascii() {
            return Err(RefusalKind::Encoding);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(RefusalKind::NotJwt);
        };
        if signature == SIGNATURE_REMOVED {
            return Err(RefusalKind::SignatureRemoved);
        }
        let header = Header::read(header)?;
        Ok(Self {
            algorithm: header.algorithm,
            key_id: header.key_id,
            signed: &token[..token.len() - signature.len() - 1],
            signature: decode(signature)?,
            payload: decode(payload)?,
        })
    }
}

struct Header {
    algorithm: Algorithm,
    key_id: String,
}

impl Header {
    fn read(part: &str) -> Result<Self, RefusalKind> {
        let json = decode(part)?;
        let [alg, kid, typ, cty, crit] = members(
            &json,
            ["alg", "kid", "typ", "cty", "crit"],
            RefusalKind::Header,
        )?;
        if crit.is_some() {
            return Err(RefusalKind::Critical);
        }
        // Other kinds of JWT say so (RFC 8725, section 3.11), and nested ones do (RFC 7519, 5.2).
        let is_jwt =
            |typ: &Scalar<'_>| matches!(typ, Scalar::Text(typ) if typ.eq_ignore_ascii_case("JWT"));
        if !typ.as_ref().is_none_or(is_jwt) || cty.is_some() {
            return Err(RefusalKind::Header);
        }
        let algorithm = match alg {
            Some(Scalar::Text(alg)) => Algorithm::named(&alg),
            _ => None,
        };
        let algorithm = algorithm.ok_or(RefusalKind::Algorithm)?;
        match kid {
            Some(Scalar::Text(kid)) if !kid.is_empty() => Ok(Self {
                algorithm,
                key_id: kid.into_owned(),
            }),
            _ => Err(RefusalKind::UnknownKey),
        }
    }
}

/// Base64url without padding, in its one canonical form (RFC 7515, section 2).
fn decode(part: &str) -> Result<Vec<u8>, RefusalKind> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| RefusalKind::Encoding)
}

/// Google's own tokens have some 1,000 bytes; those with all of a machine's licenses, 2,000.
pub(super) const LONGEST: usize = 16 * 1024;
/// What Cloud Run leaves of a signature.
pub(super) const SIGNATURE_REMOVED: &str = "SIGNATURE_REMOVED_BY_GOOGLE";
