//! What stands between this machine and a call that is let in: looked at, explained, mended.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use google_id_token::Builder;
//! use google_id_token::doctor::Doctor;
//!
//! let report = Doctor::new(Builder::new())
//!     .url("https://hello-abc123-uc.a.run.app/".parse()?)
//!     .call()
//!     .examine()
//!     .await;
//! println!("{report}");
//! std::process::exit(if report.would_work() { 0 } else { 1 });
//! # }
//! ```

mod call;
mod command;
mod finding;
mod minted;
mod page;
mod place;
mod report;
mod wanted;
mod watch;

use std::pin::pin;
use std::time::Duration;

use ::http::Uri;
use tokio::time::{Instant, timeout_at};
use tower_id_token::{Audience, ErrorKind, SourceError};

pub use self::call::Called;
pub use self::finding::{Finding, Severity, Step};
pub use self::minted::Minted;
pub use self::place::Place;
pub use self::report::{Identity, Report};
pub use self::wanted::Wanted;
pub use self::watch::Skew;

use self::watch::Watch;
use crate::{Builder, HttpClient, Kind, SubjectSource};

/// Examines credentials, and on request a call with them, and reports what it saw.
///
/// It looks for credentials as [`Builder::build`] does, mints one ID token, compares this
/// machine's clock with that of whoever answered, and explains the audience that the URL asks
/// for. No secret is in the report: the token's claims are, its signature is not.
#[derive(Clone, Debug)]
pub struct Doctor {
    builder: Builder,
    url: Option<Uri>,
    audience: Option<Audience>,
    call: bool,
    through: Option<HttpClient>,
    limit: Duration,
}

impl Doctor {
    /// Examines the credentials that this builder would find, with its settings.
    pub fn new(builder: Builder) -> Self {
        Self {
            builder,
            url: None,
            audience: None,
            call: false,
            through: None,
            limit: LIMIT,
        }
    }

    /// The URL that is to be called. Without one, and without an audience, a token for nobody
    /// (`https://doctor.invalid`) shows whether tokens are to be had.
    #[must_use]
    pub fn url(mut self, url: Uri) -> Self {
        self.url = Some(url);
        self
    }

    /// The audience to ask for, instead of the one that the URL has by
    /// [`Audience::of`]: a custom audience, or the OAuth client id of an Identity-Aware Proxy.
    #[must_use]
    pub fn audience(mut self, audience: Audience) -> Self {
        self.audience = Some(audience);
        self
    }

    /// Calls the URL too: one GET with the token, through the builder's HTTP client.
    #[must_use]
    pub fn call(mut self) -> Self {
        self.call = true;
        self
    }

    /// Calls the URL too, through this client.
    #[must_use]
    pub fn call_through(mut self, http: HttpClient) -> Self {
        self.through = Some(http);
        self.call()
    }

    /// How long all of it may take: 9.8 s, so that the report is there within 10 s.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Looks at everything, in turn, until something stands in the way or time is up.
    ///
    /// Never fails: what goes wrong is in the report, and so is everything that was seen before.
    pub async fn examine(self) -> Report {
        let mut report = Report::default();
        if tokio::runtime::Handle::try_current().is_err() {
            report.add(Finding::new(
                Step::Credentials,
                Severity::Problem,
                "the doctor works inside a tokio runtime, and there is none here",
            ));
            return report;
        }
        let watch = Watch::default();
        let limit = self.limit;
        let until = Instant::now() + limit;
        let late = {
            let steps = pin!(self.steps(&mut report, &watch));
            let examined = timeout_at(until, steps).await;
            // Asked before the steps are dropped: then nobody waits any more.
            examined.err().map(|_elapsed| watch.waits_for())
        };
        report.clock = watch.skew();
        if let Some(whom) = late {
            let finding = gave_up(&report, whom, limit);
            report.add(finding);
        }
        report.judge_clock();
        report.finish();
        report
    }

    async fn steps(self, report: &mut Report, watch: &Watch) {
        // Takes no time, and helps to read the rest.
        let wanted = Wanted::find(self.url.as_ref(), self.audience);
        let audience = match &wanted {
            Ok((_, audience)) => audience.clone(),
            Err(finding) => {
                report.add(finding.clone());
                return;
            }
        };
        if let Ok((wanted, _)) = wanted {
            wanted.judge(report);
            report.audience = Some(wanted);
        }

        report.step = Step::Credentials;
        let through = self.through;
        let mut own = None;
        let builder = self.builder.map_http(|http| {
            own = Some(http.clone());
            watch.over(http)
        });
        let located = match builder.locate(&mut report.looked).await {
            Ok(located) => located,
            Err(error) => return report.add(Finding::of(Step::Credentials, &error)),
        };
        report.identity = Some(Identity {
            kind: located.kind(),
            found: located.found.clone(),
            principal: located.principal().map(str::to_owned),
        });
        let credentials = match builder.assemble(located) {
            Ok(credentials) => credentials,
            Err(error) => return report.add(Finding::of(Step::Credentials, &error)),
        };

        report.step = Step::Token;
        let tokens = credentials.id_tokens();
        let token = match tokens.get(&audience).await {
            Ok(token) => token,
            Err(error) => return report.add(Finding::of(Step::Token, &error)),
        };
        match Minted::read(&token) {
            Ok(minted) => report.take(minted, &audience),
            Err(error) => return report.add(Finding::of(Step::Token, &error)),
        }

        if let (true, Some(url)) = (self.call, self.url) {
            report.step = Step::Call;
            let http = watch.over(through.or(own).unwrap_or_default());
            call::call(report, http, tokens, url, audience).await;
        }
    }
}

fn gave_up(report: &Report, whom: Option<String>, limit: Duration) -> Finding {
    let step = report.step;
    let kind = report.identity.as_ref().and_then(|it| it.kind);
    let runs_program = kind == Some(Kind::External(SubjectSource::Executable));
    let at_program = step == Step::Token && runs_program && whom.is_none();
    let doing = match whom {
        Some(whom) => format!("waiting for {whom} to answer"),
        None if at_program => "waiting for the program that gives the subject token".to_owned(),
        None => "waiting".to_owned(),
    };
    let hint = match step {
        Step::Token if at_program => {
            "run it by hand to see what it waits for; it may take as long as its `timeout_millis`"
        }
        Step::Call => "the service hangs, or takes longer to start than that",
        _ => "check the network between this machine and it, and its proxy's variables",
    };
    let limit = limit.as_secs_f32();
    let error = SourceError::new(
        ErrorKind::Unavailable,
        format!("gave up after {limit:.1} s, {doing}: {hint}"),
    );
    Finding::of(step, &error)
}

/// All steps together: what is promised is 10 s.
const LIMIT: Duration = Duration::from_millis(9_800);
