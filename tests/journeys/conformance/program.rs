//! Running other programs: whole, quietly, and with an environment of our choice.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where what the tests make for themselves is kept: `target/conformance`.
pub(super) fn directory() -> PathBuf {
    target().join("conformance")
}

pub(super) fn target() -> &'static Path {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("cargo puts it into target")
}

/// Runs a program in this environment and no other, but for the `PATH`.
pub(super) async fn run(
    program: impl Into<PathBuf>,
    arguments: &[&str],
    env: Vec<(String, String)>,
) -> Said {
    let program = program.into();
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().envs(env);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    // The emulator goes on answering meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.unwrap();
    Said::from(
        output.unwrap_or_else(|error| panic!("{} does not start: {error}", program.display())),
    )
}

/// Runs a program of the build, in this process's environment; panics where it fails.
pub(super) fn build(what: &str, command: &mut Command) -> Said {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{what} did not start: {error}"));
    let said = Said::from(output);
    assert!(said.success, "{what} failed: {}", said.stderr);
    said
}

/// What a program said, and whether it was content.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
