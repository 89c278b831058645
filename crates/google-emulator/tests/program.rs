//! The emulator as a program.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_google-emulator"))
}

/// Starts it with its files in a directory, and reads what it prints until it is ready.
fn start(directory: &Path, arguments: &[&str]) -> (Child, Vec<String>) {
    let mut child = program()
        .arg("--dir")
        .arg(directory)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let lines = lines
        .map(|line| line.expect("text"))
        .take_while(|line| !line.contains("Ctrl-C"));
    let lines = lines.collect();
    (child, lines)
}

fn fails(arguments: &[&str]) -> Output {
    let output = program().args(arguments).output().expect("it runs");
    assert!(!output.status.success());
    output
}

#[test]
#[cfg(unix)]
fn it_prints_the_environment_and_leaves_nothing_behind() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("new");
    let (mut child, lines) = start(&directory, &["--service", "a", "--service", "b"]);
    let exported = |name: &str| -> Vec<String> {
        let prefix = format!("export {name}='");
        let values = lines
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix)?.strip_suffix('\''));
        values.map(str::to_owned).collect()
    };
    assert_eq!(exported("GCE_METADATA_HOST").len(), 16);
    assert!(
        exported("SERVICE_URL")
            .iter()
            .all(|url| url.starts_with("http://127.0.0.1:"))
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("# Cloud Run service b at http://"))
    );
    let files = exported("GOOGLE_APPLICATION_CREDENTIALS");
    assert_eq!(files.len(), 16);
    for file in files.iter().filter(|file| !file.is_empty()) {
        assert!(
            fs::read_to_string(file)
                .expect("a file")
                .contains("\"type\"")
        );
    }
    let kill = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .expect("kill runs");
    assert!(kill.success());
    assert!(child.wait().expect("it ends").success());
    assert!(!directory.exists());
}

#[test]
fn it_overwrites_nobodys_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("user.json");
    fs::write(&file, "mine").expect("written");
    let output = fails(&["--dir", directory.path().to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("user.json is there already"));
    assert_eq!(fs::read_to_string(&file).expect("still there"), "mine");
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    for arguments in [&["--nonsense"][..], &["--port", "x"], &["--token-lifetime"]] {
        let output = fails(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: google-emulator"));
    }
    let help = program().arg("--help").output().expect("it runs");
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--token-lifetime"));
}
