//! The emulated world that all endpoints share: who exists, who may what, and what time it is.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{
    access::{Access, AccessTokens, CLOUD_PLATFORM},
    account::{ServiceAccount, User},
    claims::{Claims, Rejection},
    clock::Clock,
    faults::Faults,
    federation::Federation,
    grant::Policy,
    journal::Journal,
    jws::Jws,
    key::{self, Key},
    metadata::MetadataServer,
    run::RunService,
};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) accounts: Vec<ServiceAccount>,
    pub(crate) users: Vec<User>,
    pub(crate) services: Vec<RunService>,
    pub(crate) metadata: MetadataServer,
    pub(crate) federation: Federation,
    pub(crate) policy: Policy,
    pub(crate) id_token_lifetime: Duration,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) certs_max_age: Duration,
    pub(crate) certs_age: Duration,
    /// OAuth clients whose users' ID tokens Cloud Run accepts for any service.
    pub(crate) exempt_clients: Vec<String>,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) revoked_logins: Mutex<HashSet<String>>,
    pub(crate) rotations: AtomicUsize,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
}

impl World {
    /// Finds a service account by its e-mail or its unique id.
    pub(crate) fn account(&self, name: &str) -> Option<&ServiceAccount> {
        self.accounts
            .iter()
            .find(|account| account.email() == name || account.unique_id() == name)
    }

    /// The e-mail of a configured principal with this unique id.
    pub(crate) fn email_of(&self, unique_id: &str) -> Option<&str> {
        let accounts = self
            .accounts
            .iter()
            .map(|account| (account.email(), account.unique_id()));
        let users = self
            .users
            .iter()
            .map(|user| (user.email(), user.unique_id()));
        accounts
            .chain(users)
            .find(|(_, id)| id == unique_id)
            .map(|(email, _)| email)
    }

    /// The key that signs now.
    pub(crate) fn signing_key(&self) -> &'static Key {
        &key::GOOGLE[self.rotated() % 2]
    }

    /// How often the keys have been rotated.
    pub(crate) fn rotated(&self) -> usize {
        self.rotations.load(Ordering::Relaxed)
    }

    /// The keys that certs list: the signing one, and since the first rotation the one before.
    pub(crate) fn published_keys(&self) -> Vec<&'static Key> {
        let rotations = self.rotated();
        let before = (rotations > 0).then(|| &key::GOOGLE[(rotations + 1) % 2]);
        std::iter::once(self.signing_key()).chain(before).collect()
    }

    /// Mints an access token.
    pub(crate) fn access_token(
        &self,
        email: &str,
        mut scopes: Vec<String>,
        lifetime: Duration,
    ) -> String {
        if scopes.is_empty() {
            scopes.push(CLOUD_PLATFORM.to_owned());
        }
        let now = self.clock.unix();
        let access = Access {
            email: email.to_owned(),
            scopes,
            expires: now + seconds(lifetime),
        };
        self.access_tokens.mint(access, now)
    }

    /// Checks everything about an ID token but whom it is for.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, Rejection> {
        let jws = Jws::parse(token).ok_or(Rejection::Malformed)?;
        let key_id = jws.key_id().ok_or(Rejection::UnknownKey)?;
        let mut keys = self.published_keys().into_iter();
        let key = keys
            .find(|key| key.id == key_id)
            .ok_or(Rejection::UnknownKey)?;
        if !jws.is_signed_by(key) {
            return Err(Rejection::Signature);
        }
        if !jws
            .claims
            .get("iss")
            .and_then(Value::as_str)
            .is_some_and(|iss| ISSUERS.contains(&iss))
        {
            return Err(Rejection::Issuer);
        }
        let claims: Claims =
            serde_json::from_value(jws.claims).map_err(|_| Rejection::Malformed)?;
        let now = self.clock.unix();
        if claims.exp <= now {
            return Err(Rejection::Expired);
        }
        if claims.iat > now {
            return Err(Rejection::NotYet);
        }
        Ok(claims)
    }

    /// The claims of a sound token for anybody's e-mail.
    pub(crate) fn sample_claims(&self, email: &str, audience: &str) -> Claims {
        let sub = ServiceAccount::new(email).unique_id();
        let now = self.clock.unix();
        Claims {
            iss: ISSUER.to_owned(),
            aud: audience.to_owned(),
            azp: Some(sub.clone()),
            sub,
            email: Some(email.to_owned()),
            email_verified: Some(true),
            iat: now,
            exp: now + seconds(self.id_token_lifetime),
            more: serde_json::Map::new(),
        }
    }

    pub(crate) fn is_login_revoked(&self, email: &str) -> bool {
        self.revoked_logins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(email)
    }
}

pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 2)
}

pub(crate) const ISSUER: &str = "https://accounts.google.com";

const ISSUERS: [&str; 2] = [ISSUER, "accounts.google.com"];
