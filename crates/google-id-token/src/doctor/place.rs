//! What kind of place a URL's host is, as far as its name tells.

use ::http::Uri;
use serde::Serialize;
use tower_id_token::is_loopback;

/// What kind of place a URL leads to, as far as its host's name tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Place {
    /// A Cloud Run service, under its own name.
    #[non_exhaustive]
    CloudRun {
        /// The service's name, guessed from the host's.
        service: String,
        /// Its region, where the host tells.
        region: Option<String>,
        /// The traffic tag (`TAG---`), where there is one.
        tag: Option<String>,
    },
    /// A function of Cloud Functions, under its own name.
    #[non_exhaustive]
    CloudFunction {
        /// The function's name: the path's first segment.
        function: Option<String>,
        /// Its region, where the host tells.
        region: Option<String>,
    },
    /// This machine.
    Loopback,
    /// A name of somebody's own: a custom domain, a load balancer, an Identity-Aware Proxy.
    Other,
}

impl Place {
    pub(super) fn of(url: &Uri) -> Self {
        let host = url.host().unwrap_or_default().to_ascii_lowercase();
        if is_loopback(&host) {
            return Self::Loopback;
        }
        if let Some(name) = host.strip_suffix(".run.app") {
            return Self::run(name);
        }
        if let Some(name) = host.strip_suffix(".cloudfunctions.net") {
            let function = url.path().split('/').nth(1).filter(|it| !it.is_empty());
            return Self::CloudFunction {
                function: function.map(str::to_owned),
                region: region(name).map(str::to_owned),
            };
        }
        Self::Other
    }

    /// `[TAG---]SERVICE-HASH-CODE.a` or `[TAG---]SERVICE-NUMBER.REGION`.
    fn run(name: &str) -> Self {
        let (label, rest) = name.split_once('.').unwrap_or((name, "a"));
        let (tag, label) = match label.split_once("---") {
            Some((tag, label)) => (Some(tag.to_owned()), label),
            None => (None, label),
        };
        let (service, region) = match rest {
            "a" => (label.rsplitn(3, '-').nth(2), None),
            region => (label.rsplit_once('-').map(|it| it.0), Some(region)),
        };
        Self::CloudRun {
            service: service.unwrap_or(label).to_owned(),
            region: region.map(str::to_owned),
            tag,
        }
    }
}

/// `us-central1` of `us-central1-my-project`.
fn region(name: &str) -> Option<&str> {
    let (second, _) = name.match_indices('-').nth(1)?;
    let region = &name[..second];
    region
        .ends_with(|it: char| it.is_ascii_digit())
        .then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(service: &str, region: Option<&str>, tag: Option<&str>) -> Place {
        Place::CloudRun {
            service: service.to_owned(),
            region: region.map(str::to_owned),
            tag: tag.map(str::to_owned),
        }
    }

    #[test]
    fn a_hosts_name_tells_service_region_and_tag() {
        for (url, place) in [
            (
                "https://my-api-abc123xyz-uc.a.run.app/x",
                run("my-api", None, None),
            ),
            (
                "https://blue---my-api-abc123xyz-uc.a.run.app",
                run("my-api", None, Some("blue")),
            ),
            (
                "https://my-api-123456789012.europe-west1.run.app",
                run("my-api", Some("europe-west1"), None),
            ),
            (
                "https://us-central1-my-project.cloudfunctions.net/hello/x",
                Place::CloudFunction {
                    function: Some("hello".to_owned()),
                    region: Some("us-central1".to_owned()),
                },
            ),
            ("http://127.0.0.1:8080", Place::Loopback),
            ("https://api.example.com", Place::Other),
        ] {
            assert_eq!(Place::of(&url.parse().unwrap()), place, "{url}");
        }
    }
}
