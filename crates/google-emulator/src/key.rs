//! The RSA keys that sign: Google's two, in rotation, and the one of every emulated account.
//!
//! They are test keys, public in this crate's source: whoever trusts them trusts everybody.

use std::{fmt, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents},
};
use serde_json::{Value, json};

/// One RSA key with its certificate.
pub(crate) struct Key {
    /// What JWT headers call it: 40 hexadecimal digits, like Google's.
    pub(crate) id: String,
    /// A self-signed certificate in PEM, valid from 2020 to 2120.
    pub(crate) certificate: &'static str,
    pkcs8: &'static [u8],
    pair: RsaKeyPair,
}

/// The keys that Google signs ID tokens with, in the order of their rotation.
pub(crate) static GOOGLE: LazyLock<[Key; 2]> = LazyLock::new(|| {
    [
        Key::new(
            include_bytes!("../keys/google-1.pk8"),
            include_str!("../keys/google-1.crt"),
        ),
        Key::new(
            include_bytes!("../keys/google-2.pk8"),
            include_str!("../keys/google-2.crt"),
        ),
    ]
});

/// The key in every emulated service account's key file, which `signJwt` uses as well.
pub(crate) static SERVICE_ACCOUNT: LazyLock<Key> = LazyLock::new(|| {
    Key::new(
        include_bytes!("../keys/service-account.pk8"),
        include_str!("../keys/service-account.crt"),
    )
});

impl Key {
    fn new(pkcs8: &'static [u8], certificate: &'static str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).expect("a checked-in key is a key");
        let hash = digest::digest(&digest::SHA256, pair.public().as_ref());
        Self {
            id: hex(&hash.as_ref()[..20]),
            certificate,
            pkcs8,
            pair,
        }
    }

    /// Signs by RS256.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .expect("the buffer has the size of the key's modulus");
        signature
    }

    /// Whether `signature` is this key's RS256 signature of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.components()
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .is_ok()
    }

    /// The public half as a JSON Web Key.
    pub(crate) fn jwk(&self) -> Value {
        let RsaPublicKeyComponents { n, e } = self.components();
        let encode = |bytes| general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.id,
            "n": encode(n), "e": encode(e),
        })
    }

    /// The private half in PEM (PKCS#8), as credential files carry it.
    pub(crate) fn private_pem(&self) -> String {
        let text = general_purpose::STANDARD.encode(self.pkcs8);
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|&byte| char::from(byte)));
            pem.push('\n');
        }
        pem + "-----END PRIVATE KEY-----\n"
    }

    fn components(&self) -> RsaPublicKeyComponents<Vec<u8>> {
        RsaPublicKeyComponents::from(self.pair.public())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
