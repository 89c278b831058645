//! The demo as a person would run it: its exit code, and what it prints.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use google_emulator::{Credential, Emulator, Endpoint, Fault, Grant, Mint, Server};
use serde_json::{Value, json};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the demo in an environment of its own. Nothing secret may show in what it prints.
fn demo(env: &[(String, String)], args: &[&str]) -> Ran {
    let empty = tempfile::tempdir().unwrap();
    let home = [("HOME", empty.path()), ("APPDATA", empty.path())];
    let output: Output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(args)
        .env_clear()
        .envs(home)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let ran = Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    if args.first() != Some(&"token") {
        for secret in ["eyJ", "PRIVATE KEY-----\\n", "MII", SECRET, "panicked"] {
            assert!(!ran.stdout.contains(secret), "{secret} in {}", ran.stdout);
            assert!(!ran.stderr.contains(secret), "{secret} in {}", ran.stderr);
        }
    }
    ran
}

async fn on_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Runs the demo against this Google with these credentials.
async fn against(google: &Server, credential: Credential, args: &[&str]) -> Ran {
    let env = google.env_for(&credential).unwrap();
    let mut all = vec!["--url".to_owned(), google.run_url("hello")];
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    on_thread(move || demo(&env, &all.iter().map(String::as_str).collect::<Vec<_>>())).await
}

#[tokio::test]
async fn without_arguments_it_shows_an_authenticated_call_with_nothing_to_set_up() {
    let ran = on_thread(|| demo(&[], &[])).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("status:      200 OK").count(), 5);
    assert_eq!(ran.stdout.matches(BANNER).count(), 1);
}

#[tokio::test]
async fn with_a_url_it_calls_that_service_with_each_of_the_seeds_credentials() {
    let google = Emulator::new().serve().await.unwrap();
    for credential in Credential::all() {
        let ran = against(&google, credential.clone(), &[]).await;
        assert_eq!(ran.code, Some(0), "{}: {}", credential.name(), ran.stderr);
        let (before, after) = ran.stdout.split_once(&format!("{BANNER}\n")).unwrap();
        assert!(
            before.contains(&google.run_url("hello")),
            "the audience: {before}"
        );
        assert_eq!(after.strip_suffix('\n').unwrap().chars().count(), 200);
        let user = credential == Credential::user();
        assert_eq!(
            ran.stderr.contains("exception"),
            user,
            "the exemption is said aloud"
        );
    }
}

#[tokio::test]
async fn a_credential_file_and_an_impersonation_can_be_named() {
    let google = Emulator::new().serve().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = google
        .write(&Credential::service_account(), dir.path())
        .unwrap();
    let mut env = google.env_for(&Credential::metadata()).unwrap();
    env.retain(|(name, _)| name.starts_with("CLOUDSDK_API"));
    let url = google.run_url("hello");
    let target = "invoker@demo-project.iam.gserviceaccount.com";
    let ran = on_thread(move || {
        let file = file.to_str().unwrap();
        let args = [
            "--url",
            &url,
            "--credentials",
            file,
            "--impersonate-service-account",
            target,
        ];
        demo(&env, &args)
    })
    .await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains(target));
    assert_eq!(
        google.emulator().journal().count(Endpoint::GenerateIdToken),
        1
    );
}

