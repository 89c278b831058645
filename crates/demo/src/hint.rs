//! What to do about an answer that was not wanted.

use google_id_token::{Audience, Claims};
use http::{StatusCode, Uri};

/// What mends this status, where something is known to.
pub(crate) fn of(
    status: StatusCode,
    url: &Uri,
    audience: &Audience,
    claims: &Claims,
) -> Option<String> {
    match status {
        StatusCode::FORBIDDEN => Some(forbidden(url, claims)),
        StatusCode::UNAUTHORIZED => Some(unauthorized(url, audience, claims)),
        StatusCode::NOT_FOUND => Some(
            "Is the URL right? `gcloud run services list` shows what there is; a service with \
             internal ingress answers 404 to the internet too.\n"
                .to_owned(),
        ),
        _ => None,
    }
}

fn forbidden(url: &Uri, claims: &Claims) -> String {
    let (service, region) = service(url);
    let member = match claims.email.as_deref() {
        Some(email) if email.ends_with(".gserviceaccount.com") => format!("serviceAccount:{email}"),
        Some(email) => format!("user:{email}"),
        None => "serviceAccount:EMAIL".to_owned(),
    };
    format!(
        "The token is good, and this identity may not call the service. Grant it the role (it \
         takes up to a minute to act):\n\n  \
         gcloud run services add-iam-policy-binding {service} \\\n    \
         --region {region} \\\n    --member '{member}' \\\n    --role roles/run.invoker\n"
    )
}

fn unauthorized(url: &Uri, audience: &Audience, claims: &Claims) -> String {
    let (service, region) = service(url);
    let mut text = String::from(
        "The service does not accept this token, most often because of its audience: that has to \
         be the service's own URL (`gcloud run services describe` shows it; no path, no traffic \
         tag) or one of its custom audiences. Name it with --audience, or add this one:\n\n",
    );
    text.push_str(&format!(
        "  gcloud run services update {service} \\\n    --region {region} \\\n    \
         --add-custom-audiences '{audience}'\n"
    ));
    if claims.aud.as_deref() != Some(audience.as_str()) {
        text.push_str(
            "\nThis token is a user's, and so for gcloud's own client id: where that is not \
             accepted, act as a service account with --impersonate-service-account EMAIL.\n",
        );
    }
    text
}

/// Name and region of a Cloud Run service, as far as its URL tells.
fn service(url: &Uri) -> (String, String) {
    let host = url.host().unwrap_or_default();
    let label = host.split('.').next().unwrap_or_default();
    let label = label
        .split_once("---")
        .map_or(label, |(_tag, service)| service);
    let mut parts = label.rsplitn(3, '-');
    let rest: Vec<_> = host.split('.').skip(1).collect();
    match rest[..] {
        // SERVICE-HASH-REGIONCODE.a.run.app
        ["a", "run", "app"] => {
            let name = parts.nth(2).unwrap_or("SERVICE");
            (name.to_owned(), "REGION".to_owned())
        }
        // SERVICE-PROJECTNUMBER.REGION.run.app
        [region, "run", "app"] => {
            let name = label
                .rsplit_once('-')
                .map_or("SERVICE", |(name, _number)| name);
            (name.to_owned(), region.to_owned())
        }
        _ => ("SERVICE".to_owned(), "REGION".to_owned()),
    }
}

pub(crate) const USER: &str = "⚠️  These are a user's credentials: Google mints their ID tokens for gcloud's own client id, \
whatever the audience. Cloud Run makes an exception for it, and this demo makes use of that; \
nothing else takes such a token. For anything but a try, act as a service account: \
--impersonate-service-account EMAIL.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_the_services_name_and_sometimes_its_region() {
        for (url, name, region) in [
            (
                "https://hello-service-abc123xyz-uc.a.run.app/x",
                "hello-service",
                "REGION",
            ),
            ("https://blue---hello-abc-uc.a.run.app", "hello", "REGION"),
            (
                "https://my-svc-123456.europe-west1.run.app",
                "my-svc",
                "europe-west1",
            ),
            ("https://api.example.com", "SERVICE", "REGION"),
        ] {
            let wanted = (name.to_owned(), region.to_owned());
            assert_eq!(service(&url.parse().unwrap()), wanted, "{url}");
        }
    }
}
