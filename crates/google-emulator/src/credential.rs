//! Credential files of the emulated world, as gcloud and the Cloud console would write them.

use serde_json::{Value, json};

use crate::{
    account::User,
    external::{self, External},
    key,
    world::World,
};

/// A way for a client to prove who it is.
///
/// ```
/// use google_emulator::{Credential, Emulator};
///
/// let emulator = Emulator::new();
/// let file = emulator.credentials(&Credential::impersonated_by_user().delegates(["first@x"]));
/// assert_eq!(file["type"], "impersonated_service_account");
/// assert_eq!(file["source_credentials"]["type"], "authorized_user");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub(crate) kind: Kind,
    account: Option<String>,
    target: Option<String>,
    delegates: Vec<String>,
    pub(crate) bare: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Metadata,
    ServiceAccount,
    User,
    ByUser,
    ByServiceAccount,
    External(External),
    ByExternal,
    ExternalUser,
}

/// The addresses that a credential file names.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) token_uri: String,
    pub(crate) iam: String,
    pub(crate) apis: String,
    pub(crate) sts: String,
    /// The same for those who show a certificate.
    pub(crate) sts_by_tls: String,
    /// The metadata servers of other clouds.
    pub(crate) elsewhere: String,
    /// Where the files are that a credential file names.
    pub(crate) directory: String,
}

impl Credential {
    /// The metadata server: no file.
    pub fn metadata() -> Self {
        Self::new(Kind::Metadata)
    }

    /// A service account's key file; of the first account, if none is named.
    pub fn service_account() -> Self {
        Self::new(Kind::ServiceAccount)
    }

    /// A user's login; of the first user, if none is named.
    pub fn user() -> Self {
        Self::new(Kind::User)
    }

    /// A service account impersonated by a user; the last account, if none is named.
    pub fn impersonated_by_user() -> Self {
        Self::new(Kind::ByUser)
    }

    /// A service account impersonated by another one with a key.
    pub fn impersonated_by_service_account() -> Self {
        Self::new(Kind::ByServiceAccount)
    }

    /// One of each.
    pub fn all() -> [Self; 5] {
        [
            Self::metadata(),
            Self::service_account(),
            Self::user(),
            Self::impersonated_by_user(),
            Self::impersonated_by_service_account(),
        ]
    }

    /// Whose key or login it is: an e-mail.
    pub fn of(mut self, email: impl Into<String>) -> Self {
        self.account = Some(email.into());
        self
    }

    /// Whom it impersonates: an e-mail.
    pub fn target(mut self, email: impl Into<String>) -> Self {
        self.target = Some(email.into());
        self
    }

    /// Through whom it impersonates, written to the file as they are.
    pub fn delegates<S: Into<String>>(mut self, delegates: impl IntoIterator<Item = S>) -> Self {
        self.delegates = delegates.into_iter().map(Into::into).collect();
        self
    }

