//! Is this Google Cloud? Asked once, answered within five seconds.

use std::pin::pin;
use std::time::Duration;

use ::http::Request;
use http_body_util::Full;
use tokio::time::{sleep, timeout};
use tower_id_token::{ErrorKind, SourceError};

use crate::source::Metadata;
use crate::source::metadata::{FLAVOR, GOOGLE, is_metadata_server};
use crate::{Env, HttpClient};

/// What came of the look.
pub(super) enum Detected {
    /// The server, and how it was found.
    Here(Metadata, String),
    /// None, and what was tried.
    Absent(String),
}

/// Takes the environment's word for it, or asks the two places where Google Cloud has one.
pub(super) async fn detect(env: &Env, http: &HttpClient) -> Result<Detected, SourceError> {
    if env
        .text(NO_CHECK)?
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        let why = format!("not asked: {NO_CHECK} is true");
        return Ok(Detected::Absent(why));
    }
    // Whoever names a host has one there: it may only be late, and asking for tokens retries.
    for name in HOSTS {
        if let Some(host) = env.text(name)? {
            let metadata = Metadata::new(http.clone(), &host).map_err(|error| {
                SourceError::new(ErrorKind::Config, format!("the variable {name}: {error}"))
            })?;
            let origin = format!("the metadata server at {} ({name})", metadata.url());
            return Ok(Detected::Here(metadata, origin));
        }
    }
    let limit = limit(env).await?;
    let patient = limit.1;
    let by_address = env.text(ADDRESS_VARIABLE)?;
    let address = by_address.as_deref().unwrap_or(ADDRESS);
    let address = Metadata::new(http.clone(), address).map_err(|error| {
        let message = format!("the variable {ADDRESS_VARIABLE}: {error}");
        SourceError::new(ErrorKind::Config, message)
    })?;
    let name = Metadata::new(http.clone(), NAME)?;
    let raced = timeout(limit.0, async {
        let mut address = pin!(ping(http, &address, patient));
        let mut name = pin!(ping(http, &name, patient));
        tokio::select! {
            first = &mut address => either(first, name).await,
            first = &mut name => either(first, address).await,
        }
    })
    .await;
    Ok(match raced {
        Ok(Ok(metadata)) => {
            let origin = format!("the metadata server at {}", metadata.url());
            Detected::Here(metadata, origin)
        }
        Ok(Err(why)) => Detected::Absent(why),
        Err(_elapsed) => Detected::Absent(format!(
            "no answer from {} or {NAME} within {} s",
            address.url(),
            limit.0.as_secs_f32()
        )),
    })
}

/// The first one's yes, or else what the other one says.
async fn either(
    first: Result<Metadata, String>,
    other: impl Future<Output = Result<Metadata, String>>,
) -> Result<Metadata, String> {
    match first {
        Ok(metadata) => Ok(metadata),
        Err(one) => other.await.map_err(|two| format!("{one}; {two}")),
    }
}

/// Asks until there is an answer, or a failure that will not pass.
async fn ping(http: &HttpClient, metadata: &Metadata, patient: bool) -> Result<Metadata, String> {
    let url = metadata.url();
    loop {
        tracing::debug!(url, "looking for a metadata server");
        let mut request = Request::new(Full::default());
        *request.uri_mut() = format!("{url}/").parse().map_err(|_| "no URL".to_owned())?;
        request.headers_mut().insert(FLAVOR, GOOGLE);
        match http.probe(request).await {
            Ok((status, headers)) if status.is_success() && is_metadata_server(&headers) => {
                return Ok(metadata.clone());
            }
            Ok((status, headers)) if !is_metadata_server(&headers) => {
                return Err(format!("{url} answered {}, and is none", status.as_u16()));
            }
            // It is one, and not well.
            Ok(_) => {}
            // At a pod's start it is there and does not listen yet.
            Err(failure) if patient || failure.is_connection_refused() => {}
            Err(failure) => return Err(format!("{url}: {}", failure.told())),
        }
        sleep(BETWEEN_PINGS).await;
    }
}

/// How long to look, and whether to go on after a failure that looks final.
async fn limit(env: &Env) -> Result<(Duration, bool), SourceError> {
    let hinted = is_likely(env).await;
    if let Some(text) = env.text(TIMEOUT)? {
        let seconds = text
            .parse()
            .ok()
            .filter(|seconds| (MINIMUM..=MAXIMUM).contains(seconds))
            .ok_or_else(|| {
                SourceError::new(
                    ErrorKind::Config,
                    format!(
                        "the variable {TIMEOUT}: {text:?} is no number of seconds from {MINIMUM} \
                         to {MAXIMUM}"
                    ),
                )
            })?;
        return Ok((Duration::from_secs_f64(seconds), hinted));
    }
    Ok((if hinted { LONG } else { SHORT }, hinted))
}

/// A hint to be patient, no more: none of these is there on all of Google Cloud.
async fn is_likely(env: &Env) -> bool {
    if SERVERLESS.iter().any(|name| env.value(name).is_some()) {
        return true;
    }
    let product = env.read(DMI.as_ref()).await;
    product.is_ok_and(|name| name.trim_ascii().starts_with(b"Google"))
}

const NO_CHECK: &str = "NO_GCE_CHECK";
const HOSTS: [&str; 2] = ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"];
const ADDRESS_VARIABLE: &str = "GCE_METADATA_IP";
const TIMEOUT: &str = "GCE_METADATA_TIMEOUT";
const SERVERLESS: [&str; 3] = ["K_SERVICE", "CLOUD_RUN_JOB", "FUNCTION_NAME"];
const DMI: &str = "/sys/class/dmi/id/product_name";
const ADDRESS: &str = "169.254.169.254";
const NAME: &str = "metadata.google.internal";
/// The whole look, where nothing speaks for Google Cloud.
const SHORT: Duration = Duration::from_secs(3);
/// The whole look, where something does.
const LONG: Duration = Duration::from_millis(4_800);
const BETWEEN_PINGS: Duration = Duration::from_secs(1);
const MINIMUM: f64 = 0.1;
const MAXIMUM: f64 = 60.0;
