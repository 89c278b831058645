//! TLS over real sockets: whose certificates are believed, and which way the connection takes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use google_emulator::{Credential, Emulator};
use google_id_token::{Builder, Claims, Env, ErrorKind, IdToken, SourceError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::{audience, id_token, user_file};

const GOOGLE: &str = "oauth2.googleapis.com";
const STS: &str = "sts.googleapis.com";
const IAM: &str = "iamcredentials.googleapis.com";

/// An authority of its own, with its root in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("root.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    /// An end of TLS that has a certificate for these names.
    fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What stands before the token endpoint.
#[derive(Clone, Copy, PartialEq)]
enum Door {
    Open,
    /// An HTTP proxy that answers `CONNECT` with this.
    Connect(&'static str),
    Socks,
}

/// A token endpoint behind a door, and what was said to the door.
struct Endpoint {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    async fn start(authority: &Authority, door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let said = Arc::clone(&heard);
        let acceptor = authority.acceptor(&["127.0.0.1", GOOGLE, STS, IAM]);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, said) = (acceptor.clone(), Arc::clone(&said));
                tokio::spawn(async move { serve(stream, acceptor, door, &said).await });
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// One connection; whoever hangs up early ends it.
async fn serve(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    door: Door,
    said: &Mutex<Vec<String>>,
) -> Option<()> {
    match door {
        Door::Open => {}
        Door::Connect(answer) => {
            let head = request(&mut stream).await?;
            said.lock().unwrap().push(head);
            let answer = format!("HTTP/1.1 {answer}\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
        Door::Socks => {
            let mut hello = [0; 3];
            stream.read_exact(&mut hello).await.ok()?;
            stream.write_all(&[5, 0]).await.ok()?;
            let mut start = [0; 5];
            stream.read_exact(&mut start).await.ok()?;
            let mut rest = vec![0; usize::from(start[4]) + 2];
            stream.read_exact(&mut rest).await.ok()?;
            let host = String::from_utf8_lossy(&rest[..rest.len() - 2]).into_owned();
            said.lock().unwrap().push(host);
            stream
                .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
                .await
                .ok()?;
        }
    }
    let mut stream = acceptor.accept(stream).await.ok()?;
    request(&mut stream).await?;
    let body = serde_json::json!({
        "id_token": id_token("over-tls"),
        "access_token": "ya29.over-tls",
        "expires_in": 3600,
        "token": id_token("over-tls"),
    })
    .to_string();
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// Reads a request to its end, and gives its head.
async fn request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(head.to_owned());
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

/// A user's token, by an exchange at this URL (Google's own, where there is none).
async fn exchange(env: &Env, url: Option<String>) -> Result<IdToken, SourceError> {
    let mut file = user_file();
    if let Some(url) = url {
        file["token_uri"] = url.into();
    }
    let builder = Builder::new()
        .env(env.clone())
        .credentials_json(file.to_string())
        .user_tokens_for_cloud_run();
    let tokens = builder.build().await.unwrap().id_tokens();
    tokens.get(&audience()).await
}

fn env<const N: usize>(variables: [(&str, String); N]) -> Env {
    Env::from_iter(variables)
}

#[tokio::test]
async fn a_root_in_ssl_cert_file_or_in_ssl_cert_dir_is_believed() {
    let authority = Authority::new();
    let endpoint = Endpoint::start(&authority, Door::Open).await;
    let url = format!("https://{}/token", endpoint.address);
    let root = authority.root().display().to_string();
    let directory = authority.directory.path().display().to_string();
    for env in [
        env([("SSL_CERT_FILE", root.clone())]),
        env([("SSL_CERT_DIR", directory.clone())]),
        env([
            ("SSL_CERT_FILE", "/gone.pem".to_owned()),
            ("SSL_CERT_DIR", format!("/gone:{directory}")),
        ]),
        // Loopback is reached straight, whatever the variables say.
        env([
            ("SSL_CERT_FILE", root.clone()),
            ("HTTPS_PROXY", "http://127.0.0.1:1".to_owned()),
        ]),
    ] {
        let token = exchange(&env, Some(url.clone())).await.unwrap();
        let claims = Claims::unverified(&token).unwrap();
        assert_eq!(claims.aud.as_deref(), Some("over-tls"));
    }
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_is_not_known_is_a_clear_error() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let endpoint = Endpoint::start(&theirs, Door::Open).await;
    let url = format!("https://{}/token", endpoint.address);
    let env = env([("SSL_CERT_FILE", ours.root().display().to_string())]);
    let error = exchange(&env, Some(url.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in [&*url, "certificate is not one to trust", "SSL_CERT_FILE"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_file_of_roots_that_is_missing_or_empty_is_named() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    for path in [
        "/gone/roots.pem".to_owned(),
        empty.path().display().to_string(),
    ] {
        let env = env([("SSL_CERT_FILE", path.clone())]);
        let url = "https://127.0.0.1:1/token".to_owned();
        let error = exchange(&env, Some(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let named = format!("SSL_CERT_FILE={path}");
        assert!(error.to_string().contains(&named), "{error}");
    }
}

#[tokio::test]
async fn google_is_asked_through_the_proxy_that_a_variable_names() {
    let authority = Authority::new();
    let root = authority.root().display().to_string();
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = Endpoint::start(&authority, Door::Connect("200 OK")).await;
        let url = format!("http://me:hush%21@{}", proxy.address);
        let env = env([("SSL_CERT_FILE", root.clone()), (name, url)]);
        exchange(&env, None).await.unwrap();
        let heard = proxy.heard();
        assert_eq!(heard.len(), 1, "{name}");
        assert!(heard[0].starts_with("CONNECT oauth2.googleapis.com:443"));
        // me:hush!
        let auth = "proxy-authorization: basic bwu6ahvzace=";
        assert!(heard[0].to_ascii_lowercase().contains(auth), "{}", heard[0]);
    }
}

#[tokio::test]
async fn so_it_is_by_a_workload_that_shows_a_certificate() {
    let authority = Authority::new();
    let proxy = Endpoint::start(&authority, Door::Connect("200 OK")).await;
    let emulator = Emulator::new();
    let credential = Credential::external_certificate();
    let env = env([
        ("SSL_CERT_FILE", authority.root().display().to_string()),
        ("HTTPS_PROXY", format!("http://{}", proxy.address)),
    ]);
    let files = emulator.files(&credential).into_iter();
    let env = files.fold(env, |env, (path, content)| env.file(path, content));
    let file = emulator.credentials(&credential).to_string();
    let builder = Builder::new().env(env).credentials_json(file);
    let tokens = builder.build().await.unwrap().id_tokens();
    tokens.get(&audience()).await.unwrap();
    let heard = proxy.heard();
    assert_eq!(heard.len(), 2);
    for (heard, host) in heard.iter().zip([STS, IAM]) {
        assert!(heard.starts_with(&format!("CONNECT {host}:443")), "{heard}");
    }
}

#[tokio::test]
async fn a_socks_proxy_looks_the_name_up_itself() {
    let authority = Authority::new();
    let proxy = Endpoint::start(&authority, Door::Socks).await;
    let env = env([
        ("SSL_CERT_FILE", authority.root().display().to_string()),
        ("ALL_PROXY", format!("socks5h://{}", proxy.address)),
    ]);
    exchange(&env, None).await.unwrap();
    assert_eq!(proxy.heard(), [GOOGLE]);
}

#[tokio::test]
async fn a_proxy_that_does_not_let_through_is_named_without_its_password() {
    let authority = Authority::new();
    let root = authority.root().display().to_string();
    for (says, kind) in [
        ("407 Proxy Authentication Required", ErrorKind::Config),
        ("403 Forbidden", ErrorKind::Unavailable),
    ] {
        let proxy = Endpoint::start(&authority, Door::Connect(says)).await;
        let url = format!("http://me:hush-password@{}", proxy.address);
        let env = env([("SSL_CERT_FILE", root.clone()), ("HTTPS_PROXY", url)]);
        let error = exchange(&env, None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = format!("{error} {error:?}");
        let named = format!("the proxy {} (HTTPS_PROXY)", proxy.address);
        assert!(text.contains(&named), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[tokio::test]
async fn a_variable_that_names_no_proxy_is_an_error_and_not_passed_over() {
    let authority = Authority::new();
    let root = authority.root().display().to_string();
    for address in ["ftp://proxy:21", "http://hush proxy", "::"] {
        let proxy = ("HTTPS_PROXY", address.to_owned());
        let env = env([("SSL_CERT_FILE", root.clone()), proxy]);
        let error = exchange(&env, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{address}");
        assert!(error.to_string().contains("HTTPS_PROXY"), "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn the_metadata_server_is_asked_straight_whatever_the_variables_say() {
    let server = Emulator::new().serve().await.unwrap();
    let nowhere = "http://127.0.0.1:1".to_owned();
    let env = env([
        ("GCE_METADATA_HOST", server.metadata_host()),
        ("HTTP_PROXY", nowhere.clone()),
        ("http_proxy", nowhere.clone()),
        ("HTTPS_PROXY", nowhere.clone()),
        ("ALL_PROXY", nowhere),
    ]);
    let found = Builder::new().env(env).build().await.unwrap();
    found.id_tokens().get(&audience()).await.unwrap();
}
