//! The metadata server of Compute Engine, as a client of it sees it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderValue, Version};
use serde_json::{Value, json};

use crate::{
    access::CLOUD_PLATFORM,
    account::ServiceAccount,
    answer::{self, Answer},
    asked::Asked,
    fault::Mint,
    jws,
    mint::IdToken,
    world::{World, seconds},
};

/// What the metadata server knows, and the tokens that it keeps.
pub(crate) struct MetadataServer {
    /// The e-mail of the account attached to the machine.
    pub(crate) account: Option<String>,
    pub(crate) project: String,
    pub(crate) project_number: u64,
    pub(crate) universe: Option<String>,
    /// Tokens are handed out again until this long before their `exp`; never, if it is none.
    pub(crate) cached_until: Option<Duration>,
    pub(crate) kept: Mutex<HashMap<String, String>>,
}

impl World {
    pub(crate) fn metadata(&self, asked: &Asked, fault: Option<&Mint>) -> Answer {
        let mut answer = self.metadata_answer(asked, fault);
        answer
            .headers_mut()
            .insert("metadata-flavor", HeaderValue::from_static("Google"));
        answer
            .headers_mut()
            .insert("server", HeaderValue::from_static("Metadata Server for VM"));
        answer
    }

    fn metadata_answer(&self, asked: &Asked, fault: Option<&Mint>) -> Answer {
        if asked.parts.version == Version::HTTP_2 {
            return answer::text(503, "the metadata server speaks HTTP/1.1");
        }
        let flavor = asked.parts.headers.get("metadata-flavor");
        if flavor.is_none_or(|flavor| flavor != "Google") {
            return forbidden("Missing required header: Metadata-Flavor");
        }
        if asked.parts.headers.contains_key("x-forwarded-for") {
            return forbidden("Forbidden header: X-Forwarded-For");
        }
        if asked.parts.method != http::Method::GET {
            return answer::text(405, "Method Not Allowed");
        }
        let path = asked.parts.uri.path();
        let path = path
            .strip_prefix("/computeMetadata/v1")
            .unwrap_or(path)
            .trim_matches('/');
        match path {
            "" => answer::text(200, "instance/\noslogin/\nproject/\nuniverse/\n"),
            "project/project-id" => answer::text(200, &*self.metadata.project),
            "project/numeric-project-id" => {
                answer::text(200, self.metadata.project_number.to_string())
            }
            "universe/universe-domain" | "universe/universe_domain" => self
                .metadata
                .universe
                .clone()
                .map_or_else(not_found, |name| answer::text(200, name)),
            "instance/zone" => {
                let number = self.metadata.project_number;
                answer::text(200, format!("projects/{number}/zones/us-central1-a"))
            }
            "instance/service-accounts" => self.service_accounts(asked),
            _ => match path.strip_prefix("instance/service-accounts/") {
                Some(rest) => {
                    let (name, leaf) = rest.split_once('/').unwrap_or((rest, ""));
                    match self.attached(name) {
                        Some(account) => self.service_account(account, leaf, asked, fault),
                        None => not_found(),
                    }
                }
                None => not_found(),
            },
        }
    }

    fn service_accounts(&self, asked: &Asked) -> Answer {
        let Some(account) = self.attached("default") else {
            return answer::text(200, "");
        };
        if asked.query("recursive").is_some_and(is_true) {
            let email = account.email();
            return answer::json(
                200,
                &json!({ "default": describe(account), email: describe(account) }),
            );
        }
        answer::text(200, format!("default/\n{}/\n", account.email()))
    }

    fn service_account(
        &self,
        account: &ServiceAccount,
        leaf: &str,
        asked: &Asked,
        fault: Option<&Mint>,
    ) -> Answer {
        match leaf {
            "" if asked.query("recursive").is_some_and(is_true) => {
                answer::json(200, &describe(account))
            }
            "" => answer::text(200, "aliases\nemail\nidentity\nscopes\ntoken\n"),
            "aliases" => answer::text(200, "default\n"),
            "email" => answer::text(200, account.email()),
            "scopes" => answer::text(200, format!("{CLOUD_PLATFORM}\n")),
            "identity" => self.identity(account, asked, fault),
            "token" => self.metadata_token(account, asked),
            _ => not_found(),
        }
    }

    fn identity(&self, account: &ServiceAccount, asked: &Asked, fault: Option<&Mint>) -> Answer {
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
        if fault.is_none() {
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

    fn metadata_token(&self, account: &ServiceAccount, asked: &Asked) -> Answer {
        let scopes = asked.query("scopes").unwrap_or_default();
        let scopes = scopes.split([',', ' ']).filter(|scope| !scope.is_empty());
        let lifetime = self.access_token_lifetime;
        let token = self.access_token(
            account.email(),
            scopes.map(str::to_owned).collect(),
            lifetime,
        );
        answer::json(
            200,
            &json!({
                "access_token": token,
                "expires_in": seconds(lifetime),
                "token_type": "Bearer",
            }),
        )
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

    fn attached(&self, name: &str) -> Option<&ServiceAccount> {
        let account = self.account(self.metadata.account.as_deref()?)?;
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        (name == "default" || name == account.email()).then_some(account)
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

impl fmt::Debug for MetadataServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataServer")
            .field("account", &self.account)
            .field("project", &self.project)
            .field("project_number", &self.project_number)
            .field("universe", &self.universe)
            .field("cached_until", &self.cached_until)
            .finish_non_exhaustive()
    }
}

fn describe(account: &ServiceAccount) -> Value {
    json!({ "aliases": ["default"], "email": account.email(), "scopes": [CLOUD_PLATFORM] })
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn forbidden(why: &str) -> Answer {
    answer::html(
        403,
        format!("<title>Error 403 (Forbidden)!!1</title><p>{why}\n"),
    )
}

fn not_found() -> Answer {
    answer::html(404, "<title>Error 404 (Not Found)!!1</title><p>Not Found\n")
}

/// Real servers have been seen to label JWTs so: the type alone gives no captive portal away.
const IDENTITY_TYPE: &str = "text/html";

const MOST_KEPT: usize = 1024;
