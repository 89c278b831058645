//! The peers' verifiers, each as its documentation has it, and the signature check that they do.

use std::sync::Arc;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use gcloud_sdk::IdTokenAudience;
use gcloud_sdk::id_token_verify::{IdTokenKeys, IdTokenKeysSource, IdTokenVerifier, JwkSet};
use google_cloud_auth::credentials::idtoken::verifier;
use google_emulator::{Emulator, Server};
use tower::BoxError;

use super::{AUDIENCE, Row, modulus_and_exponent, signature_alone};

pub(super) fn rows(server: &Server) -> Result<Vec<Row>, BoxError> {
    let google = verifier::Builder::new([AUDIENCE])
        .with_jwks_url(server.certs_url())
        .build();
    let google = Arc::new(google);
    let keys = serde_json::json!({ "keys": [server.emulator().jwk()] });
    let keys = Keys(serde_json::from_value(keys)?);
    let audience = IdTokenAudience::new(AUDIENCE);
    let sdk = Arc::new(IdTokenVerifier::with_keys_source(audience, keys));
    Ok(vec![
        aws_lc_rs_alone(server.emulator()),
        Row::new(
            "google-cloud-auth",
            "google-cloud-auth 1.18",
            move |tokens| {
                let verifier = Arc::clone(&google);
                async move {
                    let mut good = 0;
                    for token in &*tokens {
                        good += usize::from(verifier.verify(token).await.is_ok());
                    }
                    good
                }
            },
        ),
        Row::new("gcloud-sdk", "gcloud-sdk 0.33", move |tokens| {
            let verifier = Arc::clone(&sdk);
            async move {
                let mut good = 0;
                for token in &*tokens {
                    good += usize::from(verifier.verify(token).await.is_ok());
                }
                good
            }
        }),
    ])
}

/// Both peers check signatures with this library.
fn aws_lc_rs_alone(emulator: &Emulator) -> Row {
    let (n, e) = modulus_and_exponent(emulator);
    let key = RsaPublicKeyComponents { n, e };
    let title = "the signature alone (aws-lc-rs, RS256)";
    signature_alone("signature-aws-lc-rs", title, move |signed, signature| {
        key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            .is_ok()
    })
}

struct Keys(JwkSet);

#[async_trait::async_trait]
impl IdTokenKeysSource for Keys {
    async fn fetch_keys(&self) -> gcloud_sdk::error::Result<IdTokenKeys> {
        Ok(IdTokenKeys::new(
            self.0.clone(),
            std::time::Duration::from_secs(3600),
        ))
    }
}
