//! Every situation that credentials are found in, one directory each in `tests/adc`.
//!
//! - `env.json`: `variables`; what the builder is told (`impersonate`, `cloud_run_user`); whether
//!   the machine is one of Google Cloud (`google_cloud`, true by default), and its `universe`.
//! - `files/`: the files there are, by their paths from the root. In them, `@KEY@` stands for a
//!   private key, as JSON writes it, and `@SUBJECT_TOKEN@` for a subject token.
//! - `expected.json`: `kind` (as `Debug` writes it), `found`, `principal` and the `email` of the token, or the `error`'s
//!   kind and the words in it. With `at_use`, the credentials are found, and it is the token that
//!   fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use google_emulator::{Credential, Emulator};
use google_id_token::{Builder, Claims, Env, SourceError};
use serde::Deserialize;

use crate::support::{AUDIENCE, audience, in_memory};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    variables: BTreeMap<String, String>,
    impersonate: Option<String>,
    #[serde(default)]
    cloud_run_user: bool,
    #[serde(default = "yes")]
    google_cloud: bool,
    universe: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    kind: Option<String>,
    found: Option<String>,
    principal: Option<String>,
    email: Option<String>,
    error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    kind: String,
    says: Vec<String>,
    #[serde(default)]
    at_use: bool,
}

#[tokio::test(start_paused = true)]
async fn every_situation_ends_as_it_is_written_down() {
    let mut situations: Vec<PathBuf> =
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/adc"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
    situations.sort();
    let mut wrong = Vec::new();
    let mut broken = 0;
    for situation in &situations {
        let name = situation
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let running = tokio::spawn(run(situation.clone()));
        match running.await {
            Ok(is_broken) => broken += usize::from(is_broken),
            Err(_panic) => wrong.push(name),
        }
    }
    assert!(wrong.is_empty(), "not as written down: {wrong:#?}");
    assert!(situations.len() >= 60, "{} situations", situations.len());
    assert!(broken * 3 >= situations.len(), "{broken} broken ones");
}

/// Whether it is one that fails.
async fn run(situation: PathBuf) -> bool {
    let given: Given = read(&situation.join("env.json"));
    let expected: Expected = read(&situation.join("expected.json"));
    let name = situation
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();

    let emulator = Emulator::builder()
        .universe(Some(given.universe.as_deref().unwrap_or("googleapis.com")))
        .build();
    let mut env = Env::empty().windows(false);
    if !given.google_cloud {
        env = env.variable("NO_GCE_CHECK", "true");
    }
    for (name, value) in &given.variables {
        env = env.variable(name, value);
    }
    let files = situation.join("files");
    if files.is_dir() {
        env = with_files(env, &emulator, &files, &files);
    }
    let mut builder = Builder::new().env(env).http(in_memory(&emulator));
    if let Some(principal) = &given.impersonate {
        builder = builder.impersonate(principal);
    }
    if given.cloud_run_user {
        builder = builder.user_tokens_for_cloud_run();
    }

    let credentials = builder.build().await;
    let at_use = expected.error.as_ref().is_some_and(|error| error.at_use);
    let credentials = match (credentials, &expected.error) {
        (Err(error), Some(failure)) if !at_use => {
            check_error(&name, &error, failure);
            return true;
        }
        (Err(error), _) => panic!("{name}: {error}"),
        (Ok(_), Some(failure)) if !at_use => panic!("{name}: no error, and {failure:?} was wanted"),
        (Ok(credentials), _) => credentials,
    };
    if let Some(kind) = &expected.kind {
        assert_eq!(&format!("{:?}", credentials.kind()), kind, "{name}");
    }
    if let Some(found) = &expected.found {
        assert_eq!(credentials.found(), found, "{name}");
    }
    assert_eq!(
        credentials.principal(),
        expected.principal.as_deref(),
        "{name}"
    );
    let token = credentials.id_tokens().get(&audience()).await;
    match (token, &expected.error) {
        (Err(error), Some(failure)) => {
            check_error(&name, &error, failure);
            true
        }
        (Err(error), None) => panic!("{name}: {error}"),
        (Ok(_), Some(failure)) => panic!("{name}: a token, and {failure:?} was wanted"),
        (Ok(token), None) => {
            let claims = Claims::unverified(&token).unwrap();
            assert_eq!(claims.email, expected.email, "{name}");
            if !given.cloud_run_user {
                emulator.verify(token.secret(), AUDIENCE).unwrap();
            }
            false
        }
    }
}

fn check_error(name: &str, error: &SourceError, expected: &Failure) {
    let message = error.to_string();
    assert_eq!(
        format!("{:?}", error.kind()),
        expected.kind,
        "{name}: {message}"
    );
    assert!(
        !expected.says.is_empty(),
        "{name} does not say what the error says"
    );
    for part in &expected.says {
        assert!(
            message.contains(part),
            "{name}: {part:?} is not in: {message}"
        );
    }
}

fn with_files(env: Env, emulator: &Emulator, root: &Path, directory: &Path) -> Env {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries.into_iter().fold(env, |env, path| {
        if path.is_dir() {
            return with_files(env, emulator, root, &path);
        }
        let place = Path::new("/").join(path.strip_prefix(root).unwrap());
        env.file(
            place,
            filled_in(emulator, &fs::read_to_string(&path).unwrap()),
        )
    })
}

/// Keys and tokens are the emulator's, and in no file of this repository.
fn filled_in(emulator: &Emulator, text: &str) -> String {
    let key = emulator.credentials(&Credential::service_account());
    let key = key["private_key"].to_string();
    let user = emulator.credentials(&Credential::user());
    let workforce = emulator.credentials(&Credential::external_user());
    let life = Duration::from_secs(3600);
    text.replace("@KEY@", key.trim_matches('"'))
        .replace("@REFRESH_TOKEN@", user["refresh_token"].as_str().unwrap())
        .replace("@CLIENT_SECRET@", user["client_secret"].as_str().unwrap())
        .replace(
            "@WORKFORCE_TOKEN@",
            workforce["refresh_token"].as_str().unwrap(),
        )
        .replace("@STS_SECRET@", workforce["client_secret"].as_str().unwrap())
        .replace("@SUBJECT_TOKEN@", &emulator.subject_token("it", life))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn yes() -> bool {
    true
}
