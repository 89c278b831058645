//! The roots that TLS certificates are trusted by.

use rustls::RootCertStore;
use rustls_native_certs::CertificateResult;
use tower_id_token::{ErrorKind, SourceError};

use crate::Env;

/// The certificates of `SSL_CERT_FILE` and `SSL_CERT_DIR`, and the system's where neither is set.
///
/// Reads the disk.
///
/// # Errors
///
/// [`ErrorKind::Config`] where there are none.
pub(super) fn roots(env: &Env) -> Result<RootCertStore, SourceError> {
    let (file, directories) = (env.value(FILE), env.value(DIRECTORIES));
    let mut named = Vec::new();
    let found = if file.is_none() && directories.is_none() {
        rustls_native_certs::load_native_certs()
    } else {
        let mut found = CertificateResult::default();
        let mut add = |more: CertificateResult| {
            found.certs.extend(more.certs);
            found.errors.extend(more.errors);
        };
        if let Some(file) = file {
            named.push(format!("{FILE}={}", file.display()));
            add(rustls_native_certs::load_certs_from_paths(
                Some(file.as_ref()),
                None,
            ));
        }
        if let Some(directories) = directories {
            named.push(format!("{DIRECTORIES}={}", directories.display()));
            for directory in std::env::split_paths(&directories) {
                add(rustls_native_certs::load_certs_from_paths(
                    None,
                    Some(&directory),
                ));
            }
        }
        found
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let place = match named.is_empty() {
        true => String::new(),
        false => format!(" in {}", named.join(" and ")),
    };
    let why = found.errors.first();
    let why = why.map_or_else(String::new, |error| format!(" ({error})"));
    Err(SourceError::new(
        ErrorKind::Config,
        format!(
            "no TLS root certificates were found{place}{why}: install the system's \
             (ca-certificates), or name a PEM file in {FILE}"
        ),
    ))
}

const FILE: &str = "SSL_CERT_FILE";
const DIRECTORIES: &str = "SSL_CERT_DIR";
