//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand};
use google_id_token::{Audience, Builder, Placement, is_loopback};
use http::{HeaderName, HeaderValue, Method, Uri};

/// Call a private Cloud Run service with an ID token.
///
/// Without --url, the call goes to a Google and a Cloud Run service in this process: the real
/// protocol, on loopback, with nothing to set up.
#[derive(Debug, Parser)]
#[command(name = "demo", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) call: Call,

    /// Say on stderr what is tried and what comes of it
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print an ID token to stdout, for curl and scripts. It is a secret.
    Token(Token),
    /// Say whether a call would work, and if not, why and what mends it
    Doctor(Doctor),
}

#[derive(Debug, Group)]
pub(crate) struct Doctor {
    /// The service to call; without it, only credentials and token are examined
    #[arg(long, value_parser = url)]
    pub(crate) url: Option<Uri>,

    /// Whom the token is for [default: derived from the URL]
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: Option<Audience>,

    #[command(flatten)]
    pub(crate) who: Who,

    /// Do not call the service
    #[arg(long)]
    pub(crate) no_call: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Token {
    /// Whom the token is for: the service's URL, or a custom audience
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: Audience,

    #[command(flatten)]
    pub(crate) who: Who,

    /// Give up after this long
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Group)]
pub(crate) struct Call {
    /// The service to call; plain http on loopback only
    #[arg(long, value_parser = url)]
    pub(crate) url: Option<Uri>,

    /// Whom the token is for [default: derived from the URL]
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: Option<Audience>,

    #[command(flatten)]
    pub(crate) who: Who,

    /// The request's method [default: GET, or POST where there is data]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<Method>,

    /// A header of the request; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "K: V", value_parser = header)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,

    /// The request's body
    #[arg(short, long, value_name = "BODY")]
    pub(crate) data: Option<String>,

    /// The header that the token goes into: Authorization, X-Serverless-Authorization or
    /// Proxy-Authorization
    #[arg(long, value_name = "NAME", default_value = "Authorization", value_parser = placement)]
    pub(crate) authorization_header: Placement,

    /// Give up after this long, credentials and token included
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

/// Whose token it is.
#[derive(Debug, Group)]
pub(crate) struct Who {
    /// A credential file [default: application default credentials]
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// Act as this service account
    #[arg(long, value_name = "EMAIL")]
    pub(crate) impersonate_service_account: Option<String>,

    /// A service account on the way to that one; may be given more than once
    #[arg(
        long = "delegate",
        value_name = "EMAIL",
        requires = "impersonate_service_account"
    )]
    pub(crate) delegates: Vec<String>,
}

impl Who {
    /// Settings for the library. The demo is a developer's tool, and chooses Cloud Run's exemption
    /// for gcloud users; where it comes to that, it says so.
    pub(crate) fn builder(&self) -> Builder {
        let mut builder = Builder::new().user_tokens_for_cloud_run();
        if let Some(file) = &self.credentials {
            builder = builder.credentials_file(file);
        }
        if let Some(email) = &self.impersonate_service_account {
            builder = builder.impersonate(email).delegates(&self.delegates);
        }
        builder
    }
}

fn url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => Ok(uri),
        (Some("http"), Some(host)) if is_loopback(host) => Ok(uri),
        (Some("http"), Some(_)) => {
            Err("a token does not travel by plain http, except on loopback: use https".into())
        }
        (None, _) => Err(format!("a whole URL is wanted: https://{text}")),
        _ => Err("an https URL with a host is wanted".into()),
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    // What is wrong is said without the value: it may be a secret.
    let (name, value) = text
        .split_once(':')
        .ok_or("a header is written `Name: value`")?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| "this is no header's name")?;
    let value = value
        .trim()
        .parse()
        .map_err(|_| "this is no header's value")?;
    Ok((name, value))
}

fn placement(name: &str) -> Result<Placement, String> {
    match &*name.to_ascii_lowercase() {
        "authorization" => Ok(Placement::Authorization),
        "x-serverless-authorization" => Ok(Placement::Serverless),
        "proxy-authorization" => Ok(Placement::Proxy),
        _ => Err("one of Authorization, X-Serverless-Authorization, Proxy-Authorization".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err("more than no seconds are wanted".into()),
    }
}
