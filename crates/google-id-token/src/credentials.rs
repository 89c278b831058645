//! Credentials that were found: what kind they are, where they come from, and their tokens.

use std::fmt;

use serde::Serialize;
use tower_id_token::{Audience, Cache, IdToken};

use crate::{AccessToken, Looked, Scopes, SubjectSource};

/// What this process proves its identity with. Made by [`Builder::build`](crate::Builder::build).
///
/// Clones share their tokens.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) id_tokens: Cache<Audience, IdToken>,
    pub(crate) access_tokens: Option<Cache<Scopes, AccessToken>>,
    pub(crate) kind: Kind,
    pub(crate) found: String,
    pub(crate) principal: Option<String>,
    pub(crate) looked: Vec<Looked>,
}

impl Credentials {
    /// ID tokens by audience: what [`AddIdTokenLayer`](crate::AddIdTokenLayer) takes.
    pub fn id_tokens(&self) -> Cache<Audience, IdToken> {
        self.id_tokens.clone()
    }

    /// Access tokens by scopes, of the same identity as the ID tokens. An impersonated account
    /// has none here.
    pub fn access_tokens(&self) -> Option<Cache<Scopes, AccessToken>> {
        self.access_tokens.clone()
    }

    /// What kind of credentials they are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where they were found, in words: `GOOGLE_APPLICATION_CREDENTIALS (/path/key.json)`.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// The places that were looked at, in order; these credentials were in the last one.
    pub fn looked(&self) -> &[Looked] {
        &self.looked
    }

    /// The e-mail of who the tokens are for, where it is known without asking: from a key file,
    /// or because it is impersonated.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("kind", &self.kind)
            .field("found", &self.found)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// The kinds of credentials that there are. `Display` names them in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// The metadata server's default service account.
    Metadata,
    /// A service account, by its key.
    ServiceAccount,
    /// A user, by a login of gcloud.
    User,
    /// A service account, by the leave of another identity.
    Impersonated,
    /// A service account, by the leave of an external account: workload or workforce identity
    /// federation, with a subject token from there.
    External(SubjectSource),
    /// A service account, by the leave of a workforce user who has logged in.
    ExternalUser,
    /// Whoever the gcloud CLI is logged in as, or impersonates.
    GcloudCli,
    /// One token, minted elsewhere.
    StaticToken,
    /// A file whose token somebody else renews.
    TokenFile,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "the metadata server's service account",
            Self::ServiceAccount => "a service account's key",
            Self::User => "a user's login",
            Self::Impersonated => "an impersonated service account",
            Self::External(source) => return write!(f, "an external account, by {source}"),
            Self::ExternalUser => "a workforce user's login",
            Self::GcloudCli => "the gcloud CLI",
            Self::StaticToken => "a token given",
            Self::TokenFile => "a token file",
        })
    }
}
