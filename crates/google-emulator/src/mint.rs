//! Mints ID tokens: sound ones, and on request ones that are not.

use serde_json::{Value, json};

use crate::{
    answer::merge,
    fault::Mint,
    jws,
    world::{ISSUER, World, seconds},
};

/// Whom an ID token is about, and for whom.
pub(crate) struct IdToken<'a> {
    pub(crate) audience: &'a str,
    pub(crate) subject: String,
    pub(crate) authorized_party: String,
    pub(crate) email: Option<&'a str>,
    /// Claims beyond the usual, `Value::Null` where there are none.
    pub(crate) more: Value,
}

impl World {
    pub(crate) fn id_token(&self, wish: IdToken<'_>, fault: Option<&Mint>) -> String {
        let now = self.clock.unix();
        let mut claims = json!({
            "iss": ISSUER,
            "aud": wish.audience,
            "azp": wish.authorized_party,
            "sub": wish.subject,
            "iat": now,
            "exp": now + seconds(self.id_token_lifetime),
        });
        if let Some(email) = wish.email {
            merge(
                &mut claims,
                json!({ "email": email, "email_verified": true }),
            );
        }
        merge(&mut claims, wish.more);
        if let Some(fault) = fault {
            spoil_claims(&mut claims, fault, now);
        }
        let token = jws::sign(&claims, self.signing_key());
        spoil_token(token, fault)
    }
}

fn spoil_claims(claims: &mut Value, fault: &Mint, now: i64) {
    match fault {
        Mint::NoExpiry => merge(claims, json!({ "exp": null })),
        Mint::Expired => merge(claims, json!({ "iat": now - 2 * HOUR, "exp": now - HOUR })),
        Mint::Lifetime(lifetime) => merge(claims, json!({ "exp": now + seconds(*lifetime) })),
        Mint::Audience(audience) => merge(claims, json!({ "aud": audience })),
        Mint::Claims(over) => merge(claims, over.clone()),
        Mint::LineBreak | Mint::Again | Mint::NotAJwt => {}
    }
}

fn spoil_token(token: String, fault: Option<&Mint>) -> String {
    match fault {
        Some(Mint::NotAJwt) => "this-is-not-a-jwt".to_owned(),
        Some(Mint::LineBreak) => {
            let middle = token.rfind('.').unwrap_or_default();
            let (signed, signature) = token.split_at(middle);
            format!("{signed}\r\nx-forged: yes\r\n{signature}")
        }
        _ => token,
    }
}

const HOUR: i64 = 3600;
