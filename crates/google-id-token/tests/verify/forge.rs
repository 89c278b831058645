//! Signs whatever it is given, with the emulator's keys or with those of somebody else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use google_emulator::Emulator;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, signature};
use serde_json::{Value, json};

/// The keys of the emulated Google and IAP, and what sound tokens have in them.
pub(crate) struct Forge {
    google: RsaKeyPair,
    stranger: RsaKeyPair,
    iap: EcdsaKeyPair,
    pub(crate) key_id: &'static str,
    pub(crate) iap_key_id: &'static str,
    /// Seconds since 1970.
    pub(crate) now: u64,
    /// How far past the leeway what is too early is, in seconds.
    pub(crate) margin: u64,
}

impl Forge {
    pub(crate) fn new(emulator: &Emulator, now: u64) -> Self {
        Self {
            google: rsa(include_bytes!("../../../google-emulator/keys/google-1.pk8")),
            stranger: rsa(include_bytes!(
                "../../../google-emulator/keys/service-account.pk8"
            )),
            iap: EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                include_bytes!("../../../google-emulator/keys/iap-1.pk8"),
                &SystemRandom::new(),
            )
            .unwrap(),
            key_id: emulator.key_id(),
            iap_key_id: emulator.iap_key_id(),
            now,
            margin: 1,
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": "RS256", "kid": self.key_id, "typ": "JWT" })
    }

    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": "https://accounts.google.com",
            "aud": AUDIENCE,
            "azp": "100000000000000000001",
            "sub": "100000000000000000001",
            "email": EMAIL,
            "email_verified": true,
            "iat": self.now,
            "exp": self.now + 3600,
        })
    }

    pub(crate) fn iap_header(&self) -> Value {
        json!({ "alg": "ES256", "kid": self.iap_key_id, "typ": "JWT" })
    }

    pub(crate) fn iap_claims(&self) -> Value {
        json!({
            "iss": "https://cloud.google.com/iap",
            "aud": IAP_AUDIENCE,
            "azp": IAP_AUDIENCE,
            "sub": "accounts.google.com:100000000000000000001",
            "email": EMAIL,
            "hd": "example.com",
            "iat": self.now,
            "exp": self.now + 600,
        })
    }

    /// Signed by Google's key, whatever it is.
    pub(crate) fn sign(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        assemble(header, payload, |signed| sign(&self.google, signed))
    }

    /// Signed by a key that is none of Google's.
    pub(crate) fn sign_as_stranger(
        &self,
        header: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
    ) -> String {
        assemble(header, payload, |signed| sign(&self.stranger, signed))
    }

    /// Signed by IAP's key.
    pub(crate) fn sign_as_iap(
        &self,
        header: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
    ) -> String {
        assemble(header, payload, |signed| {
            let signature = self.iap.sign(&SystemRandom::new(), signed).unwrap();
            signature.as_ref().to_vec()
        })
    }

    /// A MAC by HS256, with Google's public key for its secret.
    pub(crate) fn mac(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let public = signature::KeyPair::public_key(&self.google)
            .as_ref()
            .to_vec();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &public);
        assemble(header, payload, |signed| {
            hmac::sign(&key, signed).as_ref().to_vec()
        })
    }

    /// A sound token with this claim in the place of its own, or without it for `null`.
    pub(crate) fn with(&self, claim: &str, value: Value) -> String {
        self.sign(
            self.header().to_string(),
            altered(self.claims(), claim, value),
        )
    }

    /// A sound assertion of IAP's with this claim in the place of its own.
    pub(crate) fn iap_with(&self, claim: &str, value: Value) -> String {
        let claims = altered(self.iap_claims(), claim, value);
        self.sign_as_iap(self.iap_header().to_string(), claims)
    }

    /// A sound token with this member in the place of its header's own, or without it for `null`.
    pub(crate) fn with_header(&self, member: &str, value: Value) -> String {
        self.sign(
            altered(self.header(), member, value),
            self.claims().to_string(),
        )
    }

    pub(crate) fn sound(&self) -> String {
        self.sign(self.header().to_string(), self.claims().to_string())
    }

    pub(crate) fn sound_iap(&self) -> String {
        self.sign_as_iap(self.iap_header().to_string(), self.iap_claims().to_string())
    }

    /// The modulus of the stranger's key, as a JWK has it.
    pub(crate) fn stranger_jwk(&self) -> Value {
        let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(self.stranger.public_key());
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.key_id,
            "n": encode(public.n), "e": encode(public.e),
        })
    }
}

/// The object as text, with one member changed.
pub(crate) fn altered(mut object: Value, member: &str, value: Value) -> String {
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(member);
    } else {
        members.insert(member.to_owned(), value);
    }
    object.to_string()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn assemble(
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn rsa(pkcs8: &[u8]) -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(pkcs8).unwrap()
}

fn sign(key: &RsaKeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message,
        &mut signature,
    )
    .unwrap();
    signature
}

pub(crate) const AUDIENCE: &str = "https://hello-abc123-uc.a.run.app";
pub(crate) const IAP_AUDIENCE: &str = "/projects/123456789012/global/backendServices/42";
pub(crate) const EMAIL: &str = "caller@demo-project.iam.gserviceaccount.com";
