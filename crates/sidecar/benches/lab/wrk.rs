//! What a program is asked, and how much it gets done.

use tokio::process::Command;

use crate::HOST;

/// Good answers, and the seconds that they took.
pub struct Answers {
    pub count: f64,
    pub seconds: f64,
}

/// Loads this address, with a token on each request if there is one. Every answer must be good.
pub async fn load(
    through: &[&str],
    address: &str,
    token: Option<&str>,
    connections: usize,
    seconds: u64,
) -> Answers {
    let words = [through, &["wrk", "-t1", "-H"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(format!("Host: {HOST}"));
    if let Some(token) = token {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let output = command
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .arg(format!("http://{address}/"))
        .output()
        .await
        .expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let bad = text.contains("Non-2xx") || text.contains("Socket errors");
    assert!(!bad, "{address}: {text}");
    let line = text.lines().find(|line| line.contains(" requests in "));
    let mut words = line
        .unwrap_or_else(|| panic!("wrk said: {text}"))
        .split_whitespace();
    let count = words.next().and_then(|word| word.parse().ok());
    let took = words.nth(2).expect("a time").trim_end_matches(['s', ',']);
    Answers {
        count: count.expect("a number"),
        seconds: took.parse().expect("a number"),
    }
}
