//! Identity-Aware Proxy: its keys, the assertions that it signs with them, and where it lists them.
//!
//! They are test keys, public in this crate's source: whoever trusts them trusts everybody.

use std::{fmt, sync::LazyLock};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Map, Value, json};

use crate::{
    account::ServiceAccount,
    answer::{self, Answer},
    asked::Asked,
    claims::Claims,
    key::hex,
    world::World,
};

/// One key of P-256.
pub(crate) struct IapKey {
    pub(crate) id: String,
    pair: EcdsaKeyPair,
}

/// The keys that assertions are signed with, in the order of their rotation.
pub(crate) static IAP: LazyLock<[IapKey; 2]> = LazyLock::new(|| {
    [
        IapKey::new(include_bytes!("../keys/iap-1.pk8")),
        IapKey::new(include_bytes!("../keys/iap-2.pk8")),
    ]
});

impl IapKey {
    fn new(pkcs8: &[u8]) -> Self {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .expect("a checked-in key is a key");
        let hash = digest::digest(&digest::SHA256, pair.public_key().as_ref());
        let id = hex(&hash.as_ref()[..3]);
        Self { id, pair }
    }

    /// Signs by ES256: R and S, 32 bytes each (RFC 7518, section 3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature
            .expect("the system has randomness")
            .as_ref()
            .to_vec()
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    fn pem(&self) -> String {
        let key = [SPKI, self.pair.public_key().as_ref()].concat();
        let text = STANDARD.encode(key);
        let (first, second) = text.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }
}

impl fmt::Debug for IapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IapKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl World {
    /// The key that IAP signs with now.
    pub(crate) fn iap_key(&self) -> &'static IapKey {
        &IAP[self.rotated() % 2]
    }

    pub(crate) fn iap_keys(&self, asked: &Asked) -> Answer {
        let before = (self.rotated() > 0).then(|| &IAP[(self.rotated() + 1) % 2]);
        let keys = std::iter::once(self.iap_key()).chain(before);
        let keys = if asked.parts.uri.path().ends_with("-jwk") {
            json!({ "keys": keys.map(IapKey::jwk).collect::<Vec<_>>() })
        } else {
            keys.map(|key| (key.id.clone(), Value::from(key.pem())))
                .collect::<Map<_, _>>()
                .into()
        };
        let mut answer = answer::json(200, &keys);
        self.say_how_long(&mut answer);
        answer
    }

    /// The claims of a sound assertion about anybody's e-mail.
    pub(crate) fn iap_claims(&self, email: &str, audience: &str) -> Claims {
        let now = self.clock.unix();
        Claims {
            iss: "https://cloud.google.com/iap".to_owned(),
            aud: audience.to_owned(),
            sub: format!(
                "accounts.google.com:{}",
                ServiceAccount::new(email).unique_id()
            ),
            azp: Some(audience.to_owned()),
            email: Some(email.to_owned()),
            email_verified: None,
            iat: now,
            exp: now + LIFETIME,
            more: Map::new(),
        }
    }
}

/// Ten minutes, in seconds.
const LIFETIME: i64 = 600;

/// What a P-256 point has before it as a SubjectPublicKeyInfo (RFC 5480, section 2).
const SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
