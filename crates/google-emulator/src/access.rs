//! The access tokens that the emulator has minted: opaque, and known only here.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ring::rand::{SecureRandom, SystemRandom};

use crate::key::hex;

/// All access tokens that have not expired yet.
#[derive(Default)]
pub(crate) struct AccessTokens(Mutex<HashMap<String, Access>>);

/// What an access token stands for.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// The e-mail of whom it speaks for.
    pub(crate) email: String,
    pub(crate) scopes: Vec<String>,
    /// In seconds since 1970.
    pub(crate) expires: i64,
}

impl Access {
    /// Whether IAM Credentials may be called with it.
    pub(crate) fn covers_iam(&self) -> bool {
        self.scopes
            .iter()
            .any(|scope| IAM_SCOPES.contains(&scope.as_str()))
    }
}

impl AccessTokens {
    /// Mints a token, and forgets those that `now` finds expired.
    pub(crate) fn mint(&self, access: Access, now: i64) -> String {
        let mut random = [0; 24];
        SystemRandom::new()
            .fill(&mut random)
            .expect("the system has randomness");
        let token = format!("ya29.emulated-{}", hex(&random));
        let mut tokens = self.lock();
        if tokens.len() >= SWEEP_FROM {
            tokens.retain(|_, access| access.expires > now);
        }
        tokens.insert(token.clone(), access);
        token
    }

    pub(crate) fn find(&self, token: &str, now: i64) -> Option<Access> {
        self.lock()
            .get(token)
            .filter(|access| access.expires > now)
            .cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Access>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessTokens({})", self.lock().len())
    }
}

pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

const IAM_SCOPES: [&str; 2] = [CLOUD_PLATFORM, "https://www.googleapis.com/auth/iam"];

const SWEEP_FROM: usize = 1024;
