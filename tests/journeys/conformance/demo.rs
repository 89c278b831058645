//! Our demo, as a user starts it, against the emulator and against the other Google.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use google_emulator::{Credential, Emulator, Endpoint};
use serde_json::Value;

use super::program::{Said, build, run, target};
use crate::other_google::{KINDS, OtherGoogle};
use crate::world::{CALLER, DEVELOPER, INVOKER};

#[tokio::test]
async fn the_demo_calls_the_emulators_service_in_all_four_ways() {
    for (credential, caller) in [
        (Credential::metadata(), CALLER),
        (Credential::service_account(), CALLER),
        (Credential::user(), DEVELOPER),
        (Credential::impersonated_by_user(), INVOKER),
        (Credential::impersonated_by_service_account(), INVOKER),
    ] {
        let server = Emulator::new().serve().await.unwrap();
        let env = server.env_for(&credential).unwrap();
        let said = demo(&["--url", &server.run_url("hello")], env).await;
        has_succeeded(&said);
        let entry = server.emulator().journal().last(Endpoint::Run).unwrap();
        assert_eq!(entry.caller.as_deref(), Some(caller), "{credential:?}");
    }
}

#[tokio::test]
async fn the_demo_impersonates_on_request_with_every_kind_of_credentials() {
    for credential in Credential::all() {
        let server = Emulator::new().serve().await.unwrap();
        let env = server.env_for(&credential).unwrap();
        let url = server.run_url("hello");
        let said = demo(
            &["--url", &url, "--impersonate-service-account", INVOKER],
            env,
        )
        .await;
        has_succeeded(&said);
        let entry = server.emulator().journal().last(Endpoint::Run).unwrap();
        assert_eq!(entry.caller.as_deref(), Some(INVOKER), "{credential:?}");
    }
}

#[tokio::test]
async fn the_demo_takes_a_file_that_is_named_on_its_command_line() {
    let server = Emulator::new().serve().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = server.write(&Credential::service_account(), directory.path());
    let file = file.unwrap();
    let url = server.run_url("hello");
    let said = demo(
        &["--url", &url, "--credentials", file.to_str().unwrap()],
        vec![],
    )
    .await;
    has_succeeded(&said);
}

#[tokio::test]
async fn the_demo_calls_a_service_that_is_not_the_emulators_in_all_four_ways() {
    for kind in KINDS {
        let google = OtherGoogle::start().await;
        let said = demo(&["--url", google.url()], google.env(kind)).await;
        has_succeeded(&said);
        let greeting = format!("Hello {}", kind.caller());
        assert!(said.stdout.contains(&greeting), "{kind:?}: {said:?}");
    }
}

/// The demo in this environment and no other, but for a home without credentials.
async fn demo(arguments: &[&str], mut env: Vec<(String, String)>) -> Said {
    let home = tempfile::tempdir().unwrap();
    env.push(("HOME".to_owned(), home.path().to_str().unwrap().to_owned()));
    let program = tokio::task::spawn_blocking(program).await.unwrap();
    run(program, arguments, env).await
}

fn has_succeeded(said: &Said) {
    assert!(said.success, "{said:?}");
    let banner = "🎉 --- Response Content (First 200 chars) ---";
    assert!(said.stdout.lines().any(|line| line == banner), "{said:?}");
    for text in [&said.stdout, &said.stderr] {
        assert!(!text.contains("eyJ") && !text.contains("ya29."), "{said:?}");
    }
}

/// The demo's program. Cargo names its programs only to tests of the same package.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "-p", "demo", "--message-format", "json"])
            .arg("--target-dir")
            .arg(target())
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        // What cargo told this test about itself would make it build some crates anew.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_PKG_") {
                cargo.env_remove(name);
            }
        }
        let said = build("building the demo", cargo.env_remove("CARGO_MANIFEST_DIR"));
        let built = said
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        built.expect("cargo names the program that it has built")
    })
}
