//! The doctor is done within ten seconds whatever hangs, and knows what time it is elsewhere.

use std::future::pending;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use google_emulator::{Credential, Emulator, Endpoint, Fault};
use google_id_token::doctor::{Report, Severity, Step};
use google_id_token::{Builder, Clock, Env, HttpClient};
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;

use super::{call, has, told};
use crate::support::{AUDIENCE, in_memory, with_file, with_metadata};

/// Examines with something hanging, which has to take less than ten seconds.
async fn hung(builder: Builder) -> Report {
    let start = Instant::now();
    let report = call(builder).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!report.would_work());
    report
}

#[tokio::test(start_paused = true)]
async fn whatever_hangs_is_named_within_ten_seconds() {
    for (credential, endpoint, step, parts) in [
        (
            Credential::metadata(),
            Endpoint::Metadata,
            Step::Token,
            ["http://metadata.google.internal", "no answer within"],
        ),
        (
            Credential::service_account(),
            Endpoint::Token,
            Step::Token,
            ["https://oauth2.googleapis.com/token", "no answer within"],
        ),
        (
            Credential::impersonated_by_user(),
            Endpoint::GenerateIdToken,
            Step::Token,
            ["https://iamcredentials.googleapis.com", "no answer within"],
        ),
        (
            Credential::service_account(),
            Endpoint::Run,
            Step::Call,
            [AUDIENCE, "gave up after 9.8 s"],
        ),
    ] {
        let emulator = Emulator::new();
        let builder = if credential == Credential::metadata() {
            with_metadata(in_memory(&emulator))
        } else {
            with_file(&emulator, &credential)
        };
        emulator.fault(endpoint, Fault::hang());
        let report = hung(builder).await;
        has(&told(&report, step, Severity::Problem), &parts);
        // What was seen before is there.
        assert!(report.identity.is_some() && report.audience.is_some());
        assert_eq!(report.token.is_some(), step == Step::Call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_swallows_everything_takes_no_longer() {
    let http = HttpClient::from_service(tower::service_fn(|_: Request<Full<Bytes>>| {
        pending::<io::Result<Response<Full<Bytes>>>>()
    }));
    let env = Env::empty().variable("HOME", "/home/me");
    let report = hung(Builder::new().env(env.clone()).http(http.clone())).await;
    has(
        &told(&report, Step::Credentials, Severity::Problem),
        &["no answer from"],
    );

    let patient = env.variable("GCE_METADATA_TIMEOUT", "60");
    let report = hung(Builder::new().env(patient).http(http)).await;
    has(
        &told(&report, Step::Credentials, Severity::Problem),
        &["gave up after 9.8 s", "to answer"],
    );
    assert_eq!(report.looked.len(), 2);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_program_that_hangs_is_named_and_takes_no_longer() {
    let emulator = Emulator::new();
    let mut file = emulator.credentials(&Credential::external_executable());
    file["credential_source"]["executable"]["command"] = "/bin/sleep 1000".into();
    let env = Env::empty().variable("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
    let builder = Builder::new().env(env).http(in_memory(&emulator));
    let report = hung(builder.credentials_json(file.to_string())).await;
    has(
        &told(&report, Step::Token, Severity::Problem),
        &[
            "gave up after 9.8 s",
            "the program that gives the subject token",
            "by hand",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_takes_no_longer() {
    let emulator = Emulator::new();
    emulator.fault(Endpoint::Run, Fault::status(503).body("slow").after(HOUR));
    hung(with_metadata(in_memory(&emulator))).await;
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_is_noticed() {
    for (ours_ahead, way) in [(true, " s ahead of"), (false, "behind")] {
        let clock = move || {
            let now: SystemTime = Clock::default().now();
            match ours_ahead {
                true => now - TEN_MINUTES,
                false => now + TEN_MINUTES,
            }
        };
        let emulator = Emulator::builder().clock(clock).build();
        let report = call(with_metadata(in_memory(&emulator))).await;
        assert!(report.would_work(), "{report}");
        let skew = report.clock.as_ref().unwrap().seconds;
        assert!((595..=601).contains(&skew.abs()), "{skew}");
        assert_eq!(skew > 0, ours_ahead);
        let warning = told(&report, Step::Clock, Severity::Warning);
        has(&warning, &[way, "metadata.google.internal"]);

        if ours_ahead {
            // The key's own JWTs are from the future.
            let report = call(with_file(&emulator, &Credential::service_account())).await;
            assert!(!report.would_work());
            told(&report, Step::Clock, Severity::Problem);
            has(
                &told(&report, Step::Token, Severity::Problem),
                &["invalid_grant", "clock"],
            );
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const TEN_MINUTES: Duration = Duration::from_secs(600);
