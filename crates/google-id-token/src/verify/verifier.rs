//! Checks a token: with what is at hand if that will do, else with keys that are fetched.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tower_id_token::{Clock, Lookup};

use super::check::check;
use super::headers::{Headers, Known};
use super::issuer::Trusted;
use super::keys::Keys;
use super::remembered::{Mark, Remembered};
use super::rules::Rules;
use super::token::Token;
use super::{Caller, Issuer, Refusal, RefusalKind, VerifierBuilder};

/// Checks ID tokens, and says who sent them. Clones share keys and memory.
///
/// The keys are fetched when the first token needs them, renewed while tokens come in, and go on
/// serving for up to an hour after their time while no newer ones can be had.
#[derive(Clone)]
pub struct Verifier(pub(super) Arc<Settings>);

pub(super) struct Settings {
    pub(super) google: Option<Trusted>,
    pub(super) iap: Option<Trusted>,
    pub(super) rules: Rules,
    pub(super) leeway: Duration,
    pub(super) clock: Clock,
    pub(super) headers: Headers,
    pub(super) remembered: Option<Remembered>,
}

impl Verifier {
    /// What to accept.
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder::default()
    }

    /// Checks a token (without the word `Bearer` before it): of Google's accounts or of IAP, by
    /// what it is signed with, as far as this verifier listens to that issuer.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it. [`RefusalKind::KeysUnavailable`] says nothing about
    /// the token: there is nothing to check it with.
    pub async fn verify(&self, token: &str) -> Result<Caller, Refusal> {
        match self.verify_now(token, None) {
            Some(result) => result,
            None => self.clone().verify_later(token.to_owned(), None).await,
        }
    }

    /// Waits until the keys of every issuer are at hand, which takes a fetch where they are not, so
    /// that the first token need not wait for it: for readiness probes, again and again.
    ///
    /// # Errors
    ///
    /// [`RefusalKind::KeysUnavailable`] where an issuer's keys cannot be had now; the error's
    /// source says why.
    pub async fn ready(&self) -> Result<(), Refusal> {
        for trusted in [&self.0.google, &self.0.iap].into_iter().flatten() {
            trusted.keys.current().await.map_err(Refusal::keys)?;
        }
        Ok(())
    }

    /// The whole check, if the keys for it are at hand.
    pub(super) fn verify_now(
        &self,
        token: &str,
        issuer: Option<Issuer>,
    ) -> Option<Result<Caller, Refusal>> {
        let now = self.now();
        let mark = self.mark(token);
        if let Some(caller) = self.recall(mark, token, issuer, now) {
            return Some(self.0.rules.admit_again(&caller).map(|()| caller));
        }
        let known = self.0.headers.known();
        let (parsed, trusted) = match self.parse(token, Some(&known), issuer) {
            Ok(parsed) => parsed,
            Err(kind) => return Some(Err(kind.into())),
        };
        let Lookup::Hit(keys) = trusted.keys.current() else {
            return None;
        };
        self.check((mark, token), parsed, trusted, &keys, now).ok()
    }

    /// The whole check, with a fetch of keys where it takes one.
    pub(super) async fn verify_later(
        self,
        token: String,
        issuer: Option<Issuer>,
    ) -> Result<Caller, Refusal> {
        let mark = self.mark(&token);
        let (parsed, trusted) = self.parse(&token, None, issuer)?;
        let keys = trusted.keys.current().await.map_err(Refusal::keys)?;
        let parsed = match self.check((mark, &token), parsed, trusted, &keys, self.now()) {
            Ok(result) => return result,
            Err(parsed) => parsed,
        };
        let keys = trusted.keys.newer().await.map_err(Refusal::keys)?;
        self.check((mark, &token), parsed, trusted, &keys, self.now())
            .unwrap_or_else(|_| Err(RefusalKind::UnknownKey.into()))
    }

    /// Takes a token apart, and finds whose it claims to be.
    fn parse<'t>(
        &self,
        token: &'t str,
        known: Option<&'t Known>,
        issuer: Option<Issuer>,
    ) -> Result<(Token<'t>, &Trusted), RefusalKind> {
        let token = Token::parse(token, known)?;
        let trusted = [&self.0.google, &self.0.iap]
            .into_iter()
            .flatten()
            .filter(|trusted| issuer.is_none_or(|issuer| issuer == trusted.issuer))
            .find(|trusted| trusted.issuer.algorithm() == token.header.algorithm)
            .ok_or(RefusalKind::Algorithm)?;
        Ok((token, trusted))
    }

    /// Checks with these keys; where the token's key is not among them, gives it back.
    fn check<'t>(
        &self,
        (mark, token): (Option<Mark>, &str),
        parsed: Token<'t>,
        trusted: &Trusted,
        keys: &Keys,
        now: u64,
    ) -> Result<Result<Caller, Refusal>, Token<'t>> {
        let Some(key) = keys.find(&parsed.header.key_id) else {
            return Err(parsed);
        };
        let header_part = parsed.header_part;
        let unknown = match &parsed.header {
            Cow::Owned(header) => Some(header.clone()),
            Cow::Borrowed(_) => None,
        };
        let result = check(parsed, key, trusted, &self.0.rules, self.0.leeway, now);
        if let Ok(caller) = &result {
            if let Some(header) = unknown {
                self.0.headers.learn(header_part, header);
            }
            if let (Some(mark), Some(remembered)) = (mark, &self.0.remembered) {
                remembered.keep(mark, token, caller, keys, now);
            }
        }
        Ok(result)
    }

    /// The caller whose token was good a moment ago, if it was checked with today's keys.
    fn recall(
        &self,
        mark: Option<Mark>,
        token: &str,
        issuer: Option<Issuer>,
        now: u64,
    ) -> Option<Caller> {
        let (caller, keys) = self.0.remembered.as_ref()?.recall(mark?, token, now)?;
        if issuer.is_some_and(|issuer| issuer != caller.issuer()) {
            return None;
        }
        match self.trusted(caller.issuer())?.keys.current() {
            Lookup::Hit(current) if current.is(&keys) => Some(caller),
            _ => None,
        }
    }

    /// Where a token is remembered, if it may be.
    fn mark(&self, token: &str) -> Option<Mark> {
        self.0.remembered.as_ref()?.mark(token)
    }

    pub(super) fn trusted(&self, issuer: Issuer) -> Option<&Trusted> {
        match issuer {
            Issuer::Google => self.0.google.as_ref(),
            Issuer::Iap => self.0.iap.as_ref(),
        }
    }

    /// Seconds since 1970.
    fn now(&self) -> u64 {
        let since = self.0.clock.now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audiences = |trusted: &Option<Trusted>| {
            trusted
                .as_ref()
                .map_or(Vec::new(), |it| it.audiences.clone())
        };
        f.debug_struct("Verifier")
            .field("audiences", &audiences(&self.0.google))
            .field("iap_audiences", &audiences(&self.0.iap))
            .field("rules", &self.0.rules)
            .field("leeway", &self.0.leeway)
            .finish_non_exhaustive()
    }
}
