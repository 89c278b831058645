//! The order in which credentials are looked for, and the places.

use google_emulator::{Credential, Emulator};
use google_id_token::{Builder, Credentials, Env, ErrorKind, Kind, SourceError};

use crate::support::{in_memory, nobody, user_file};

/// What is found in this environment, with an emulated Google around it.
async fn find(env: Env) -> Result<Credentials, SourceError> {
    Builder::new()
        .env(env)
        .http(in_memory(&Emulator::new()))
        .user_tokens_for_cloud_run()
        .build()
        .await
}

fn key_file() -> String {
    Emulator::new()
        .credentials(&Credential::service_account())
        .to_string()
}

const WELL_KNOWN: &str = "/home/me/.config/gcloud/application_default_credentials.json";

#[tokio::test]
async fn the_variable_goes_before_gclouds_file_and_that_before_the_metadata_server() {
    let all = Env::empty()
        .variable("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")
        .variable("HOME", "/home/me")
        .variable("GCE_METADATA_HOST", "metadata.google.internal")
        .file("/key.json", key_file())
        .file(WELL_KNOWN, user_file().to_string());

    let found = find(all.clone()).await.unwrap();
    assert_eq!(found.kind(), Kind::ServiceAccount);
    assert_eq!(found.found(), "GOOGLE_APPLICATION_CREDENTIALS (/key.json)");
    assert_eq!(
        found.principal(),
        Some("caller@demo-project.iam.gserviceaccount.com")
    );

    let without = all.variable("GOOGLE_APPLICATION_CREDENTIALS", "");
    let found = find(without.clone()).await.unwrap();
    assert_eq!(found.kind(), Kind::User);
    assert_eq!(found.found(), WELL_KNOWN);

    let found = find(without.variable("HOME", "/home/you")).await.unwrap();
    assert_eq!(found.kind(), Kind::Metadata);
    assert_eq!(
        found.found(),
        "the metadata server at http://metadata.google.internal (GCE_METADATA_HOST)"
    );
    assert_eq!(found.principal(), None);
}

#[tokio::test]
async fn gclouds_directory_is_where_each_system_has_it() {
    let name = "application_default_credentials.json";
    let unix = Env::empty().windows(false).variable("HOME", "/home/me");
    let windows = Env::empty().windows(true).variable("HOME", "/home/me");
    for (env, path) in [
        (unix.clone(), WELL_KNOWN.to_owned()),
        (
            // macOS, where Google uses the same place and not ~/Library.
            unix.clone().variable("HOME", "/Users/me"),
            format!("/Users/me/.config/gcloud/{name}"),
        ),
        (
            unix.clone().variable("CLOUDSDK_CONFIG", "/else/where"),
            format!("/else/where/{name}"),
        ),
        (unix.variable("CLOUDSDK_CONFIG", ""), WELL_KNOWN.to_owned()),
        (
            windows
                .clone()
                .variable("APPDATA", "C:\\Users\\me\\AppData\\Roaming"),
            format!("C:\\Users\\me\\AppData\\Roaming\\gcloud\\{name}"),
        ),
        (windows.clone(), format!("C:\\gcloud\\{name}")),
        (
            windows.variable("CLOUDSDK_CONFIG", "D:\\sdk"),
            format!("D:\\sdk\\{name}"),
        ),
    ] {
        let env = env.file(path.as_str(), user_file().to_string());
        let found = find(env).await.unwrap();
        assert_eq!(found.found(), path);
    }
}

#[tokio::test]
async fn a_file_that_the_variable_names_has_to_be_there() {
    let env = Env::empty()
        .variable("GOOGLE_APPLICATION_CREDENTIALS", "/gone.json")
        .variable("HOME", "/home/me")
        .file(WELL_KNOWN, user_file().to_string());
    let error = find(env).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let message = error.to_string();
    assert!(
        message.starts_with("GOOGLE_APPLICATION_CREDENTIALS (/gone.json): the file cannot be read"),
        "{message}"
    );
}

#[tokio::test]
async fn a_broken_file_is_an_error_and_no_reason_to_look_further() {
    let env = Env::empty()
        .variable("HOME", "/home/me")
        .variable("GCE_METADATA_HOST", "metadata.google.internal")
        .file(WELL_KNOWN, "{");
    let error = find(env).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().starts_with(WELL_KNOWN), "{error}");
}

#[tokio::test]
async fn with_no_credentials_at_all_the_error_lists_the_places_and_the_commands() {
    let env = Env::empty()
        .variable("HOME", "/home/me")
        .variable("NO_GCE_CHECK", "true");
    let error = Builder::new()
        .env(env)
        .http(nobody())
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let message = error.to_string();
    for part in [
        "GOOGLE_APPLICATION_CREDENTIALS (not set)",
        &format!("{WELL_KNOWN} (no such file)"),
        "the metadata server (not asked: NO_GCE_CHECK is true)",
        "gcloud auth application-default login",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[tokio::test]
async fn files_on_the_disk_are_read_by_relative_paths_too() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let path = directory.path().join("key.json");
    std::fs::write(&path, key_file()).unwrap();
    let path = std::path::Path::new(directory.path().file_name().unwrap()).join("key.json");
    assert!(path.is_relative());

    let env = Env::from_iter([("GOOGLE_APPLICATION_CREDENTIALS", path.as_os_str())]);
    assert_eq!(find(env).await.unwrap().kind(), Kind::ServiceAccount);

    let given = Builder::new().env(Env::from_iter([("HOME", "/")]));
    let found = given
        .http(nobody())
        .credentials_file(&path)
        .build()
        .await
        .unwrap();
    assert_eq!(found.found(), path.display().to_string());
}

#[tokio::test]
async fn credentials_that_are_given_go_before_all_others() {
    let env = Env::empty()
        .variable("GOOGLE_APPLICATION_CREDENTIALS", "/broken.json")
        .file("/broken.json", "{");
    let given = Builder::new()
        .env(env)
        .http(nobody())
        .credentials_json(key_file());
    let found = given.clone().build().await.unwrap();
    assert_eq!(found.kind(), Kind::ServiceAccount);

    let twice = given
        .credentials_file("/key.json")
        .build()
        .await
        .unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn no_token_is_fetched_before_one_is_asked_for() {
    let emulator = Emulator::new();
    for credential in Credential::all() {
        let builder = if credential == Credential::metadata() {
            crate::support::with_metadata(in_memory(&emulator))
        } else {
            crate::support::with_file(&emulator, &credential)
        };
        builder.user_tokens_for_cloud_run().build().await.unwrap();
    }
    assert_eq!(emulator.journal().entries(), []);
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let mut build = std::pin::pin!(find(Env::empty()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = build.as_mut().poll(&mut context) else {
        panic!("it should fail at once");
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
