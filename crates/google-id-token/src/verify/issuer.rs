//! Who issues tokens: Google for its accounts, and Identity-Aware Proxy for whom it lets through.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::key_ring::KeyRing;

/// One of the two issuers that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Issuer {
    /// Google's accounts, for service accounts and users: RS256, `https://accounts.google.com` or
    /// `accounts.google.com`.
    Google,
    /// Identity-Aware Proxy: ES256, `https://cloud.google.com/iap`.
    Iap,
}

impl Issuer {
    pub(super) fn algorithm(self) -> Algorithm {
        match self {
            Self::Google => Algorithm::Rs256,
            Self::Iap => Algorithm::Es256,
        }
    }

    /// The values of `iss` that are its own.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Google => &["https://accounts.google.com", "accounts.google.com"],
            Self::Iap => &["https://cloud.google.com/iap"],
        }
    }

    /// How long its tokens live at most, from `iat` to `exp`.
    pub(super) fn longest_life(self) -> Duration {
        match self {
            // An hour as a rule; a day is what Google's own library for Node allows.
            Self::Google => Duration::from_secs(24 * 60 * 60),
            // "Securing your app with signed headers", IAP's documentation.
            Self::Iap => Duration::from_secs(10 * 60),
        }
    }

    /// Where its public keys are.
    pub(super) fn keys_url(self) -> &'static str {
        match self {
            Self::Google => "https://www.googleapis.com/oauth2/v3/certs",
            Self::Iap => "https://www.gstatic.com/iap/verify/public_key-jwk",
        }
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Google => "Google",
            Self::Iap => "IAP",
        })
    }
}

/// The algorithms of RFC 7518, section 3.1, that an issuer signs with. There is no other one here
/// to be talked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// An issuer that a verifier listens to, with its keys and the audiences that it may name.
pub(super) struct Trusted {
    pub(super) issuer: Issuer,
    pub(super) audiences: Vec<Arc<str>>,
    pub(super) keys: Arc<KeyRing>,
}
