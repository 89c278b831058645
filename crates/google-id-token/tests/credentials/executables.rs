//! Subject tokens from programs (AIP-4117): real ones, on a real disk.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use google_emulator::{Credential, Emulator, Endpoint};
use google_id_token::{Builder, Credentials, Env, ErrorKind, SourceError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{audience, in_memory, now};

/// A program in a directory of its own, and a Google that takes its tokens.
struct World {
    directory: TempDir,
    emulator: Emulator,
    source: Value,
}

impl World {
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let source = json!({ "command": format!("{} one \"two words\"", program.display()) });
        Self {
            directory,
            emulator: Emulator::new(),
            source,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn with_output_file(mut self) -> Self {
        let path = self.path("output.json");
        self.source["output_file"] = path.to_str().unwrap().into();
        self
    }

    fn response(&self) -> Value {
        let lifetime = std::time::Duration::from_secs(3600);
        json!({
            "version": 1,
            "success": true,
            "token_type": "urn:ietf:params:oauth:token-type:id_token",
            "id_token": self.emulator.subject_token("it", lifetime),
            "expiration_time": now() + 3600,
        })
    }

    /// The program writes what is in this file.
    fn writes(&self, response: &Value) {
        fs::write(self.path("response"), response.to_string()).unwrap();
    }

    async fn build(&self) -> Result<Credentials, SourceError> {
        self.build_in(Env::from_iter([
            ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1"),
            ("PATH", "/usr/bin:/bin"),
            ("HERE", self.directory.path().to_str().unwrap()),
        ]))
        .await
    }

    async fn build_in(&self, env: Env) -> Result<Credentials, SourceError> {
        let mut file = self
            .emulator
            .credentials(&Credential::external_executable());
        file["credential_source"] = json!({ "executable": self.source });
        let builder = Builder::new().env(env).http(in_memory(&self.emulator));
        builder.credentials_json(file.to_string()).build().await
    }

    async fn fails(&self) -> (ErrorKind, String) {
        let credentials = self.build().await.unwrap();
        let error = credentials.id_tokens().get(&audience()).await.unwrap_err();
        assert_eq!(self.emulator.journal().count(Endpoint::Sts), 0);
        (error.kind(), error.to_string())
    }
}

const CAT: &str = r#"cat "$HERE/response""#;

#[tokio::test]
async fn a_program_is_told_what_it_is_for_and_its_token_is_exchanged() {
    let world = World::new(
        r#"{ for it in "$@"; do echo "[$it]"; done; env | grep GOOGLE_EXTERNAL | sort; } > "$HERE/told"
           cat "$HERE/response""#,
    )
    .with_output_file();
    world.writes(&world.response());
    let tokens = world.build().await.unwrap().id_tokens();
    tokens.get(&audience()).await.unwrap();
    let told = fs::read_to_string(world.path("told")).unwrap();
    let expected = [
        "[one]",
        "[two words]",
        "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1",
        "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=//iam.googleapis.com/projects/123456789012/locations/\
         global/workloadIdentityPools/demo-pool/providers/demo-provider",
        "GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL=invoker@demo-project.iam.gserviceaccount.com",
        "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0",
        &format!(
            "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE={}",
            world.path("output.json").display()
        ),
        "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=urn:ietf:params:oauth:token-type:id_token",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn nothing_is_run_unless_the_environment_allows_it() {
    let world = World::new(CAT);
    for value in ["", "0", "true", "yes"] {
        let name = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
        let error = world.build_in(Env::from_iter([(name, value)])).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains(&format!("set {name}=1")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_output_file_that_still_holds_spares_the_program() {
    let world = World::new("exit 3").with_output_file();
    fs::write(world.path("output.json"), world.response().to_string()).unwrap();
    let tokens = world.build().await.unwrap().id_tokens();
    tokens.get(&audience()).await.unwrap();
}

#[tokio::test]
async fn an_output_file_that_is_of_no_use_is_passed_over() {
    let world = World::new(CAT).with_output_file();
    world.writes(&world.response());
    let with = |name: &str, value: Value| {
        let mut response = world.response();
        response[name] = value;
        response.to_string()
    };
    for (number, content) in [
        "{".to_owned(),
        with("expiration_time", json!(now() - 1)),
        with("expiration_time", Value::Null),
        with("success", json!(false)),
        with("version", json!(2)),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(world.path("output.json"), content).unwrap();
        let tokens = world.build().await.unwrap().id_tokens();
        tokens.get(&audience()).await.unwrap();
        let exchanges = world.emulator.journal().count(Endpoint::Sts);
        assert_eq!(exchanges, number as u64 + 1);
    }
}

#[tokio::test]
async fn what_a_program_says_of_its_failure_is_told_without_its_secrets() {
    let world = World::new(&format!("echo oh-dear >&2; {CAT}; exit 1"));
    world.writes(&json!({
        "version": 1,
        "success": false,
        "code": "401",
        "message": "Caller not authorized: eyJhbGciOiJSUzI1NiJ9.e30.sig",
    }));
    let (kind, message) = world.fails().await;
    assert_eq!(kind, ErrorKind::Denied, "{message}");
    assert!(message.contains("401: Caller not authorized"), "{message}");
    assert!(
        !message.contains("eyJ") && !message.contains("oh-dear"),
        "{message}"
    );
}

#[tokio::test]
async fn responses_that_are_none_are_told_as_such() {
    let world = World::new(CAT);
    let with = |name: &str, value: Value| {
        let mut response = world.response();
        response[name] = value;
        response
    };
    for (response, part) in [
        (json!("text"), "no JSON object"),
        (with("version", Value::Null), "without `version`"),
        (with("version", json!(2)), "version 2"),
        (with("success", Value::Null), "without `success`"),
        (with("token_type", Value::Null), "without `token_type`"),
        (
            with("token_type", json!("x")),
            "`token_type` that is not known",
        ),
        (with("id_token", Value::Null), "without `id_token`"),
        (
            with(
                "token_type",
                json!("urn:ietf:params:oauth:token-type:saml2"),
            ),
            "without `saml_response`",
        ),
        (with("expiration_time", json!("soon")), "no point in time"),
        (with("expiration_time", json!(now() - 1)), "has expired"),
    ] {
        world.writes(&response);
        let (kind, message) = world.fails().await;
        assert_eq!(kind, ErrorKind::Malformed, "{message}");
        assert!(message.contains(part), "{part} is not in: {message}");
        assert!(!message.contains("eyJ"), "{message}");
    }
    let world = World::new(CAT).with_output_file();
    let mut response = world.response();
    response["expiration_time"] = Value::Null;
    world.writes(&response);
    let (kind, message) = world.fails().await;
    assert_eq!(kind, ErrorKind::Malformed, "{message}");
    assert!(message.contains("wrote no `expiration_time`"), "{message}");
}

#[tokio::test]
async fn a_program_that_breaks_off_or_is_not_there_is_told_as_such() {
    let (kind, message) = World::new("echo half; exit 7").fails().await;
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(message.contains("exit status: 7"), "{message}");

    let world = World::new(CAT);
    fs::remove_file(world.path("program")).unwrap();
    let (kind, message) = world.fails().await;
    assert_eq!(kind, ErrorKind::Config);
    assert!(message.contains("cannot be started"), "{message}");
}

#[tokio::test]
async fn output_without_end_is_not_read_to_its_end() {
    let (kind, message) = World::new("yes").fails().await;
    assert_eq!(kind, ErrorKind::Malformed);
    assert!(message.contains("more than"), "{message}");
}

/// Time is paused: nothing is waited for but the program, whose time is up at once.
#[tokio::test(start_paused = true)]
async fn a_program_that_hangs_is_killed_when_its_time_is_up() {
    let mut world = World::new("sleep 1000");
    world.source["timeout_millis"] = json!(120_000);
    let start = tokio::time::Instant::now();
    let (kind, message) = world.fails().await;
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(message.contains("killed after 120 s"), "{message}");
    // Longer than any other source may take, and not a moment longer than it says.
    assert_eq!(start.elapsed().as_secs(), 120);
}

#[tokio::test]
async fn commands_and_time_limits_are_checked_when_the_file_is_read() {
    for (name, value, part) in [
        ("command", json!("program --arg"), "absolute path"),
        ("command", json!("./program"), "absolute path"),
        ("command", json!(" "), "empty"),
        ("timeout_millis", json!(4_999), "5000 to 120000"),
        ("timeout_millis", json!(120_001), "5000 to 120000"),
        ("timeout_millis", json!("fast"), "no whole number"),
    ] {
        let mut world = World::new(CAT);
        world.source[name] = value;
        let error = world.build().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let message = error.to_string();
        let field = format!("`credential_source.executable.{name}`");
        assert!(
            message.contains(&field) && message.contains(part),
            "{message}"
        );
    }
}