#[tokio::test]
async fn method_headers_data_and_the_tokens_header_are_sent_as_asked() {
    let google = Emulator::new().serve().await.unwrap();
    let args = [
        "-H",
        "X-Mine: 1",
        "-H",
        "x-mine: 2",
        "-d",
        "body",
        "--authorization-header",
        "x-serverless-authorization",
    ];
    let env = google.env_for(&Credential::service_account()).unwrap();
    let url = answering(|request| request);
    let args: Vec<_> = ["--url", &url]
        .into_iter()
        .chain(args)
        .map(str::to_owned)
        .collect();
    let ran =
        on_thread(move || demo(&env, &args.iter().map(String::as_str).collect::<Vec<_>>())).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for line in [
        "POST / ",
        "x-mine: 1\r\n",
        "x-mine: 2\r\n",
        "x-serverless-authorization: Bearer",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    against(&google, Credential::service_account(), &["-X", "DELETE"]).await;
    assert_eq!(
        google
            .emulator()
            .journal()
            .last(Endpoint::Run)
            .unwrap()
            .method,
        "DELETE"
    );
}

#[tokio::test]
async fn a_403_names_the_identity_and_the_command_that_grants_the_role() {
    let emulator = Emulator::builder().closed().build();
    emulator.grant(Grant::invoker("somebody@else.example", "hello"));
    let google = emulator.serve().await.unwrap();
    let ran = against(&google, Credential::service_account(), &[]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    for part in [
        "403",
        "add-iam-policy-binding",
        "roles/run.invoker",
        "serviceAccount:caller@demo-project.iam.gserviceaccount.com",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_401_names_the_audience_and_what_it_has_to_be() {
    let google = Emulator::new().serve().await.unwrap();
    let ran = against(
        &google,
        Credential::service_account(),
        &["--audience", "https://wrong.example"],
    )
    .await;
    assert_eq!(ran.code, Some(1));
    for part in [
        "401",
        "https://wrong.example",
        "--add-custom-audiences",
        "caller@demo-project",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn no_credentials_at_all_name_the_commands_that_make_some() {
    let env = vec![("NO_GCE_CHECK".to_owned(), "true".to_owned())];
    let ran = on_thread(move || demo(&env, &["--url", "https://hello-abc-uc.a.run.app"])).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("gcloud auth application-default login"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn usage_errors_exit_with_2() {
    for args in [
        &["--url", "http://hello-abc-uc.a.run.app"][..],
        &["--url", "hello-abc-uc.a.run.app"],
        &["--url", "ftp://localhost/"],
        &["--url"],
        &["--nonsense"],
        &["--credentials", "key.json"],
        &["--url", "https://a.run.app", "--delegate", "a@b"],
        &["--url", "https://a.run.app", "-H", "no colon"],
        &["--url", "https://a.run.app", "--audience", ""],
        &["--url", "https://a.run.app", "--timeout", "0"],
        &[
            "--url",
            "https://a.run.app",
            "--authorization-header",
            "Cookie",
        ],
        &["token"],
    ] {
        let ran = on_thread(move || demo(&[], args)).await;
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_token_is_printed_only_when_asked_for_by_that_name() {
    let google = Emulator::new().serve().await.unwrap();
    let env = google.env_for(&Credential::service_account()).unwrap();
    let ran = on_thread(move || demo(&env, &["token", "--audience", "https://mine.example"])).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    google
        .emulator()
        .verify(ran.stdout.trim_end(), "https://mine.example")
        .unwrap();
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_with_a_call_that_works() {
    let google = Emulator::new().serve().await.unwrap();
    let ran = doctor(&google, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    assert!(ran.stdout.contains("The call works."), "{}", ran.stdout);

    let ran = doctor(&google, &["--json"]).await;
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["would_work"], true);
    assert_eq!(report["token"]["aud"], google.run_url("hello"));
    assert_eq!(report["call"]["status"], 200);
}

#[tokio::test]
async fn the_doctor_names_the_command_that_mends_a_call_that_does_not_work() {
    let google = Emulator::builder().closed().build().serve().await.unwrap();
    let ran = doctor(&google, &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("roles/run.invoker"), "{}", ran.stdout);

    let ran = doctor(&google, &["--json"]).await;
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &report["would_work"]), (Some(1), &json!(false)));

    let ran = doctor(&google, &["--no-call"]).await;
    assert_eq!(ran.code, Some(0), "a token is to be had: {}", ran.stdout);
}

#[tokio::test]
async fn the_doctor_answers_within_ten_seconds_whatever_hangs() {
    let google = Emulator::new().serve().await.unwrap();
    google.emulator().fault(Endpoint::Run, Fault::hang());
    // The program gives itself up: a hang would hang this test.
    let ran = doctor(&google, &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.contains("caller@demo-project"),
        "what was seen before: {}",
        ran.stdout
    );
}

async fn doctor(google: &Server, args: &[&str]) -> Ran {
    let env = google.env_for(&Credential::service_account()).unwrap();
    let mut all = vec![
        "doctor".to_owned(),
        "--url".to_owned(),
        google.run_url("hello"),
    ];
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    on_thread(move || demo(&env, &all.iter().map(String::as_str).collect::<Vec<_>>())).await
}

#[tokio::test]
async fn a_service_that_echoes_its_headers_shows_no_token() {
    let google = Emulator::new().serve().await.unwrap();
    let env = google.env_for(&Credential::service_account()).unwrap();
    let url = answering(|request| format!("é😀{request}"));
    let ran = on_thread(move || demo(&env, &["--url", &url, "-v"])).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("é😀GET / HTTP/1.1"));
}

/// A broken credential file: what is in it, and what the error has to name.
fn broken_files() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let key = |change: &dyn Fn(&mut Value)| {
        let mut file = json!({
            "type": "service_account", "client_email": "a@b.iam.gserviceaccount.com",
            "private_key_id": "1", "private_key": SECRET, "token_uri": "http://127.0.0.1:1/token",
        });
        change(&mut file);
        file.to_string().into_bytes()
    };
    vec![
        ("empty", vec![], vec!["empty"]),
        (
            "truncated",
            b"{\"type\": \"service_acc".to_vec(),
            vec!["JSON"],
        ),
        (
            "unknown type",
            b"{\"type\": \"martian\"}".to_vec(),
            vec!["type", "martian"],
        ),
        ("no type", b"{}".to_vec(), vec!["type"]),
        (
            "no e-mail",
            key(&|file| {
                file.as_object_mut().unwrap().remove("client_email");
            }),
            vec!["client_email"],
        ),
        (
            "a number",
            key(&|file| file["private_key"] = json!(1)),
            vec!["private_key"],
        ),
        ("no key", key(&|_| ()), vec!["private_key"]),
        (
            "plain http",
            key(&|file| file["token_uri"] = json!("http://evil.example/")),
            vec!["token_uri"],
        ),
        (
            "no refresh token",
            json!({"type": "authorized_user", "client_id": "a", "client_secret": SECRET})
                .to_string()
                .into_bytes(),
            vec!["refresh_token"],
        ),
        (
            "no source",
            json!({"type": "impersonated_service_account"})
                .to_string()
                .into_bytes(),
            vec!["service_account_impersonation_url"],
        ),
    ]
}

#[tokio::test]
async fn a_broken_credential_file_is_an_error_that_names_the_file_and_the_field() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content, named) in broken_files() {
        let path = dir.path().join(format!("{name}.json"));
        fs::write(&path, content).unwrap();
        complains(&path, &named).await;
    }
    complains(&dir.path().join("missing.json"), &["missing.json"]).await;
    complains(dir.path(), &[]).await;
}

async fn complains(path: &Path, named: &[&str]) {
    let (file, url) = (path.to_owned(), "https://hello-abc-uc.a.run.app");
    let ran = on_thread(move || {
        let env = [(
            "GOOGLE_APPLICATION_CREDENTIALS".to_owned(),
            file.to_str().unwrap().to_owned(),
        )];
        demo(&env, &["--url", url])
    })
    .await;
    assert_eq!(ran.code, Some(1), "{path:?}");
    assert!(
        ran.stderr.contains(path.to_str().unwrap()),
        "{path:?}: {}",
        ran.stderr
    );
    for part in named {
        assert!(
            ran.stderr.contains(part),
            "{path:?} wants {part}: {}",
            ran.stderr
        );
    }
}

#[tokio::test]
async fn a_broken_token_endpoint_is_an_error_that_says_how() {
    let grant = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
    let faults: Vec<(&str, Fault, &str)> = vec![
        (
            "400",
            Fault::status(400).body(grant),
            "Invalid JWT Signature",
        ),
        ("html", Fault::html(), "JSON"),
        (
            "half",
            Fault::status(200).body(r#"{"id_token": "ey"#),
            "JSON",
        ),
        ("8 MiB", Fault::status(200).body(vec![b'a'; 8 << 20]), "MiB"),
        ("no JWT", Fault::mint(Mint::NotAJwt), "JWT"),
        ("no exp", Fault::mint(Mint::NoExpiry), "exp"),
        ("expired", Fault::mint(Mint::Expired), "expired"),
        ("line break", Fault::mint(Mint::LineBreak), "JWT"),
        ("500", Fault::status(500), "500"),
        ("hang", Fault::hang(), "within"),
    ];
    for (name, fault, said) in faults {
        let google = Emulator::new().serve().await.unwrap();
        google.emulator().fault(Endpoint::Token, fault);
        let ran = against(&google, Credential::service_account(), &["--timeout", "4"]).await;
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(1), ""),
            "{name}: {}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains(said),
            "{name} wants {said}: {}",
            ran.stderr
        );
        assert_eq!(
            google.emulator().journal().count(Endpoint::Run),
            0,
            "no token, no request"
        );
    }
}

#[tokio::test]
async fn a_403_of_iam_names_the_role_that_is_missing() {
    let emulator = Emulator::builder().closed().build();
    emulator.grant(Grant::invoker(
        "invoker@demo-project.iam.gserviceaccount.com",
        "hello",
    ));
    let google = emulator.serve().await.unwrap();
    let ran = against(&google, Credential::impersonated_by_user(), &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr
            .contains("roles/iam.serviceAccountOpenIdTokenCreator"),
        "{}",
        ran.stderr
    );
}

/// A server that answers one request with what is made of its head, and is no emulator of ours.
fn answering(answer: impl FnOnce(String) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let body = answer(String::from_utf8(head).unwrap());
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    url
}

const BANNER: &str = "🎉 --- Response Content (First 200 chars) ---";
const SECRET: &str = "s3cr3t-material";
