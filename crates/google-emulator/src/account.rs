//! Who there is in the emulated world: service accounts and users.

use std::fmt;

use ring::digest;

/// A service account; all of them share one public test key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    email: String,
}

/// A person who has run `gcloud auth application-default login`.
///
/// Refresh token and client secret are of the emulator's making and open nothing elsewhere; they
/// are kept out of `Debug` all the same.
#[derive(Clone)]
pub struct User {
    email: String,
    client_id: String,
    client_secret: String,
    refresh_token: String,
    scopes: Vec<String>,
}

impl ServiceAccount {
    /// A service account by its e-mail, `NAME@PROJECT.iam.gserviceaccount.com`.
    pub fn new(email: impl Into<String>) -> Self {
        Self {
            email: email.into(),
        }
    }

    /// The account's e-mail.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The account's 21-digit id, the `sub` of its tokens; always the same for the same e-mail.
    pub fn unique_id(&self) -> String {
        unique_id(&self.email)
    }

    /// The project that the e-mail names.
    pub(crate) fn project(&self) -> &str {
        let domain = self.email.split('@').nth(1).unwrap_or_default();
        domain.split('.').next().unwrap_or_default()
    }
}

impl<T: Into<String>> From<T> for ServiceAccount {
    fn from(email: T) -> Self {
        Self::new(email)
    }
}

impl User {
    /// A user with the scopes of a gcloud login, `openid` among them, through the client that
    /// application default credentials name.
    pub fn new(email: impl Into<String>) -> Self {
        let email = email.into();
        Self {
            client_id: ADC_CLIENT.to_owned(),
            client_secret: "emulated-client-secret".to_owned(),
            refresh_token: format!("1//0emulated-{}", unique_id(&email)),
            scopes: LOGIN_SCOPES.map(str::to_owned).to_vec(),
            email,
        }
    }

    /// The OAuth client that the user logged in through: the `aud` of the user's ID tokens.
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.client_id = id.into();
        self.client_secret = secret.into();
        self
    }

    /// The refresh token in the user's credential file.
    pub fn refresh_token(mut self, token: impl Into<String>) -> Self {
        self.refresh_token = token.into();
        self
    }

    /// What the user consented to; without `openid` there is no ID token.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The user's e-mail.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The user's 21-digit id, the `sub` of the user's tokens.
    pub fn unique_id(&self) -> String {
        unique_id(&self.email)
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn client_secret(&self) -> &str {
        &self.client_secret
    }

    pub(crate) fn refresh(&self) -> &str {
        &self.refresh_token
    }

    pub(crate) fn granted_scopes(&self) -> &[String] {
        &self.scopes
    }
}

impl<T: Into<String>> From<T> for User {
    fn from(email: T) -> Self {
        Self::new(email)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("email", &self.email)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Twenty-one digits, the first a one, as Google's are.
fn unique_id(email: &str) -> String {
    let hash = digest::digest(&digest::SHA256, email.as_bytes());
    let mut id = String::from("1");
    id.extend(
        hash.as_ref()
            .iter()
            .take(20)
            .map(|byte| char::from(b'0' + byte % 10)),
    );
    id
}

/// The client of `gcloud auth application-default login`.
pub(crate) const ADC_CLIENT: &str =
    "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com";

/// The client of `gcloud auth login`.
pub(crate) const GCLOUD_CLIENT: &str = "32555940559.apps.googleusercontent.com";

const LOGIN_SCOPES: [&str; 4] = [
    "openid",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/sqlservice.login",
];
