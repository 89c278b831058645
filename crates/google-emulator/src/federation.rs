//! The identities of other parties: their pools, their tokens, and what is known of them here.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};

use crate::{jws, jws::Jws, key};

/// Everything that federation adds to the emulated world.
pub(crate) struct Federation {
    /// The audiences of the pools' providers that there are.
    pub(crate) pools: Vec<String>,
    /// A workforce user's refresh token; it changes with each use.
    refresh_token: Mutex<String>,
    refreshes: AtomicU64,
}

/// A pool, by the audience of one of its providers.
pub(crate) struct Pool {
    name: String,
}

impl Federation {
    pub(crate) fn new(pools: Vec<String>) -> Self {
        Self {
            pools,
            refresh_token: Mutex::new(FIRST_REFRESH_TOKEN.to_owned()),
            refreshes: AtomicU64::new(0),
        }
    }

    /// The OAuth client that may name itself to the token service.
    pub(crate) fn client(&self) -> (&'static str, &'static str) {
        (CLIENT_ID, CLIENT_SECRET)
    }

    pub(crate) fn refresh_token(&self) -> String {
        self.token().clone()
    }

    /// What comes after this refresh token, if it is the one of now.
    pub(crate) fn next_refresh_token(&self, shown: &str) -> Option<String> {
        let mut token = self.token();
        (*token == shown).then(|| {
            let number = self.refreshes.fetch_add(1, Ordering::Relaxed) + 1;
            *token = format!("{FIRST_REFRESH_TOKEN}-{number}");
            token.clone()
        })
    }

    /// Whom the refresh token stands for.
    pub(crate) fn workforce_user(&self) -> String {
        Pool::named(WORKFORCE).principal(SUBJECT)
    }

    /// Whom a JWT of the emulated issuer is about; or what is wrong with it.
    pub(crate) fn subject_of(&self, token: &str, now: i64) -> Result<String, String> {
        let jws = Jws::parse(token).ok_or("Unable to parse the ID Token.")?;
        let claim = |name: &str| jws.claims.get(name).and_then(Value::as_str);
        if claim("iss") != Some(ISSUER) {
            return Err("The issuer in ID Token does not match the expected one.".to_owned());
        }
        if !jws.is_signed_by(&key::SERVICE_ACCOUNT) {
            return Err("Error connecting to the given credential's issuer.".to_owned());
        }
        let expires = jws.claims.get("exp").and_then(Value::as_i64);
        if expires.is_none_or(|expires| expires <= now) {
            return Err("ID Token is stale to sign-in.".to_owned());
        }
        Ok(claim("sub").unwrap_or_default().to_owned())
    }

    fn token(&self) -> std::sync::MutexGuard<'_, String> {
        self.refresh_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Federation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Federation")
            .field("pools", &self.pools)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// The pool that an audience names, if its provider is one of these.
    pub(crate) fn of(audience: &str, providers: &[String]) -> Option<Self> {
        let known = providers.iter().any(|provider| provider == audience);
        known.then(|| Self::named(audience))
    }

    fn named(audience: &str) -> Self {
        let path = audience
            .trim_start_matches("//iam.")
            .split_once('/')
            .map_or(audience, |(_, path)| path);
        let name = path.split("/providers/").next().unwrap_or(path);
        Self {
            name: name.to_owned(),
        }
    }

    pub(crate) fn is_workforce(&self) -> bool {
        self.name.contains("/workforcePools/")
    }

    /// The name of one of its members in IAM's policies.
    pub(crate) fn principal(&self, subject: &str) -> String {
        format!(
            "principal://iam.googleapis.com/{}/subject/{subject}",
            self.name
        )
    }
}

/// A JWT of the emulated issuer about this subject, which expires then.
pub(crate) fn subject_token(subject: &str, now: i64, expires: i64) -> String {
    let claims = json!({
        "iss": ISSUER,
        "aud": "emulated-pool",
        "sub": subject,
        "iat": now,
        "exp": expires,
    });
    jws::sign(&claims, &key::SERVICE_ACCOUNT)
}

pub(crate) const WORKLOAD: &str = "//iam.googleapis.com/projects/123456789012/locations/global/\
     workloadIdentityPools/demo-pool/providers/demo-provider";
pub(crate) const WORKFORCE: &str =
    "//iam.googleapis.com/locations/global/workforcePools/demo-pool/providers/demo-provider";
/// Whom subject tokens are about unless a test says otherwise.
pub(crate) const SUBJECT: &str = "demo-subject";
const ISSUER: &str = "https://issuer.example";
const CLIENT_ID: &str = "emulated-sts-client";
const CLIENT_SECRET: &str = "emulated-sts-secret";
const FIRST_REFRESH_TOKEN: &str = "emulated-workforce-refresh-token";
