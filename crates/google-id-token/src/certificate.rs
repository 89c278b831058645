//! The workload's own X.509 certificate: where gcloud's configuration says that it lies.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower_id_token::{ErrorKind, SourceError};

use crate::Env;
use crate::env::LARGEST_FILE;
use crate::file::{Fields, json_object};

/// Where `certificate_config.json` is.
pub(crate) struct CertificateConfig {
    /// None for the usual places: `GOOGLE_API_CERTIFICATE_CONFIG`, gcloud's directory.
    pub(crate) path: Option<PathBuf>,
}

/// A certificate with its key.
pub(crate) struct Identity {
    /// The leaf is the first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl CertificateConfig {
    /// The certificate and the key as they are now: whoever rotates them writes new files.
    pub(crate) async fn identity(&self, env: &Env) -> Result<Identity, SourceError> {
        let path = self.place(env)?;
        let origin = path.display().to_string();
        let json = json_object(&origin, &read(env, &path).await?)?;
        let fields = Fields::new(&origin, &json);
        let workload = fields.inside("cert_configs")?.inside("workload")?;
        let certificate = workload.required("cert_path")?;
        let chain = certificates(env, Path::new(certificate)).await?;
        let key_path = workload.required("key_path")?;
        let key = read(env, Path::new(key_path)).await?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| wrong(Path::new(key_path), "holds no private key in PEM"))?;
        Ok(Identity { chain, key })
    }

    fn place(&self, env: &Env) -> Result<PathBuf, SourceError> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        if let Some(path) = env.value(VARIABLE) {
            return Ok(path.into());
        }
        let directory = env.gcloud_directory().ok_or_else(|| {
            let message = format!(
                "the certificate's configuration is looked for in gcloud's directory, and the home \
                 directory is not known: set {VARIABLE}"
            );
            SourceError::new(ErrorKind::Config, message)
        })?;
        Ok(env.join(directory, FILE))
    }
}

/// All certificates in a file of PEM; there is at least one.
pub(crate) async fn certificates(
    env: &Env,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let contents = read(env, path).await?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&contents).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| wrong(path, "holds no certificate in PEM"))
}

async fn read(env: &Env, path: &Path) -> Result<bytes::Bytes, SourceError> {
    let contents = env
        .read(path)
        .await
        .map_err(|error| wrong(path, &format!("cannot be read: {error}")))?;
    if contents.len() as u64 > LARGEST_FILE {
        return Err(wrong(path, "is larger than 1 MiB"));
    }
    Ok(contents)
}

fn wrong(path: &Path, what: &str) -> SourceError {
    let message = format!(
        "{}, which federation by X.509 needs, {what}",
        path.display()
    );
    SourceError::new(ErrorKind::Config, message)
}

const VARIABLE: &str = "GOOGLE_API_CERTIFICATE_CONFIG";
const FILE: &str = "certificate_config.json";
