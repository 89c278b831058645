//! The metadata server of Compute Engine, as a client of it sees it.

use std::{collections::HashMap, fmt, sync::Mutex, time::Duration};

use http::{HeaderValue, Version};
use serde_json::{Value, json};

use crate::{
    access::CLOUD_PLATFORM,
    account::ServiceAccount,
    answer::{self, Answer},
    asked::Asked,
    fault::Mint,
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

    fn attached(&self, name: &str) -> Option<&ServiceAccount> {
        let account = self.account(self.metadata.account.as_deref()?)?;
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        (name == "default" || name == account.email()).then_some(account)
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

pub(crate) fn is_true(value: &str) -> bool {
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
