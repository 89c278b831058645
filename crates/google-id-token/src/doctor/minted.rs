//! What a token says: everything but its signature.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tower_id_token::{Audience, Clock, Expires, IdToken, SourceError};

use super::{Finding, Report, Severity, Step};
use crate::Claims;
use crate::source::GCLOUD;

/// What a minted ID token says. Times are in seconds since 1970, spans in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Minted {
    /// Who minted it.
    pub iss: Option<String>,
    /// Whom it is for.
    pub aud: Option<String>,
    /// Whom it stands for, by number.
    pub sub: Option<String>,
    /// Whom it stands for, by e-mail.
    pub email: Option<String>,
    /// When it was minted, by its minter's clock.
    pub iat: Option<u64>,
    /// When it dies.
    pub exp: u64,
    /// Its whole life, from `iat` to `exp`.
    pub lifetime: Option<u64>,
    /// What is left of it, by this machine's clock.
    pub left: u64,
}

impl Minted {
    pub(super) fn read(token: &IdToken) -> Result<Self, SourceError> {
        let claims = Claims::unverified(token)?;
        let exp = unix(token.expires_at());
        let iat = claims.iat.map(unix);
        let now = Clock::default().now();
        let left = token.expires_at().duration_since(now).unwrap_or_default();
        Ok(Self {
            iss: claims.iss,
            aud: claims.aud,
            sub: claims.sub,
            email: claims.email,
            iat,
            exp,
            lifetime: iat.map(|iat| exp.saturating_sub(iat)),
            left: left.as_secs(),
        })
    }
}

impl Minted {
    /// Whether it is a user's, for gcloud itself: Cloud Run takes it for any audience.
    pub(super) fn is_gclouds(&self) -> bool {
        self.aud.as_deref().is_some_and(|aud| GCLOUD.contains(&aud))
    }
}

impl Report {
    /// Takes a token's word for who this is, and says what is strange about it.
    pub(super) fn take(&mut self, minted: Minted, audience: &Audience) {
        let email = minted.email.clone();
        let for_whom = minted.aud.clone().unwrap_or_default();
        if let Some(identity) = &mut self.identity
            && identity.principal.is_none()
        {
            identity.principal.clone_from(&email);
        }
        let minutes = minted.left.div_ceil(60);
        if for_whom == audience.as_str() {
            let who = email
                .as_deref()
                .unwrap_or("an account that it does not name");
            let message =
                format!("an ID token of {who} for {for_whom}, good for {minutes} more minutes");
            self.add(Finding::new(Step::Token, Severity::Good, message));
        } else if minted.is_gclouds() {
            self.add(Finding::new(
                Step::Token,
                Severity::Warning,
                format!(
                    "the token is a user's and for gcloud itself ({for_whom}), whatever audience \
                     is asked for: Cloud Run takes it, Identity-Aware Proxy and everything else \
                     do not"
                ),
            ));
        } else {
            self.add(Finding::new(
                Step::Token,
                Severity::Problem,
                format!("the token is for {for_whom}, and {audience} was asked for"),
            ));
        }
        self.token = Some(minted);
        if email.is_none() {
            self.add(Finding::new(
                Step::Token,
                Severity::Warning,
                "the token names no e-mail: Identity-Aware Proxy refuses it, and so do allow-lists \
                 of e-mails",
            ));
        }
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
