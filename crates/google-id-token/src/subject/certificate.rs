//! Subject tokens by X.509: the certificate that is shown in TLS, named in the request as well.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tower_id_token::{ErrorKind, SourceError};

use super::Asking;
use crate::certificate::{CertificateConfig, certificates};
use crate::file::Fields;

/// `credential_source.certificate` ([X.509 federation]).
///
/// [X.509 federation]: https://cloud.google.com/iam/docs/workload-identity-federation-with-x509-certificates
pub(crate) struct CertificateSubject {
    config: Arc<CertificateConfig>,
    /// The certificates between the leaf and the pool's trust anchor, in PEM.
    trust_chain: Option<PathBuf>,
}

impl CertificateSubject {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let fields = fields.inside("certificate")?;
        let location = fields.optional("certificate_config_location")?;
        let path = match (fields.flag("use_default_certificate_config")?, location) {
            (true, None) => None,
            (false, Some(path)) => Some(path.into()),
            _ => {
                return Err(fields.wrong_all(
                    "it wants one of `use_default_certificate_config` (true) and \
                     `certificate_config_location`",
                ));
            }
        };
        Ok(Self {
            config: Arc::new(CertificateConfig { path }),
            trust_chain: fields.optional("trust_chain_path")?.map(PathBuf::from),
        })
    }

    pub(super) fn config(&self) -> Arc<CertificateConfig> {
        Arc::clone(&self.config)
    }

    /// The certificates as a list of base64 in JSON, the leaf first.
    pub(super) async fn token(&self, asking: &Asking<'_>) -> Result<String, SourceError> {
        let identity = self.config.identity(asking.env).await?;
        let mut chain = vec![identity.chain[0].clone()];
        if let Some(path) = &self.trust_chain {
            let rest = certificates(asking.env, path).await?;
            // A chain may begin with the leaf, and has it nowhere else.
            let rest = match rest.iter().position(|one| *one == chain[0]) {
                None => &rest[..],
                Some(0) => &rest[1..],
                Some(_) => {
                    let path = path.display();
                    let message = format!(
                        "the trust chain in {path} has the workload's own certificate in it, and \
                         not at the start"
                    );
                    return Err(SourceError::new(ErrorKind::Config, message));
                }
            };
            chain.extend_from_slice(rest);
        }
        let chain: Vec<_> = chain.iter().map(|one| STANDARD.encode(one)).collect();
        Ok(json!(chain).to_string())
    }
}
