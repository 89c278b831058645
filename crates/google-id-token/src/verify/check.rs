//! The check of one token against one issuer's key: signature, claims, times, caller.

use std::sync::Arc;
use std::time::Duration;

use super::caller::Claims;
use super::claims::{self, Read};
use super::crypto::PublicKey;
use super::issuer::Trusted;
use super::rules::Rules;
use super::token::Token;
use super::{Caller, Issuer, Refusal, RefusalKind};

/// Everything about a token but which key it names. `now` is in seconds since 1970.
pub(super) fn check(
    token: Token<'_>,
    key: &PublicKey,
    trusted: &Trusted,
    rules: &Rules,
    leeway: Duration,
    now: u64,
) -> Result<Caller, Refusal> {
    if !key.verifies(token.signed.as_bytes(), &token.signature) {
        return Err(RefusalKind::Signature.into());
    }
    let Read {
        claims,
        not_before,
        email_unverified,
    } = claims::read(token.payload, trusted)?;
    times(&claims, not_before, leeway.as_secs(), now)?;
    let caller = Caller(Arc::new(claims));
    rules.admit(&caller, email_unverified)?;
    Ok(caller)
}

fn times(
    claims: &Claims,
    not_before: Option<u64>,
    leeway: u64,
    now: u64,
) -> Result<(), RefusalKind> {
    let Claims {
        issued_at,
        expires_at,
        issuer,
        ..
    } = *claims;
    if expires_at.saturating_add(leeway) <= now {
        return Err(RefusalKind::Expired);
    }
    let latest = now.saturating_add(leeway);
    if issued_at > latest || not_before.is_some_and(|not_before| not_before > latest) {
        return Err(RefusalKind::NotYetValid);
    }
    let slack = match issuer {
        Issuer::Google => 0,
        // So in IAP's documentation.
        Issuer::Iap => 2 * leeway,
    };
    let life = expires_at.checked_sub(issued_at);
    let longest = issuer.longest_life().as_secs() + slack;
    if !life.is_some_and(|life| (1..=longest).contains(&life)) {
        return Err(RefusalKind::Lifetime);
    }
    Ok(())
}
