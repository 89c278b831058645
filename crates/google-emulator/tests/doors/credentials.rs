//! Credential files, and the environment that names them.

use std::{collections::BTreeMap, fs};

use google_emulator::{Credential, Emulator};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn files_point_at_the_server() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.expect("ports");
    let key = server.credentials(&Credential::service_account());
    assert_eq!(key["type"], "service_account");
    assert_eq!(key["client_email"], CALLER);
    assert_eq!(key["project_id"], "demo-project");
    assert_eq!(key["token_uri"], server.token_uri());
    let user = server.credentials(&Credential::user());
    assert_eq!(
        (&user["type"], &user["token_uri"]),
        (&json!("authorized_user"), &key["token_uri"])
    );
    let impersonated = Credential::impersonated_by_user()
        .target(CALLER)
        .delegates([INVOKER]);
    let impersonated = server.credentials(&impersonated);
    assert_eq!(
        impersonated["service_account_impersonation_url"],
        format!(
            "{}/v1/projects/-/serviceAccounts/{CALLER}:generateAccessToken",
            server.iam_endpoint()
        )
    );
    assert_eq!(impersonated["delegates"], json!([INVOKER]));
    assert_eq!(impersonated["source_credentials"], user);
    let by_key = server.credentials(&Credential::impersonated_by_service_account());
    assert_eq!(by_key["source_credentials"], key);
    assert!(
        by_key["service_account_impersonation_url"]
            .as_str()
            .unwrap()
            .contains(INVOKER)
    );
    assert!(server.credentials(&Credential::metadata()).is_null());
}

#[test]
fn files_of_an_emulator_in_memory_point_at_google() {
    let emulator = Emulator::new();
    let key = emulator.credentials(&Credential::service_account().of(INVOKER));
    assert_eq!(
        (&key["client_email"], &key["token_uri"]),
        (&json!(INVOKER), &json!(TOKEN_URI))
    );
    let by_user = emulator.credentials(&Credential::impersonated_by_user());
    assert_eq!(
        by_user["service_account_impersonation_url"],
        format!("{IAM}/{INVOKER}:generateAccessToken")
    );
}

#[test]
#[should_panic = "there is no ghost@x in the emulated world"]
fn a_credential_of_nobody_is_a_mistake_of_the_test() {
    Emulator::new().credentials(&Credential::user().of("ghost@x"));
}

#[tokio::test]
async fn the_environment_names_a_file_that_goes_with_the_server() {
    let emulator = Emulator::new();
    let server = emulator.serve().await.expect("ports");
    let mut paths = Vec::new();
    for credential in Credential::all() {
        let env: BTreeMap<_, _> = server
            .env_for(&credential)
            .expect("files")
            .into_iter()
            .collect();
        assert_eq!(env["GCE_METADATA_HOST"], server.metadata_host());
        assert_eq!(env["SERVICE_URL"], server.run_url("hello"));
        assert_eq!(
            env["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"],
            server.iam_endpoint() + "/"
        );
        let path = &env["GOOGLE_APPLICATION_CREDENTIALS"];
        if credential == Credential::metadata() {
            assert_eq!(path, "");
            assert_eq!(
                fs::read_dir(&env["CLOUDSDK_CONFIG"])
                    .expect("a directory")
                    .count(),
                0
            );
        } else {
            let file: serde_json::Value =
                serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
            assert_eq!(file, server.credentials(&credential));
            paths.push(path.clone());
        }
    }
    drop(server);
    assert!(paths.len() == 4 && paths.iter().all(|path| fs::metadata(path).is_err()));
}
