//! What may change while the sidecar runs: where requests go, and whom their tokens are for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::error::Error;

/// The rules, as they stand in the file and as the flags give them.
///
/// ```toml
/// url = "https://hello-abc123-uc.a.run.app"    # where requests go that no route names
/// egress = true                                # or to the service that each request names
/// hosts = ["api.example.com", "*.run.example"] # their origin is their audience
/// local-hosts = ["build-box"]                  # more names under which callers reach `url`
///
/// [routes]                                     # by the host that callers use
/// "app.local" = "https://app-abc123-uc.a.run.app"
///
/// [audiences]                                  # of hosts whose origin is not their audience
/// "admin.example.com" = "1234-abc.apps.googleusercontent.com"
///
/// [secrets]                                    # sds: the names that Envoy asks for
/// hello = "https://hello-abc123-uc.a.run.app"
///
/// [inbound]                                    # inbound: who may come in, and where to
/// app = "http://127.0.0.1:8080"
/// audiences = ["https://hello.example.com"]
/// allow-emails = ["caller@project.iam.gserviceaccount.com"]
/// unchecked = ["/healthz"]
/// ```
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Rules {
    pub(crate) url: Option<String>,
    pub(crate) egress: bool,
    pub(crate) pass_others: bool,
    pub(crate) hosts: BTreeSet<String>,
    pub(crate) local_hosts: BTreeSet<String>,
    pub(crate) routes: BTreeMap<String, String>,
    pub(crate) audiences: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) inbound: Inbound,
}

/// Who may come in, and where to.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Inbound {
    pub(crate) app: Option<String>,
    pub(crate) audiences: BTreeSet<String>,
    pub(crate) iap_audiences: BTreeSet<String>,
    pub(crate) allow_emails: BTreeSet<String>,
    pub(crate) allow_subjects: BTreeSet<String>,
    pub(crate) allow_domains: BTreeSet<String>,
    pub(crate) allow_any_caller: bool,
    pub(crate) unchecked: BTreeSet<String>,
}

impl Rules {
    /// Reads the file, if there is one, and lays the flags over it.
    ///
    /// # Errors
    ///
    /// For a file that is not there or not right; the message names the line.
    pub(crate) fn read(file: Option<&Path>, flags: &Self) -> Result<Self, Error> {
        let mut rules = match file {
            None => Self::default(),
            Some(path) => {
                let wrong = |error: &dyn std::fmt::Display| {
                    Error::config(format!("{}: {error}", path.display()))
                };
                let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
                toml::from_str(&text).map_err(|error| wrong(&error))?
            }
        };
        rules.overlay(flags);
        Ok(rules)
    }

    fn overlay(&mut self, flags: &Self) {
        if flags.url.is_some() {
            self.url.clone_from(&flags.url);
        }
        self.egress |= flags.egress;
        self.pass_others |= flags.pass_others;
        self.hosts.extend(flags.hosts.iter().cloned());
        self.local_hosts.extend(flags.local_hosts.iter().cloned());
        for (into, from) in [
            (&mut self.routes, &flags.routes),
            (&mut self.audiences, &flags.audiences),
            (&mut self.secrets, &flags.secrets),
        ] {
            into.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        self.inbound.overlay(&flags.inbound);
    }
}

impl Inbound {
    fn overlay(&mut self, flags: &Self) {
        if flags.app.is_some() {
            self.app.clone_from(&flags.app);
        }
        self.allow_any_caller |= flags.allow_any_caller;
        for (into, from) in [
            (&mut self.audiences, &flags.audiences),
            (&mut self.iap_audiences, &flags.iap_audiences),
            (&mut self.allow_emails, &flags.allow_emails),
            (&mut self.allow_subjects, &flags.allow_subjects),
            (&mut self.allow_domains, &flags.allow_domains),
            (&mut self.unchecked, &flags.unchecked),
        ] {
            into.extend(from.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn flags_go_before_the_file() {
        let file = file("url = 'https://a'\n[routes]\n'x' = 'https://x'\n'y' = 'https://y'\n");
        let flags = Rules {
            url: Some("https://b".into()),
            routes: [("x".into(), "https://z".into())].into(),
            ..Rules::default()
        };
        let rules = Rules::read(Some(file.path()), &flags).unwrap();
        assert_eq!(rules.url.as_deref(), Some("https://b"));
        assert_eq!(rules.routes["x"], "https://z");
        assert_eq!(rules.routes["y"], "https://y");
    }

    #[test]
    fn the_readmes_file_is_one() {
        let readme = include_str!("../README.md");
        let (_, text) = readme.split_once("```toml").unwrap();
        let (text, _) = text.split_once("```").unwrap();
        let file = file(text);
        let rules = Rules::read(Some(file.path()), &Rules::default()).unwrap();
        assert_eq!(rules.secrets.len(), 1);
        assert_eq!(rules.inbound.app.as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(rules.inbound.unchecked.len(), 1);
    }

    #[test]
    fn flags_add_to_the_callers_of_the_file() {
        let file = file("[inbound]\napp = 'http://127.0.0.1:1'\nallow-emails = ['a@x']\n");
        let flags = Rules {
            inbound: Inbound {
                app: Some("http://127.0.0.1:2".into()),
                allow_emails: ["b@x".into()].into(),
                ..Inbound::default()
            },
            ..Rules::default()
        };
        let rules = Rules::read(Some(file.path()), &flags).unwrap().inbound;
        assert_eq!(rules.app.as_deref(), Some("http://127.0.0.1:2"));
        assert_eq!(rules.allow_emails, ["a@x".into(), "b@x".into()].into());
    }

    #[test]
    fn a_slip_of_the_pen_is_named_with_its_line() {
        let file = file("url = 'https://a'\nrotues = {}\n");
        let error = Rules::read(Some(file.path()), &Rules::default()).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(error.to_string().contains("rotues"), "{error}");
    }
}
