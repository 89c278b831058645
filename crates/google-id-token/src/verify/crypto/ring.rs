//! By ring.

use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

/// A public key with the one algorithm that it is good for.
pub(in crate::verify) enum PublicKey {
    Rs256(RsaPublicKeyComponents<Vec<u8>>),
    Es256(UnparsedPublicKey<Vec<u8>>),
}

impl PublicKey {
    /// Of modulus and exponent, big-endian (RFC 7518, section 6.3.1).
    pub(in crate::verify) fn rs256(n: Vec<u8>, e: Vec<u8>) -> Option<Self> {
        Some(Self::Rs256(RsaPublicKeyComponents { n, e }))
    }

    /// Of a point of P-256, uncompressed (RFC 7518, section 6.2.1; SEC 1, section 2.3.3).
    pub(in crate::verify) fn es256(point: Vec<u8>) -> Option<Self> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        Some(Self::Es256(key))
    }

    pub(in crate::verify) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rs256(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Self::Es256(key) => key.verify(message, signature),
        }
        .is_ok()
    }
}

/// SHA-256.
pub(in crate::verify) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
