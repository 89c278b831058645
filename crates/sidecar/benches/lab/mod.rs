//! The bench's programs: who runs, and where.
#![allow(missing_docs, unreachable_pub, reason = "part of a bench")]

pub mod bootstrap;
mod instructions;
pub mod roles;
mod rounds;
mod wrk;

use std::net::SocketAddr;
use std::process::Stdio;

use google_emulator::Server;
use http::Method;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

pub use self::rounds::Load;
use self::rounds::Quartiles;
use crate::support::{Caller, Sidecar};
use crate::{AUDIENCE, HOST};

/// The programs that all rounds share.
pub struct Lab {
    /// What wrk and the service are started through: to be on another processor.
    beside: &'static [&'static str],
    pub upstream: Program,
    pub upstream_tls: Program,
    certificate: String,
    /// A header as the sidecar sends it: what it costs depends on its length, and by h2 on its
    /// letters.
    pub header: String,
    _directory: TempDir,
}

/// This binary in one of its roles; it is killed when this is dropped.
pub struct Program {
    _child: Child,
    pub id: u32,
    pub address: SocketAddr,
}

impl Lab {
    pub async fn new(google: &Server) -> Self {
        let beside = pin();
        let directory = tempfile::tempdir().expect("a directory");
        roles::certify(directory.path());
        let certificate = directory.path().join("certificate.pem");
        let certificate = certificate.to_str().expect("a plain path").to_owned();
        Self {
            beside,
            upstream: Program::start(beside, &["--upstream"]).await,
            upstream_tls: Program::start(beside, &["--upstream-tls", &certificate]).await,
            certificate,
            header: format!("Bearer {}", token(google).await),
            _directory: directory,
        }
    }

    /// Whether the programs that are measured have a processor to themselves.
    pub fn pinned(&self) -> bool {
        !self.beside.is_empty()
    }

    /// The service's URL: with TLS, h2 comes with it.
    pub fn url(&self, tls: bool) -> String {
        if tls {
            format!("https://localhost:{}", self.upstream_tls.address.port())
        } else {
            format!("http://{}", self.upstream.address)
        }
    }

    /// The bare proxy of the service; through another program, if one is given.
    pub async fn bare_proxy(&self, tls: bool, through: &[&str]) -> Program {
        let url = self.url(tls);
        let arguments = ["--bare-proxy", &url, &self.certificate, &self.header];
        Program::start(through, &arguments).await
    }

    /// The bare server that Envoy asks.
    pub async fn bare_authz(&self) -> Program {
        Program::start(&[], &["--bare-authz", &self.header]).await
    }

    /// The sidecar's `proxy` of the service; through another program, if one is given.
    pub async fn proxy(&self, google: &Server, tls: bool, through: &[&str]) -> Sidecar {
        let url = self.url(tls);
        let mut arguments = vec!["proxy", "--url", &url, "--local-host", HOST];
        if tls {
            arguments.extend(["--ca", &self.certificate]);
        }
        Sidecar::start_through(through, google, &arguments).await
    }

    /// From the start of the process to the first 200 through it, its log line included.
    pub async fn cold_start(&self, google: &Server) {
        let mut millis = Vec::new();
        for _ in 0..COLD_STARTS {
            let start = Instant::now();
            let proxy = Sidecar::start(google, &["proxy", "--url", &self.url(false)]).await;
            let answer = Caller::new().get(&proxy.url("/")).await;
            assert_eq!(answer.status, 200);
            millis.push(start.elapsed().as_secs_f64() * 1e3);
        }
        println!(
            "\n`proxy`, start to first 200: {:.1} ms",
            Quartiles::of(millis)
        );
    }
}

impl Program {
    /// Starts a role; through another program, if one is given.
    pub async fn start(through: &[&str], arguments: &[&str]) -> Self {
        let own = std::env::current_exe().expect("a path");
        let own = own.to_str().expect("a plain path");
        let words = [through, &[own], arguments].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this binary runs");
        let stdout = child.stdout.take().expect("it is piped");
        let line = BufReader::new(stdout).lines().next_line().await;
        Self {
            id: child.id().expect("it runs"),
            address: line
                .expect("a line")
                .expect("an address")
                .parse()
                .expect("an address"),
            _child: child,
        }
    }
}

/// A token as the sidecar gets it.
async fn token(google: &Server) -> String {
    let url = format!(
        "http://{}/computeMetadata/v1/instance/service-accounts/default/identity?audience={AUDIENCE}&format=full",
        google.metadata_host()
    );
    let flavor = [("metadata-flavor", "Google")];
    let answer = Caller::new().send(Method::GET, &url, &flavor, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// Whether there is such a program.
pub fn installed(program: &str) -> bool {
    let run = std::process::Command::new(program)
        .arg("--version")
        .output();
    run.is_ok()
}

/// Puts this process, and so all that it starts, on processor 0, where there are two; answers
/// what the programs of processor 1 are started through.
fn pin() -> &'static [&'static str] {
    let run = |words: &[&str]| {
        let output = std::process::Command::new(words[0])
            .args(&words[1..])
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let id = std::process::id().to_string();
    if run(&[ON_1, &["true"]].concat()) && run(&["taskset", "-c", "-p", "0", &id]) {
        ON_1
    } else {
        &[]
    }
}

const ON_1: &[&str] = &["taskset", "-c", "1"];
const COLD_STARTS: usize = 21;
