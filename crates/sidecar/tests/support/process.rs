//! The sidecar as a stranger starts it: flags in, log lines out.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use google_emulator::Server;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::on_gcp;

/// A running sidecar; it is killed when this is dropped.
pub struct Sidecar {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    lines: watch::Receiver<usize>,
    /// Where it listens: `127.0.0.1:PORT`.
    pub address: String,
    /// Where it tells of itself.
    pub admin: String,
}

impl Sidecar {
    /// Starts it on that Google's machine, and waits until it listens.
    pub async fn start(google: &Server, arguments: &[&str]) -> Self {
        Self::start_with(on_gcp(google), arguments).await
    }

    /// Starts it in this environment, and waits until it listens.
    pub async fn start_with(env: Vec<(String, String)>, arguments: &[&str]) -> Self {
        Self::spawn(env, arguments).listening().await
    }

    /// Starts it on that Google's machine through another program, such as `valgrind`, and waits
    /// until it listens.
    pub async fn start_through(through: &[&str], google: &Server, arguments: &[&str]) -> Self {
        Self::spawn_through(through, on_gcp(google), &on_free_ports(arguments))
            .listening()
            .await
    }

    /// Starts it in this environment, on free ports where nothing else is said.
    pub fn spawn(env: Vec<(String, String)>, arguments: &[&str]) -> Self {
        Self::spawn_as_is(env, &on_free_ports(arguments))
    }

    /// Starts it with these arguments and no others.
    pub fn spawn_as_is(env: Vec<(String, String)>, arguments: &[&str]) -> Self {
        Self::spawn_through(&[], env, arguments)
    }

    fn spawn_through(through: &[&str], env: Vec<(String, String)>, arguments: &[&str]) -> Self {
        let binary = binary();
        let binary = binary.to_str().expect("a plain path");
        let words = [through, &[binary], arguments].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary was built");
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let (count, lines) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                writer.lock().unwrap().push(line);
                count.send_modify(|count| *count += 1);
            }
        });
        Self {
            child,
            log,
            lines,
            address: String::new(),
            admin: String::new(),
        }
    }

    /// Waits until it listens.
    async fn listening(mut self) -> Self {
        self.address = self.logged("listening").await["address"]
            .as_str()
            .expect("an address")
            .to_owned();
        self.admin = self.logged("admin").await["address"]
            .as_str()
            .expect("an address")
            .to_owned();
        self
    }

    /// Waits for a log line with this message.
    pub async fn logged(&mut self, message: &str) -> Value {
        self.logged_times(message, 1).await
    }

    /// Waits for the n-th log line with this message.
    pub async fn logged_times(&mut self, message: &str, times: usize) -> Value {
        let wait = async {
            loop {
                let _ = self.lines.borrow_and_update();
                let found = {
                    let log = self.log.lock().unwrap();
                    let mut lines = log.iter().filter(|line| line["message"] == message);
                    lines.nth(times - 1).cloned()
                };
                if let Some(found) = found {
                    return Some(found);
                }
                if self.lines.changed().await.is_err() {
                    return None;
                }
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(Some(found)) => found,
            _ => panic!("{message:?} was never logged: {}", self.log()),
        }
    }

    /// All that it logged so far.
    pub fn log(&self) -> String {
        let lines = self.log.lock().unwrap();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// All that it said, when it has said everything.
    pub async fn said(&mut self) -> String {
        while self.lines.changed().await.is_ok() {}
        self.log()
    }

    /// The URL of a path at the proxy.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &id])
            .status();
        assert!(sent.expect("there is a kill").success());
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends")
            .expect("it is our child")
    }

    /// Its memory now, in KiB.
    pub fn resident(&self) -> u64 {
        resident(self.id())
    }

    /// The value of a metric with these labels, 0 where it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let page = super::Caller::new()
            .get(&format!("http://{}/metrics", self.admin))
            .await
            .text();
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |value| value.trim().parse().expect("a number"))
    }
}

/// The arguments, with free ports and JSON where nothing else is said.
fn on_free_ports<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let common = ["--admin", "127.0.0.1:0", "--log-format", "json"];
    let mut all = [&arguments[..1], &common, &arguments[1..]].concat();
    if !arguments.contains(&"--listen") {
        all.extend(["--listen", "127.0.0.1:0"]);
    }
    all
}

/// A process's memory, in KiB.
pub fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it still runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("Linux")
}

/// The binary: cargo's own path to it, or the one beside another package's tests.
fn binary() -> PathBuf {
    if let Some(path) = option_env!("CARGO_BIN_EXE_id-token-sidecar") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("target/debug/deps/test");
    let binary = target.join("id-token-sidecar");
    assert!(
        binary.exists(),
        "{} is not there: run `cargo build -p id-token-sidecar` first",
        binary.display()
    );
    binary
}

const PATIENCE: Duration = Duration::from_secs(60);
