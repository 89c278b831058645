//! The emulator on loopback: one listener for Google's APIs, one for each Cloud Run service.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    credential::{Credential, Endpoints, IN_MEMORY},
    door::Door,
    emulator::Emulator,
    listener::{Listener, Place},
    tls,
};

/// A running emulator; it stops when this is dropped.
#[derive(Debug)]
#[must_use = "the server stops when it is dropped"]
pub struct Server {
    emulator: Emulator,
    google: Listener,
    by_tls: Listener,
    services: Vec<(String, Listener)>,
    directory: OnceLock<TempDir>,
}

impl Server {
    pub(crate) async fn start(emulator: Emulator, port: u16) -> io::Result<Self> {
        let google = Listener::start(port, emulator.clone(), |_| Place::Google).await?;
        let by_tls = Listener::start(0, emulator.clone(), |_| Place::GoogleByTls).await?;
        let mut services = Vec::new();
        for service in &emulator.world.services {
            let listener = Listener::start(0, emulator.clone(), |address| {
                Place::Run(Door {
                    service: service.clone(),
                    here: Some(origin(address)),
                })
            });
            services.push((service.name().to_owned(), listener.await?));
        }
        Ok(Self {
            emulator,
            google,
            by_tls,
            services,
            directory: OnceLock::new(),
        })
    }

    /// The emulator behind it.
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// `127.0.0.1:PORT`, for `GCE_METADATA_HOST`.
    pub fn metadata_host(&self) -> String {
        self.google.address().to_string()
    }

    /// Where Google's APIs are: `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn origin(&self) -> String {
        origin(self.google.address())
    }

    /// Google's APIs over TLS, where a client may show a certificate: `https://127.0.0.1:PORT`. Its
    /// own is good for those who trust [`root_certificate`](Self::root_certificate).
    pub fn tls_origin(&self) -> String {
        format!("https://{}", self.by_tls.address())
    }

    /// The root of the certificate that is shown at [`tls_origin`](Self::tls_origin), in PEM.
    pub fn root_certificate(&self) -> &'static str {
        tls::SERVER_CA
    }

    /// The OAuth token endpoint.
    pub fn token_uri(&self) -> String {
        self.origin() + "/token"
    }

    /// The IAM Credentials API, as `https://iamcredentials.googleapis.com` is: without a path.
    pub fn iam_endpoint(&self) -> String {
        self.origin()
    }

    /// Google's public keys as a JWK set.
    pub fn certs_url(&self) -> String {
        self.origin() + "/oauth2/v3/certs"
    }

    /// Where the JWK set of Identity-Aware Proxy is.
    pub fn iap_keys_url(&self) -> String {
        self.origin() + "/iap/verify/public_key-jwk"
    }

    /// Google's public keys as X.509 certificates.
    pub fn x509_certs_url(&self) -> String {
        self.origin() + "/oauth2/v1/certs"
    }

    /// The URL of a Cloud Run service, `http://127.0.0.1:PORT` without a slash at the end: where
    /// it is called, and an audience that it accepts.
    ///
    /// # Panics
    /// If there is no such service.
    pub fn run_url(&self, service: &str) -> String {
        let found = self.services.iter().find(|(name, _)| name == service);
        let (_, listener) = found.unwrap_or_else(|| panic!("no Cloud Run service {service}"));
        origin(listener.address())
    }

    /// The names and URLs of all Cloud Run services.
    pub fn run_urls(&self) -> Vec<(String, String)> {
        let url =
            |(name, listener): &(String, Listener)| (name.clone(), origin(listener.address()));
        self.services.iter().map(url).collect()
    }

    /// The content of a credential file that points here; `null` for the metadata server.
    ///
    /// # Panics
    /// If the credential names somebody who does not exist.
    pub fn credentials(&self, credential: &Credential) -> Value {
        self.file(credential, Path::new(IN_MEMORY))
    }

    /// Writes a credential file that points here, and tells its path; for the metadata server,
    /// which needs no file, that of an empty directory to stand for gcloud's.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, credential: &Credential, directory: &Path) -> io::Result<PathBuf> {
        let Some(name) = credential.file_name() else {
            let path = directory.join("no-credentials");
            fs::create_dir_all(&path)?;
            return Ok(path);
        };
        let path = directory.join(name);
        fs::write(&path, format!("{:#}\n", self.file(credential, directory)))?;
        let side_files = credential.side_files(&self.emulator.world, &directory.to_string_lossy());
        for (name, content) in side_files {
            let path = directory.join(name);
            fs::write(&path, content)?;
            #[cfg(unix)]
            if name.ends_with(".sh") {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
            }
        }
        Ok(path)
    }

    fn file(&self, credential: &Credential, directory: &Path) -> Value {
        let directory = directory.to_string_lossy();
        let endpoints = Endpoints::loopback(&self.origin(), &self.tls_origin(), &directory);
        credential.file(&self.emulator.world, &endpoints)
    }

    /// The environment in which a client finds this credential, and nothing else, here; files it
    /// names are removed with the server.
    ///
    /// # Errors
    /// What the file system says.
    pub fn env_for(&self, credential: &Credential) -> io::Result<Vec<(String, String)>> {
        let directory = match self.directory.get() {
            Some(directory) => directory,
            None => {
                let new = TempDir::with_prefix("google-emulator-")?;
                self.directory.get_or_init(|| new)
            }
        };
        self.env_with(credential, directory.path())
    }

    /// Like [`env_for`](Self::env_for), with the files in this directory, where they stay.
    ///
    /// # Errors
    /// What the file system says.
    pub fn env_with(
        &self,
        credential: &Credential,
        directory: &Path,
    ) -> io::Result<Vec<(String, String)>> {
        let path = self
            .write(credential, directory)?
            .to_string_lossy()
            .into_owned();
        let mut env = Vec::new();
        let mut set = |name: &str, value: String| env.push((name.to_owned(), value));
        if credential.file_name().is_some() {
            set("GOOGLE_APPLICATION_CREDENTIALS", path);
        } else {
            // Credentials that the machine has besides would win over its metadata server.
            set("GOOGLE_APPLICATION_CREDENTIALS", String::new());
            set("CLOUDSDK_CONFIG", path);
        }
        if let Some(name) = credential.root_certificate() {
            set(
                "SSL_CERT_FILE",
                directory.join(name).to_string_lossy().into_owned(),
            );
        }
        for (name, value) in credential.variables() {
            set(name, (*value).to_owned());
        }
        set("GCE_METADATA_HOST", self.metadata_host());
        set("GCE_METADATA_IP", self.metadata_host());
        set(
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS",
            self.iam_endpoint() + "/",
        );
        if let Some((_, url)) = self.run_urls().into_iter().next() {
            set("SERVICE_URL", url);
        }
        Ok(env)
    }

    /// Stops listening, lets the requests under way finish, and comes back when they have.
    pub async fn shutdown(self) {
        let services = self.services.into_iter().map(|(_, listener)| listener);
        let listeners: Vec<Listener> = services.chain([self.google, self.by_tls]).collect();
        listeners.iter().for_each(Listener::stop);
        for listener in listeners {
            listener.finish().await;
        }
    }
}

fn origin(address: SocketAddr) -> String {
    format!("http://{}:{}", Ipv4Addr::LOCALHOST, address.port())
}
