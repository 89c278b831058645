//! The bench's programs and its clock: who runs, how much of a processor each takes.
#![allow(missing_docs, unreachable_pub, reason = "part of a bench")]

mod roles;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use google_emulator::Server;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

pub use self::roles::{bare_authz, bare_proxy, role, upstream, upstream_tls};
use crate::support::envoy::example;
use crate::support::process::resident;
use crate::support::{Caller, Sidecar};

/// The programs that all rounds share.
pub struct Lab {
    pub upstream: Program,
    directory: TempDir,
    certificate: String,
}

/// This binary in one of its roles; it is killed when this is dropped.
pub struct Program {
    _child: Child,
    pub id: u32,
    pub address: SocketAddr,
}

impl Program {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// One row of the table.
pub struct Bench {
    name: &'static str,
    url: String,
    processes: Vec<u32>,
    best: Round,
}

#[derive(Clone, Copy)]
struct Round {
    micros: f64,
    per_second: f64,
}

impl Bench {
    pub fn new(name: &'static str, address: &str, processes: &[u32]) -> Self {
        Self {
            name,
            url: format!("http://{address}/"),
            processes: processes.to_vec(),
            best: Round {
                micros: f64::INFINITY,
                per_second: 0.0,
            },
        }
    }
}

impl Lab {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let certificate = directory.path().join("certificate.pem");
        roles::certify(directory.path());
        Self {
            upstream: start(&["--upstream"]).await,
            certificate: certificate.to_str().expect("a plain path").to_owned(),
            directory,
        }
    }

    pub fn certificate(&self) -> &str {
        let _alive: &Path = self.directory.path();
        &self.certificate
    }

    pub async fn start(&self, arguments: &[&str]) -> Program {
        start(arguments).await
    }

    /// Takes turns, and prints the rows.
    pub async fn run<const N: usize>(&self, title: &str, mut benches: [Bench; N]) {
        for bench in &benches {
            load(&bench.url, 1).await;
        }
        for _ in 0..ROUNDS {
            for bench in &mut benches {
                let before = cpu(&bench.processes);
                let (requests, seconds) = load(&bench.url, SECONDS).await;
                let micros = (cpu(&bench.processes) - before) / 1000.0 / requests;
                if micros < bench.best.micros {
                    bench.best.micros = micros;
                }
                bench.best.per_second = bench.best.per_second.max(requests / seconds);
            }
        }
        println!("\n{title}: {ROUNDS} rounds of {SECONDS} s, wrk -t1 -c32, 100-byte answers\n");
        println!("| | CPU per request | to the first row | req/s | RSS |");
        println!("|---|--:|--:|--:|--:|");
        let first = benches[0].best.micros;
        for bench in &benches {
            let memory: u64 = bench.processes.iter().map(|id| resident(*id)).sum();
            println!(
                "| {} | {:.1} µs | {:.2} | {:.1}k | {:.1} MiB |",
                bench.name,
                bench.best.micros,
                bench.best.micros / first,
                bench.best.per_second / 1000.0,
                memory as f64 / 1024.0
            );
        }
    }

    /// From the start of the process to the first 200 through it, its log line included.
    pub async fn cold_start(&self, google: &Server) {
        let mut best = Duration::MAX;
        for _ in 0..10 {
            let start = Instant::now();
            let arguments = ["proxy", "--url", &self.upstream.url()];
            let proxy = Sidecar::start(google, &arguments).await;
            let answer = Caller::new().get(&proxy.url("/")).await;
            assert_eq!(answer.status, 200);
            best = best.min(start.elapsed());
        }
        println!(
            "\n`proxy`, start to first 200: {:.1} ms",
            best.as_secs_f64() * 1e3
        );
    }
}

async fn start(arguments: &[&str]) -> Program {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this binary runs");
    let stdout = child.stdout.take().expect("it is piped");
    let line = BufReader::new(stdout).lines().next_line().await;
    Program {
        id: child.id().expect("it runs"),
        address: line
            .expect("a line")
            .expect("an address")
            .parse()
            .expect("an address"),
        _child: child,
    }
}

/// The load of one round: how many requests, in how many seconds. Every answer must be good.
async fn load(url: &str, seconds: u64) -> (f64, f64) {
    let output = Command::new("wrk")
        .args(["-t1", "-c32", "-H", "Host: hello.internal"])
        .arg(format!("-d{seconds}s"))
        .arg(url.replace("hello.internal", "127.0.0.1"))
        .output()
        .await
        .expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx"), "{url}: {text}");
    let line = text
        .lines()
        .find(|line| line.contains(" requests in "))
        .unwrap_or_else(|| panic!("wrk said: {text}"));
    let mut words = line.split_whitespace();
    let requests = words
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a number");
    let took = words.nth(2).expect("a time").trim_end_matches(['s', ',']);
    (requests, took.parse().expect("a number"))
}

/// What these processes have used of the processors, in nanoseconds.
fn cpu(processes: &[u32]) -> f64 {
    let thread = |path: std::path::PathBuf| -> Option<f64> {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    processes
        .iter()
        .flat_map(|id| std::fs::read_dir(format!("/proc/{id}/task")).expect("Linux"))
        .filter_map(|task| thread(task.ok()?.path()))
        .sum()
}

/// The example's bootstrap without its filter.
pub fn plain() -> Value {
    let mut bootstrap = example("sds.yaml");
    filters(&mut bootstrap).remove(0);
    bootstrap
}

/// The same with Envoy's own filter.
pub fn gcp_authn() -> Value {
    let mut bootstrap = plain();
    filters(&mut bootstrap).insert(
        0,
        json!({
            "name": "envoy.filters.http.gcp_authn",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.gcp_authn.v3.GcpAuthnFilterConfig",
                "cluster": "metadata",
                "timeout": "5s",
                "cache_config": { "cache_size": 100 },
            },
        }),
    );
    let clusters = bootstrap["static_resources"]["clusters"]
        .as_array_mut()
        .expect("a list");
    clusters[0]["metadata"] = json!({
        "typed_filter_metadata": {
            "envoy.filters.http.gcp_authn": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.gcp_authn.v3.Audience",
                "url": "https://hello.example",
            },
        },
    });
    let mut metadata = clusters[1].clone();
    metadata["name"] = "metadata".into();
    metadata["load_assignment"]["cluster_name"] = "metadata".into();
    metadata
        .as_object_mut()
        .expect("a map")
        .remove("typed_extension_protocol_options");
    clusters.push(metadata);
    bootstrap
}

fn filters(bootstrap: &mut Value) -> &mut Vec<Value> {
    bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        ["http_filters"]
        .as_array_mut()
        .expect("a list")
}

const ROUNDS: usize = 5;
const SECONDS: u64 = 2;
