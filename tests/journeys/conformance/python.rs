//! Google's own Python library, google-auth, against the emulator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use google_emulator::{Credential, Emulator, Endpoint, Server};
use serde_json::{Value, json};

use super::program::{build, directory, run};
use crate::world::CALLER;

#[tokio::test]
async fn google_auth_gets_in_by_the_metadata_server() {
    let server = Emulator::new().serve().await.unwrap();
    let answer = google_auth(&server, &Credential::metadata(), "fetch_id_token").await;
    was_let_in(&server, &answer);
    assert_eq!(
        server
            .emulator()
            .journal()
            .count(Endpoint::MetadataIdentity),
        1
    );
}

#[tokio::test]
async fn google_auth_gets_in_by_a_key_file() {
    let server = Emulator::new().serve().await.unwrap();
    let key = Credential::service_account();
    let answer = google_auth(&server, &key, "fetch_id_token").await;
    was_let_in(&server, &answer);
    assert_eq!(server.emulator().journal().count(Endpoint::Token), 1);
}

#[tokio::test]
async fn google_auths_sessions_put_a_token_on_every_request() {
    for credential in [Credential::metadata(), Credential::service_account()] {
        let server = Emulator::new().serve().await.unwrap();
        let answer = google_auth(&server, &credential, "session").await;
        was_let_in(&server, &answer);
    }
}

#[tokio::test]
async fn google_auth_accepts_the_emulators_tokens_by_both_forms_of_its_certs() {
    let server = Emulator::new().serve().await.unwrap();
    for rotated in [false, true] {
        if rotated {
            server.emulator().rotate_keys();
        }
        let key = Credential::service_account();
        let answer = google_auth(&server, &key, "verify").await;
        for certs in ["x509", "jwk"] {
            let verdict = &answer[certs];
            assert_eq!(verdict["email"], CALLER, "{certs}: {answer}");
            assert_eq!(verdict["aud"], server.run_url("hello"), "{certs}");
            // For another audience, and with another signature, it is no good.
            let refused = &answer["refused"][certs];
            assert_eq!(refused, &json!(["audience", "signature"]), "{answer}");
        }
    }
}

/// What the script beside this file says.
async fn google_auth(server: &Server, credential: &Credential, what: &str) -> Value {
    let python = tokio::task::spawn_blocking(python).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("journeys/conformance/google_auth.py");
    let script = script.to_str().unwrap().to_owned();
    let url = server.run_url("hello");
    let certs = [server.x509_certs_url(), server.certs_url()];
    let arguments = [&*script, what, &*url, &*certs[0], &*certs[1]];
    let said = run(python, &arguments, server.env_for(credential).unwrap()).await;
    assert!(said.success, "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

fn was_let_in(server: &Server, answer: &Value) {
    assert_eq!(answer["status"], 200, "{answer}");
    let entry = server.emulator().journal().last(Endpoint::Run).unwrap();
    assert_eq!(entry.caller.as_deref(), Some(CALLER));
}

/// The Python of a virtual environment with google-auth in it, made when it is not there.
pub(super) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let venv = directory().join("venv");
        let python = venv.join("bin/python");
        let stamp = venv.join("requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|made_for| made_for == REQUIREMENTS) {
            return python;
        }
        fs::create_dir_all(directory()).unwrap();
        let make = ["-m", "venv", "--clear"];
        let mut base = Command::new("python3");
        build(
            "`python3 -m venv` (conformance wants Python 3 with its venv module)",
            base.args(make).arg(&venv),
        );
        let wanted = venv.join("wanted.txt");
        fs::write(&wanted, REQUIREMENTS).unwrap();
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ];
        let mut pip = Command::new(&python);
        build(
            "`pip install` of google-auth (it wants a package index)",
            pip.args(install).arg(&wanted),
        );
        // The stamp is last: what was broken off is made anew.
        fs::rename(&wanted, &stamp).unwrap();
        python
    })
}

const REQUIREMENTS: &str = include_str!("requirements.txt");
