//! Takes a token apart, as far as that goes without a key.

use std::borrow::Cow;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{Engine, decoded_len_estimate};

use super::RefusalKind;
use super::headers::{Header, Known};
use super::issuer::Algorithm;
use super::json::{Scalar, members};

/// A signed token as it came; nothing about it is checked yet but its form.
pub(super) struct Token<'a> {
    /// Borrowed where it is one that is known.
    pub(super) header: Cow<'a, Header>,
    /// The header as it came.
    pub(super) header_part: &'a str,
    /// What the signature is over: header and payload, as they came.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Reads the compact form (RFC 7515, section 3.1), and the header if it is not a known one.
    pub(super) fn parse(token: &'a str, known: Option<&'a Known>) -> Result<Self, RefusalKind> {
        if token.len() > LONGEST {
            return Err(RefusalKind::TooLong);
        }
        if !token.is_ascii() {
            return Err(RefusalKind::Encoding);
        }
        let parts = token.rsplit_once('.').and_then(|(signed, signature)| {
            let (header, payload) = signed.split_once('.')?;
            Some((signed, header, payload, signature))
        });
        let (signed, header_part, payload, signature) = parts.ok_or(RefusalKind::NotJwt)?;
        let read = || {
            if signature == SIGNATURE_REMOVED {
                return Err(RefusalKind::SignatureRemoved);
            }
            let header = match known.and_then(|known| known.find(header_part)) {
                Some(header) => Cow::Borrowed(header),
                None => Cow::Owned(Header::read(header_part)?),
            };
            Ok(Self {
                header,
                header_part,
                signed,
                signature: decode(signature)?,
                payload: decode(payload)?,
            })
        };
        // More than three parts are not base64url, and are seen to only where that was found.
        read().map_err(|kind| match payload.contains('.') {
            true => RefusalKind::NotJwt,
            false => kind,
        })
    }
}

impl Header {
    fn read(part: &str) -> Result<Self, RefusalKind> {
        let json = String::from_utf8(decode(part)?).map_err(|_| RefusalKind::Header)?;
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
    // Allocated here, because base64 asks for zeroed memory, which takes longer to come.
    let mut bytes = Vec::with_capacity(decoded_len_estimate(part.len()));
    match URL_SAFE_NO_PAD.decode_vec(part, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(RefusalKind::Encoding),
    }
}

/// Google's own tokens have some 1,000 bytes; those with all of a machine's licenses, 2,000.
pub(super) const LONGEST: usize = 16 * 1024;
/// What Cloud Run leaves of a signature.
pub(super) const SIGNATURE_REMOVED: &str = "SIGNATURE_REMOVED_BY_GOOGLE";
