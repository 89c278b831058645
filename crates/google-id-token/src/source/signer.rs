//! A service account's private key, as something that signs.

use std::fmt;
use std::sync::Arc;

use tower_id_token::SourceError;

use super::pem;

/// RS256 with the key of a service account, by gcp_auth's signer.
#[derive(Clone)]
pub(crate) struct Signer(Arc<Key>);

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
type Key = gcp_auth::CustomServiceAccount;
#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
type Key = std::convert::Infallible;

impl Signer {
    /// The key of a PEM text; the error says what is wrong with it.
    ///
    /// Reads root certificates from the disk, because gcp_auth makes a client along with a key.
    pub(crate) fn from_pem(text: &str) -> Result<Self, String> {
        key(&pem::pkcs8(text)?).map(|key| Self(Arc::new(key)))
    }

    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SourceError> {
        self.0.signer().sign(message).map_err(|_| {
            SourceError::new(
                tower_id_token::ErrorKind::Config,
                "the service account's key does not sign",
            )
        })
    }

    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    pub(crate) fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SourceError> {
        match *self.0 {}
    }
}

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
fn key(pkcs8: &str) -> Result<Key, String> {
    // Only the key matters: gcp_auth is asked for signatures and nothing else.
    let json = serde_json::json!({ "private_key": pkcs8, "client_email": "", "token_uri": "" });
    gcp_auth::CustomServiceAccount::from_json(&json.to_string()).map_err(|error| match error {
        gcp_auth::Error::Io(..) => "no TLS root certificates were found: install the system's \
             (ca-certificates), or name a PEM file in SSL_CERT_FILE"
            .to_owned(),
        // The error itself may quote a line of the key.
        _ => "it is no RSA private key (of 2,048 bits or more)".to_owned(),
    })
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn key(_: &str) -> Result<Key, String> {
    Err("this build cannot sign: enable the feature `ring` or `aws-lc-rs`".to_owned())
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}
