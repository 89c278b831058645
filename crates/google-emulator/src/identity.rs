//! The metadata server's ID tokens: fresh ones, and those that it keeps.

use std::sync::PoisonError;

use serde_json::{Value, json};

use crate::{
    account::ServiceAccount,
    answer::{self, Answer},
    asked::Asked,
    fault::Mint,
    jws,
    metadata::is_true,
    mint::IdToken,
    world::{World, seconds},
};

impl World {
    pub(crate) fn identity(
        &self,
        account: &ServiceAccount,
        asked: &Asked,
        fault: Option<&Mint>,
    ) -> Answer {
        let Some(audience) = asked
            .query("audience")
            .filter(|audience| !audience.is_empty())
        else {
            return answer::text(400, "non-empty audience parameter required");
        };
        let full = match asked.query("format").unwrap_or("standard") {
            "full" => true,
            "standard" => false,
            _ => return answer::text(400, "format must be standard or full"),
        };
        let licenses = full && asked.query("licenses").is_some_and(is_true);
        let name = format!("{} {full} {licenses} {audience}", account.email());
        if let Some(token) = self.kept_token(&name, fault) {
            return answer::with_type(200, IDENTITY_TYPE, token);
        }
        let wish = IdToken {
            audience,
            subject: account.unique_id(),
            authorized_party: account.unique_id(),
            email: full.then(|| account.email()),
            more: if full {
                self.instance(licenses)
            } else {
                Value::Null
            },
        };
        let token = self.id_token(wish, fault);
        if matches!(fault, None | Some(Mint::Again)) {
            let mut kept = self
                .metadata
                .kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(name, token.clone());
        }
        answer::with_type(200, IDENTITY_TYPE, token)
    }

    /// The token that was handed out before, where it is to be handed out again.
    fn kept_token(&self, name: &str, fault: Option<&Mint>) -> Option<String> {
        let kept = self
            .metadata
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let token = kept.get(name)?;
        match fault {
            Some(Mint::Again) => return Some(token.clone()),
            Some(_) => return None,
            None => {}
        }
        let until = seconds(self.metadata.cached_until?);
        let expires = jws::unchecked_claims(token)?.get("exp")?.as_i64()?;
        (expires - until > self.clock.unix()).then(|| token.clone())
    }

    fn instance(&self, licenses: bool) -> Value {
        let mut instance = json!({
            "instance_creation_timestamp": 1_700_000_000,
            "instance_id": "1234567890123456789",
            "instance_name": "emulated",
            "project_id": self.metadata.project,
            "project_number": self.metadata.project_number,
            "zone": "us-central1-a",
        });
        if licenses {
            instance["license_id"] = json!(["1000204"]);
        }
        json!({ "google": { "compute_engine": instance } })
    }
}

/// Real servers have been seen to label JWTs so: the type alone gives no captive portal away.
const IDENTITY_TYPE: &str = "text/html";

const MOST_KEPT: usize = 1024;
