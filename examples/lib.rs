//! One file per question a reader has; this one has what they share, which is where they run.
//!
//! With a URL as its first argument, an example calls that service with your own application
//! default credentials. Without, it calls a service in an emulator of its own.

use google_emulator::{Credential, Emulator, RunService, Server};
use google_id_token::Builder;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tower::BoxError;

/// A service to call, and the credentials to call it with.
#[derive(Debug)]
pub struct Stage {
    /// Where the service is.
    pub url: Uri,
    /// Who calls it.
    pub credentials: Builder,
    /// The emulator, where it is an emulator's service.
    pub emulator: Option<Server>,
}

impl Stage {
    /// The service at the URL that is the program's first argument, or else [`emulated`].
    ///
    /// [`emulated`]: Self::emulated
    ///
    /// # Errors
    /// Of an argument that is no URL.
    pub async fn from_args(emulated: impl Into<RunService>) -> Result<Self, BoxError> {
        let Some(url) = std::env::args().nth(1) else {
            return Self::emulated(emulated).await;
        };
        choose_crypto();
        Ok(Self {
            url: url.parse()?,
            credentials: Builder::new(),
            emulator: None,
        })
    }

    /// This service behind an emulator's door, on loopback, and a service account's key.
    ///
    /// # Errors
    /// Of the operating system, where it has no port.
    pub async fn emulated(service: impl Into<RunService>) -> Result<Self, BoxError> {
        choose_crypto();
        let emulator = Emulator::builder().run(service).build().serve().await?;
        let (_, url) = emulator.run_urls().swap_remove(0);
        let key = emulator.credentials(&Credential::service_account());
        Ok(Self {
            url: url.parse()?,
            credentials: Builder::new().credentials_json(key.to_string()),
            emulator: Some(emulator),
        })
    }
}

/// hyper's client, for https and plain http: the one that `hyper_client.rs` spells out.
pub type HttpClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// A new client.
///
/// # Errors
/// Of a system without root certificates.
pub fn http_client<B>() -> Result<HttpClient<B>, BoxError>
where
    B: http_body::Body<Data: Send> + Send,
{
    let https = HttpsConnectorBuilder::new()
        .with_native_roots()?
        .https_or_http()
        .enable_all_versions()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(https))
}

/// For those of the clients that leave the choice to the process.
fn choose_crypto() {
    // An error says that it was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The README's code compiles too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