    /// What kind it is, in a word or a few: `user`, `impersonated_by_user`.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Metadata => "metadata",
            Kind::ServiceAccount => "service_account",
            Kind::User => "user",
            Kind::ByUser => "impersonated_by_user",
            Kind::ByServiceAccount => "impersonated_by_service_account",
            Kind::External(external) => external.name(),
            Kind::ByExternal => "impersonated_by_external",
            Kind::ExternalUser => "external_user",
        }
    }

    /// The name that its file gets; none for the metadata server.
    pub fn file_name(&self) -> Option<String> {
        (self.kind != Kind::Metadata).then(|| format!("{}.json", self.name()))
    }

    pub(crate) fn file(&self, world: &World, endpoints: &Endpoints) -> Value {
        match self.kind {
            Kind::Metadata => Value::Null,
            Kind::ServiceAccount => self.key_file(world, endpoints),
            Kind::User => self.login(world, endpoints),
            Kind::ByUser => self.impersonated(world, endpoints, self.login(world, endpoints)),
            Kind::ByServiceAccount => {
                self.impersonated(world, endpoints, self.key_file(world, endpoints))
            }
            Kind::External(external) => external.file(self, world, endpoints),
            Kind::ByExternal => {
                let source = Self::external_file().without_target();
                self.impersonated(world, endpoints, source.file(world, endpoints))
            }
            Kind::ExternalUser => external::user_file(world, endpoints),
        }
    }

    fn key_file(&self, world: &World, endpoints: &Endpoints) -> Value {
        let account = match &self.account {
            None => &world.accounts[0],
            Some(email) => world.account(email).unwrap_or_else(|| nobody(email)),
        };
        let email = account.email();
        let apis = &endpoints.apis;
        let universe = world
            .metadata
            .universe
            .as_deref()
            .unwrap_or("googleapis.com");
        json!({
            "type": "service_account",
            "project_id": account.project(),
            "private_key_id": key::SERVICE_ACCOUNT.id,
            "private_key": key::SERVICE_ACCOUNT.private_pem(),
            "client_email": email,
            "client_id": account.unique_id(),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": endpoints.token_uri,
            "auth_provider_x509_cert_url": format!("{apis}/oauth2/v1/certs"),
            "client_x509_cert_url": format!("{apis}/service_accounts/v1/metadata/x509/{email}"),
            "universe_domain": universe,
        })
    }

    fn login(&self, world: &World, endpoints: &Endpoints) -> Value {
        let user: &User = match &self.account {
            None => &world.users[0],
            Some(email) => {
                let user = world.users.iter().find(|user| user.email() == email);
                user.unwrap_or_else(|| nobody(email))
            }
        };
        json!({
            "type": "authorized_user",
            "account": "",
            "client_id": user.client_id(),
            "client_secret": user.client_secret(),
            "refresh_token": user.refresh(),
            "token_uri": endpoints.token_uri,
            "universe_domain": "googleapis.com",
        })
    }

    fn impersonated(&self, world: &World, endpoints: &Endpoints, source: Value) -> Value {
        json!({
            "type": "impersonated_service_account",
            "service_account_impersonation_url": self.impersonation_url(world, endpoints),
            "delegates": self.delegates,
            "source_credentials": source,
        })
    }

    pub(crate) fn impersonation_url(&self, world: &World, endpoints: &Endpoints) -> String {
        let last = world.accounts.last().map(|account| account.email());
        let target = self.target.as_deref().or(last).unwrap_or_default();
        let iam = &endpoints.iam;
        format!("{iam}/v1/projects/-/serviceAccounts/{target}:generateAccessToken")
    }

    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            account: None,
            target: None,
            delegates: Vec::new(),
            bare: false,
        }
    }
}

impl Endpoints {
    pub(crate) fn google() -> Self {
        Self {
            token_uri: "https://oauth2.googleapis.com/token".to_owned(),
            iam: "https://iamcredentials.googleapis.com".to_owned(),
            apis: "https://www.googleapis.com".to_owned(),
            sts: "https://sts.googleapis.com".to_owned(),
            sts_by_tls: "https://sts.googleapis.com".to_owned(),
            elsewhere: "http://169.254.169.254".to_owned(),
            directory: IN_MEMORY.to_owned(),
        }
    }

    pub(crate) fn loopback(origin: &str, by_tls: &str, directory: &str) -> Self {
        Self {
            token_uri: format!("{origin}/token"),
            iam: origin.to_owned(),
            apis: origin.to_owned(),
            sts: origin.to_owned(),
            sts_by_tls: by_tls.to_owned(),
            elsewhere: origin.to_owned(),
            directory: directory.to_owned(),
        }
    }
}

fn nobody(email: &str) -> ! {
    panic!("there is no {email} in the emulated world; name it at the builder")
}

/// The directory of files that are on no disk.
pub(crate) const IN_MEMORY: &str = "/google-emulator";
