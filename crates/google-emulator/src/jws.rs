//! JSON Web Signatures in their compact form: written, taken apart, and checked by RS256.

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{
        DecodePaddingMode, GeneralPurpose,
        general_purpose::{NO_PAD, URL_SAFE_NO_PAD},
    },
};
use serde_json::{Value, json};

use crate::key::Key;

/// A signed token as it came, taken apart; nothing about it is checked yet.
pub(crate) struct Jws<'a> {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart; `None` if it is not three parts, two of them JSON objects.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed,
            signature: LENIENT.decode(signature).ok()?,
        })
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.header.get("kid")?.as_str()
    }

    /// Whether the token says RS256 and `key` has signed it so.
    pub(crate) fn is_signed_by(&self, key: &Key) -> bool {
        self.header.get("alg").and_then(Value::as_str) == Some("RS256")
            && key.verifies(self.signed.as_bytes(), &self.signature)
    }
}

/// Signs `claims` with the header that Google writes.
pub(crate) fn sign(claims: &Value, key: &Key) -> String {
    sign_with(
        &json!({ "alg": "RS256", "kid": key.id, "typ": "JWT" }),
        claims,
        key,
    )
}

/// Signs `claims` by RS256, whatever `header` says.
pub(crate) fn sign_with(header: &Value, claims: &Value, key: &Key) -> String {
    sign_by(header, claims, |signed| key.sign(signed))
}

/// Signs `claims` under `header` in this way.
pub(crate) fn sign_by(
    header: &Value,
    claims: &Value,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The claims of a token whose signature is somebody else's business (or is gone).
pub(crate) fn unchecked_claims(token: &str) -> Option<Value> {
    object(token.split('.').nth(1)?)
}

fn object(part: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&LENIENT.decode(part).ok()?).ok()?;
    value.is_object().then_some(value)
}

/// Google takes assertions with padding too, which is what gcp_auth writes.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
