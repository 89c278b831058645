//! By aws-lc-rs.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};

/// A public key with the one algorithm that it is good for.
pub(in crate::verify) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Of modulus and exponent, big-endian (RFC 7518, section 6.3.1). `None` where they are no key.
    pub(in crate::verify) fn rs256(n: Vec<u8>, e: Vec<u8>) -> Option<Self> {
        let key = RsaPublicKeyComponents { n, e };
        let key = key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        key.ok().map(Self)
    }

    /// Of a point of P-256, uncompressed (RFC 7518, section 6.2.1; SEC 1, section 2.3.3). `None`
    /// where it is not on the curve.
    pub(in crate::verify) fn es256(point: Vec<u8>) -> Option<Self> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
        key.ok().map(Self)
    }

    pub(in crate::verify) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

/// SHA-256.
pub(in crate::verify) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
