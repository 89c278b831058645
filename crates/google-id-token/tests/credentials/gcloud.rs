//! The gcloud CLI, played by scripts: what it is asked, and everything that it may say.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use google_id_token::{
    Builder, Credentials, Env, ErrorKind, GcloudCli, IdToken, Kind, SourceError,
};
use tempfile::TempDir;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::support::{AUDIENCE, ROBOT, audience, id_token, jwt, now};

/// A directory for `PATH` with a `gcloud` in it that writes what it is asked to `asked`.
struct Fake(TempDir);

impl Fake {
    fn new(does: &str) -> Self {
        Self::named("gcloud", does)
    }

    fn named(name: &str, does: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let asked = directory.path().join("asked");
        let script = format!("#!/bin/sh\necho \"$*\" >> '{}'\n{does}\n", asked.display());
        // By another process: while this one has a script open for writing, no other test's child
        // can be started from it (ETXTBSY).
        let written = Command::new("/bin/sh")
            .args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh"])
            .arg(script)
            .arg(directory.path().join(name))
            .status()
            .unwrap();
        assert!(written.success());
        Self(directory)
    }

    /// Prints this.
    fn says(text: &str) -> Self {
        Self::new(&format!("echo '{text}'"))
    }

    /// Complains, and fails.
    fn complains(text: &str) -> Self {
        Self::new(&format!("echo \"{text}\" >&2; exit 1"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn cli(&self) -> GcloudCli {
        GcloudCli::new().env(Env::from_iter([("PATH", self.path())]).windows(false))
    }

    async fn token(&self) -> Result<IdToken, SourceError> {
        self.cli().oneshot(audience()).await
    }

    /// The command lines, without what is the same in all.
    fn asked(&self) -> Vec<String> {
        let asked = std::fs::read_to_string(self.path().join("asked")).unwrap_or_default();
        asked
            .lines()
            .map(|line| {
                let rest = line.strip_prefix("auth print-identity-token");
                rest.unwrap().trim().to_owned()
            })
            .collect()
    }
}

async fn build(builder: Builder) -> Credentials {
    builder.env(Env::empty()).build().await.unwrap()
}

const USER_REFUSES: &str = "case \"$*\" in *--audiences*) echo 'ERROR: \
    (gcloud.auth.print-identity-token) Invalid account type for `--audiences`. Requires valid \
    service account.' >&2; exit 1;; esac";
const GCLOUD_CLIENT: &str = "32555940559.apps.googleusercontent.com";

#[tokio::test]
async fn a_service_account_gets_a_token_for_the_audience() {
    let minted = id_token(AUDIENCE);
    let fake = Fake::says(&minted);
    let found = build(Builder::new().gcloud(fake.cli())).await;
    assert_eq!(found.kind(), Kind::GcloudCli);
    assert_eq!(found.found(), "the gcloud CLI");
    let token = found.id_tokens().get(&audience()).await.unwrap();
    assert_eq!(token.secret(), minted);
    assert_eq!(fake.asked(), [format!("--audiences={AUDIENCE}")]);
    assert!(found.access_tokens().is_none());
}

#[tokio::test]
async fn an_impersonation_is_gclouds_own_with_the_delegates_before_the_account() {
    let fake = Fake::says(&id_token(AUDIENCE));
    let builder = Builder::new().gcloud(fake.cli()).impersonate(ROBOT);
    let found = build(builder.clone()).await;
    assert_eq!(found.principal(), Some(ROBOT));
    found.id_tokens().get(&audience()).await.unwrap();
    let found = build(builder.delegates(["a@p", "b@p"])).await;
    found.id_tokens().get(&audience()).await.unwrap();
    assert_eq!(
        fake.asked(),
        [
            format!("--audiences={AUDIENCE} --impersonate-service-account={ROBOT} --include-email"),
            format!(
                "--audiences={AUDIENCE} --impersonate-service-account=a@p,b@p,{ROBOT} \
                 --include-email"
            ),
        ]
    );
}

#[tokio::test]
async fn the_full_format_is_asked_for_where_it_was_chosen() {
    let fake = Fake::says(&id_token(AUDIENCE));
    fake.cli().full_format().oneshot(audience()).await.unwrap();
    assert_eq!(
        fake.asked(),
        [format!("--audiences={AUDIENCE} --token-format=full")]
    );
}

#[tokio::test]
async fn a_user_is_told_of_impersonation_unless_cloud_runs_exemption_was_chosen() {
    let own = jwt(&serde_json::json!({ "aud": GCLOUD_CLIENT, "exp": now() + 3600 }));
    let fake = Fake::new(&format!("{USER_REFUSES}\necho '{own}'"));
    let error = fake.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in [
        "a user is logged in",
        "--impersonate-service-account=EMAIL",
        "roles/iam.serviceAccountOpenIdTokenCreator",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(fake.asked().len(), 1);

    let builder = Builder::new().gcloud(fake.cli());
    let found = build(builder.user_tokens_for_cloud_run()).await;
    let token = found.id_tokens().get(&audience()).await.unwrap();
    assert_eq!(token.secret(), own);
    assert_eq!(
        fake.asked()[1..],
        [format!("--audiences={AUDIENCE}"), String::new()]
    );
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused_with_both_named() {
    let fake = Fake::says(&id_token("https://other.example"));
    let error = fake.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in ["https://other.example", AUDIENCE] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn each_complaint_of_gclouds_has_its_kind_and_the_way_out() {
    for (complaint, kind, part) in [
        (
            "ERROR: (gcloud.auth.print-identity-token) You do not currently have an active \
             account selected.",
            ErrorKind::NotFound,
            "gcloud auth login",
        ),
        (
            "ERROR: There was a problem refreshing your current auth tokens: \
             ('invalid_grant: Bad Request')",
            ErrorKind::Denied,
            "gcloud auth login",
        ),
        (
            "ERROR: Reauthentication failed. cannot prompt during non-interactive execution.",
            ErrorKind::Denied,
            "gcloud auth login",
        ),
        (
            "WARNING: This command is using service account impersonation.\n\
             ERROR: PERMISSION_DENIED: Permission 'iam.serviceAccounts.getOpenIdToken' denied",
            ErrorKind::Denied,
            "add-iam-policy-binding robot@project",
        ),
        (
            "Segmentation fault",
            ErrorKind::Unavailable,
            "Segmentation fault",
        ),
    ] {
        let cli = Fake::complains(complaint);
        let error = cli.cli().impersonate(ROBOT).oneshot(audience()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let message = error.to_string();
        assert!(message.contains(part), "{message}");
        assert!(message.contains("ended with 1"), "{message}");
        assert!(!message.contains("WARNING"), "{message}");
    }
}

#[tokio::test]
async fn complaints_are_quoted_on_one_line_bounded_and_without_secrets() {
    let secret = id_token(AUDIENCE);
    let fake = Fake::new(&format!(
        "printf 'ERROR: got {secret}\\nand ya29.a0AfH6SMBx\\033[31m ' >&2; \
         for i in 1 2 3 4 5 6 7 8 9; do printf '%0100d ' 7 >&2; done; exit 3"
    ));
    let error = fake.token().await.unwrap_err();
    let text = format!("{error} {error:?}");
    for secret in ["eyJ", "ya29", "\n", "\u{1b}"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(error.to_string().chars().count() < 500, "{error}");
}

#[tokio::test]
async fn what_is_no_token_is_malformed_or_empty() {
    for (says, kind) in [
        ("hello", ErrorKind::Malformed),
        ("a.b.c", ErrorKind::Malformed),
        ("", ErrorKind::Config),
    ] {
        let error = Fake::says(says).token().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let endless = Fake::new("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done");
    let error = endless.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("65536 bytes"), "{error}");
}

#[tokio::test]
async fn much_complaining_holds_nobody_up() {
    let fake = Fake::new(&format!(
        "i=0; while [ $i -lt 3000 ]; do echo {} >&2; i=$((i+1)); done; echo '{}'",
        "a".repeat(64),
        id_token(AUDIENCE)
    ));
    fake.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_gcloud_that_hangs_is_killed_before_the_cache_gives_the_flight_up() {
    let fake = Fake::new("exec /bin/sleep 1000");
    let start = Instant::now();
    let found = build(Builder::new().gcloud(fake.cli())).await;
    let error = found.id_tokens().get(&audience()).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("was killed"), "{error}");
}

#[tokio::test]
async fn a_gcloud_that_is_not_there_or_cannot_be_run_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let searched = Env::from_iter([("PATH", empty.path())]).windows(false);
    for env in [searched.clone(), Env::empty().windows(false)] {
        let error = GcloudCli::new().env(env).oneshot(audience()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("no gcloud in PATH"), "{error}");
    }
    let nowhere = GcloudCli::new().env(searched).program("/nowhere/gcloud");
    let error = nowhere.oneshot(audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("/nowhere/gcloud"), "{error}");
}

#[tokio::test]
async fn on_windows_it_is_called_gcloud_cmd() {
    let fake = Fake::named("gcloud.cmd", "exit 1");
    let path = std::env::join_paths([fake.path()]).unwrap();
    let env = Env::from_iter([("PATH", path)]).windows(true);
    let error = GcloudCli::new().env(env).oneshot(audience()).await;
    // Elsewhere a path is not put together with Windows's separator: the name is what is looked at.
    assert!(error.unwrap_err().to_string().contains("gcloud.cmd"));
}

#[tokio::test]
async fn the_program_sees_the_environment_that_was_given_and_no_other() {
    let fake = Fake::new(&format!(
        "[ \"$HOME:$CLOUDSDK_CONFIG:$CLOUDSDK_CORE_DISABLE_PROMPTS\" = ':/sdk:1' ] || exit 1\n\
         echo '{}'",
        id_token(AUDIENCE)
    ));
    let env = Env::from_iter([("CLOUDSDK_CONFIG", "/sdk")]);
    let cli = GcloudCli::new()
        .env(env)
        .program(fake.path().join("gcloud"));
    cli.oneshot(audience()).await.unwrap();
}
