//! From the payload of a token with a good signature to its claims, each of its right type.

use std::borrow::Cow;

use super::caller::{Claims, Text};
use super::issuer::Trusted;
use super::json::{Scalar, members};
use super::{Issuer, Refusal, RefusalKind};

/// Claims that were read, with what is only of use for the check.
pub(super) struct Read {
    pub(super) claims: Claims,
    pub(super) not_before: Option<u64>,
    /// There is an e-mail, and nobody vouches for it.
    pub(super) email_unverified: bool,
}

/// Reads the claims, and checks those that say whose token it is and whom it is for.
pub(super) fn read(json: Vec<u8>, trusted: &Trusted) -> Result<Read, Refusal> {
    let json = String::from_utf8(json).map_err(|_| RefusalKind::Payload)?;
    let [iss, aud, sub, exp, iat, nbf, email, verified, hd, azp] = members(
        &json,
        [
            "iss",
            "aud",
            "sub",
            "exp",
            "iat",
            "nbf",
            "email",
            "email_verified",
            "hd",
            "azp",
        ],
        RefusalKind::Payload,
    )?;
    let issuer = required("iss", text("iss", iss)?)?;
    if !trusted.issuer.names().contains(&&*issuer) {
        return Err(RefusalKind::Issuer.into());
    }
    let audience = match aud {
        // One in an array is one; of several, each could replay the token at the others.
        Some(Scalar::OnlyText(one)) => one,
        Some(Scalar::Array) => return Err(RefusalKind::Audience.into()),
        other => required("aud", text("aud", other)?)?,
    };
    if !trusted.audiences.iter().any(|ours| **ours == *audience) {
        return Err(RefusalKind::Audience.into());
    }
    let subject = required("sub", text("sub", sub)?)?;
    if subject.is_empty() {
        return Err(Refusal::claim(RefusalKind::InvalidClaim, "sub"));
    }
    let expires_at = required("exp", time("exp", exp)?)?;
    let issued_at = required("iat", time("iat", iat)?)?;
    let not_before = time("nbf", nbf)?;
    let vouched = match verified {
        Some(Scalar::Bool(verified)) => verified,
        // IAP's tokens do not have it: an account that it lets through is one that it knows.
        None => trusted.issuer == Issuer::Iap,
        Some(_) => return Err(Refusal::claim(RefusalKind::InvalidClaim, "email_verified")),
    };
    let email = text("email", email)?;
    let email_unverified = email.is_some() && !vouched;
    let hosted_domain = text("hd", hd)?;
    let authorized_party = text("azp", azp)?;
    let keep = |text: Cow<'_, str>| Text::new(text, &json);
    let claims = Claims {
        issuer: trusted.issuer,
        audience: keep(audience),
        subject: keep(subject),
        email: email.filter(|_| vouched).map(keep),
        hosted_domain: hosted_domain.map(keep),
        authorized_party: authorized_party.map(keep),
        issued_at,
        expires_at,
        json,
    };
    Ok(Read {
        claims,
        not_before,
        email_unverified,
    })
}

fn required<T>(name: &'static str, claim: Option<T>) -> Result<T, Refusal> {
    claim.ok_or_else(|| Refusal::claim(RefusalKind::MissingClaim, name))
}

fn text<'a>(
    name: &'static str,
    claim: Option<Scalar<'a>>,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    match claim {
        None => Ok(None),
        Some(Scalar::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::claim(RefusalKind::InvalidClaim, name)),
    }
}

/// A `NumericDate` (RFC 7519, section 2) in whole seconds, a fraction cut off.
fn time(name: &'static str, claim: Option<Scalar<'_>>) -> Result<Option<u64>, Refusal> {
    match claim {
        None => Ok(None),
        Some(Scalar::Number(seconds)) if (0.0..=LAST_SECOND).contains(&seconds) => {
            Ok(Some(seconds as u64))
        }
        Some(_) => Err(Refusal::claim(RefusalKind::InvalidClaim, name)),
    }
}

/// The end of the year 9999, past which not every system's clock can count.
const LAST_SECOND: f64 = 253_402_300_799.0;
