//! Signatures and hashes, by whichever of the two libraries this build has: by aws-lc-rs where it
//! has both, because that one keeps a key as it needs it, where ring reads it anew for each
//! signature.

#[cfg(feature = "aws-lc-rs")]
#[path = "crypto/aws_lc_rs.rs"]
mod backend;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
#[path = "crypto/ring.rs"]
mod backend;
#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
#[path = "crypto/none.rs"]
mod backend;

pub(super) use self::backend::{PublicKey, hash};

/// Whether this build can check anything; no [`Verifier`](super::Verifier) is built where not.
pub(super) const AVAILABLE: bool = cfg!(any(feature = "ring", feature = "aws-lc-rs"));
