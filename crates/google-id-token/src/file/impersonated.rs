//! `impersonated_service_account`: a service account's name, and the credentials that may act
//! as it.

use tower_id_token::SourceError;

use super::{CredentialFile, Fields};
use crate::source::Target;

pub(crate) struct ImpersonatedFile {
    pub(crate) target: Target,
    /// Never impersonated itself.
    pub(crate) source: CredentialFile,
}

impl ImpersonatedFile {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let url = fields.endpoint(URL)?.ok_or_else(|| fields.missing(URL))?;
        let mut target = Target::from_url(&url).ok_or_else(|| {
            fields.wrong(
                URL,
                "it does not end in \
                 `/serviceAccounts/EMAIL:generateAccessToken`",
            )
        })?;
        for delegate in fields.list("delegates")? {
            target = target
                .through(&delegate)
                .map_err(|what| fields.wrong("delegates", &what))?;
        }
        let inside = fields.inside("source_credentials")?;
        Ok(match CredentialFile::read(&inside)? {
            // Whoever may act as A, who may act as B, is a chain with A as the delegate: one
            // request instead of one for each link.
            CredentialFile::Impersonated(inner) => Self {
                target: inner.target.then(target),
                source: inner.source,
            },
            // The same, where federation leads to A.
            CredentialFile::External(source) => Self {
                target: match source.target.clone() {
                    Some(first) => first.then(target),
                    None => target,
                },
                source: CredentialFile::External(source),
            },
            source => Self { target, source },
        })
    }
}

const URL: &str = "service_account_impersonation_url";
