//! Credential files of the other Google, with all that Google's tools write into them.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_emulator::{Credential, Emulator};
use ring::rsa;
use serde_json::{Value, json};

/// The kinds of credentials that it hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialFile {
    /// None: its metadata server.
    Metadata,
    Key,
    User,
    ImpersonatedByUser,
    ImpersonatedByKey,
}

/// One of each.
pub(crate) const KINDS: [CredentialFile; 5] = [
    CredentialFile::Metadata,
    CredentialFile::Key,
    CredentialFile::User,
    CredentialFile::ImpersonatedByUser,
    CredentialFile::ImpersonatedByKey,
];

impl CredentialFile {
    /// Who calls with it.
    pub(crate) fn caller(self) -> &'static str {
        match self {
            Self::Metadata => ATTACHED,
            Self::Key => ACCOUNT,
            Self::User => USER,
            Self::ImpersonatedByUser | Self::ImpersonatedByKey => TARGET,
        }
    }

    pub(super) fn env(self, google: &str, directory: &Path) -> Vec<(String, String)> {
        let host = google.trim_start_matches("http://");
        let mut env = vec![("GCE_METADATA_HOST", host.to_owned())];
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        match self.content(google) {
            // Nothing there: gcloud has never been asked to log in.
            Value::Null => env.push(("CLOUDSDK_CONFIG", path(directory))),
            content => {
                let file = directory.join("credentials.json");
                fs::write(&file, content.to_string()).unwrap();
                env.push(("GOOGLE_APPLICATION_CREDENTIALS", path(&file)));
            }
        }
        let owned = env
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        owned.collect()
    }

    fn content(self, google: &str) -> Value {
        match self {
            Self::Metadata => Value::Null,
            Self::Key => json!({
                "type": "service_account",
                "project_id": "there",
                "private_key_id": KEY_ID,
                "private_key": private_key(),
                "client_email": ACCOUNT,
                "client_id": "101234567890123456789",
                "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                "token_uri": format!("{google}/token"),
                "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
                "universe_domain": "googleapis.com",
                "added_next_year": { "by": ["somebody"] },
            }),
            Self::User => json!({
                "account": "",
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "quota_project_id": "there",
                "refresh_token": REFRESH_TOKEN,
                "token_uri": format!("{google}/token"),
                "type": "authorized_user",
                "universe_domain": "googleapis.com",
            }),
            Self::ImpersonatedByUser => impersonated(google, &[], Self::User.content(google)),
            Self::ImpersonatedByKey => impersonated(google, &[DELEGATE], Self::Key.content(google)),
        }
    }
}

fn impersonated(google: &str, delegates: &[&str], source: Value) -> Value {
    let account = format!("{google}/v1/projects/-/serviceAccounts/{TARGET}");
    json!({
        "delegates": delegates,
        "quota_project_id": "there",
        "service_account_impersonation_url": format!("{account}:generateAccessToken"),
        "source_credentials": source,
        "type": "impersonated_service_account",
    })
}

/// A public test key; all that is borrowed from the emulator.
fn private_key() -> String {
    let file = Emulator::new().credentials(&Credential::service_account());
    file["private_key"].as_str().unwrap().to_owned()
}

pub(super) fn key() -> rsa::KeyPair {
    let pem = private_key();
    let body: String = pem.lines().filter(|it| !it.starts_with('-')).collect();
    rsa::KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap()
}

pub(super) const ATTACHED: &str = "123-compute@developer.gserviceaccount.com";
pub(super) const ACCOUNT: &str = "account@there.iam.gserviceaccount.com";
pub(super) const TARGET: &str = "target@there.iam.gserviceaccount.com";
pub(super) const DELEGATE: &str = "delegate@there.iam.gserviceaccount.com";
pub(super) const USER: &str = "user@there.example";
pub(super) const KEY_ID: &str = "0123456789abcdef";
pub(super) const CLIENT_ID: &str =
    "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com";
pub(super) const CLIENT_SECRET: &str = "the-other-client-secret";
pub(super) const REFRESH_TOKEN: &str = "1//the-other-refresh-token";
