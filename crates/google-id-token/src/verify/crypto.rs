//! Signatures and hashes, by whichever of the two libraries this build has.

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
use aws_lc_rs as backend;
#[cfg(feature = "ring")]
use ring as backend;

/// A public key with the one algorithm that it is good for.
#[derive(PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Modulus and exponent, big-endian (RFC 7518, section 6.3.1).
    Rs256 { n: Vec<u8>, e: Vec<u8> },
    /// A point of P-256, uncompressed (RFC 7518, section 6.2.1; SEC 1, section 2.3.3).
    Es256 { point: Vec<u8> },
}

impl PublicKey {
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        use self::backend::signature::{
            ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
            UnparsedPublicKey,
        };
        match self {
            Self::Rs256 { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Self::Es256 { point } => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
        }
    }

    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    pub(super) fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
        false
    }
}

/// SHA-256.
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub(super) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = backend::digest::digest(&backend::digest::SHA256, bytes);
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
pub(super) fn hash(_: &[u8]) -> [u8; 32] {
    [0; 32]
}

/// Whether this build can check anything; no [`Verifier`](super::Verifier) is built where not.
pub(super) const AVAILABLE: bool = cfg!(any(feature = "ring", feature = "aws-lc-rs"));
