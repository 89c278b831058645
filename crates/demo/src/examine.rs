//! The doctor, for people and for machines.

use std::process::ExitCode;

use crate::args;
use google_id_token::doctor::Doctor;

/// Prints what the doctor saw. The exit code is whether a call would work.
pub(crate) async fn run(args: args::Doctor) -> ExitCode {
    let mut doctor = Doctor::new(args.who.builder());
    if let Some(audience) = args.audience {
        doctor = doctor.audience(audience);
    }
    if let Some(url) = args.url {
        doctor = doctor.url(url);
        if !args.no_call {
            doctor = doctor.call();
        }
    }
    let report = doctor.examine().await;
    if args.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("the report makes no JSON: {error}"),
        }
    } else {
        println!("{report}");
    }
    if report.would_work() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
