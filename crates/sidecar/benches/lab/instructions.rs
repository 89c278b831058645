//! What a request costs in instructions of the program's own, which no other program disturbs.

use std::path::Path;
use std::process::Command;

use google_emulator::Server;
use tempfile::TempDir;

use super::{Lab, wrk};

impl Lab {
    /// Counts them for the bare proxy and for `proxy`, and prints them.
    pub async fn instructions(&self, google: &Server) {
        println!("\n| instructions per request | bare proxy | **`proxy`** | ratio |");
        println!("|---|--:|--:|--:|");
        for (name, tls) in [("HTTP/1.1, plain", false), ("h2 over TLS", true)] {
            let count = Callgrind::new();
            let bare = self.bare_proxy(tls, &count.through()).await;
            let address = bare.address.to_string();
            let bare = count.per_request(bare.id, &address).await;
            let count = Callgrind::new();
            let proxy = self.proxy(google, tls, &count.through()).await;
            let proxy = count.per_request(proxy.id(), &proxy.address).await;
            println!("| {name} | {bare:.0} | {proxy:.0} | {:.3} |", proxy / bare);
        }
    }
}

/// One program under valgrind's callgrind.
struct Callgrind {
    directory: TempDir,
    output: String,
    pipes: String,
}

impl Callgrind {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name| directory.path().join(name).display().to_string();
        Self {
            output: format!("--callgrind-out-file={}", path("out")),
            pipes: format!("--vgdb-prefix={}", path("vgdb")),
            directory,
        }
    }

    /// What the program is started through.
    fn through(&self) -> [&str; 5] {
        let Self { output, pipes, .. } = self;
        ["valgrind", "-q", "--tool=callgrind", output, pipes]
    }

    /// Warms the program, then counts under a load.
    async fn per_request(&self, id: u32, address: &str) -> f64 {
        wrk::load(&[], address, None, CONNECTIONS, 3).await;
        self.control(id, "-z");
        let answers = wrk::load(&[], address, None, CONNECTIONS, SECONDS).await;
        self.control(id, "-d");
        total(&self.directory.path().join("out.1")) / answers.count
    }

    /// The pipes' names are made of the environment, which is empty at both their ends.
    fn control(&self, id: u32, command: &str) {
        let id = id.to_string();
        let output = Command::new("callgrind_control")
            .args([&*self.pipes, command, &id])
            .env_clear()
            .output()
            .expect("it comes with valgrind");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("OK"), "callgrind_control {command}: {said}");
    }
}

/// The instructions in one of callgrind's files.
fn total(file: &Path) -> f64 {
    let text = std::fs::read_to_string(file).expect("callgrind wrote it");
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let number = line.and_then(|number| number.trim().parse().ok());
    number.expect("a number")
}

/// Few: under valgrind a program is slow.
const CONNECTIONS: usize = 16;
const SECONDS: u64 = 5;
