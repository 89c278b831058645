//! The gcloud commands that mend things.

use super::place::Place;

/// The commands that a message has between backticks.
pub(super) fn quoted(message: &str) -> Vec<String> {
    message
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with("gcloud "))
        .map(str::to_owned)
        .collect()
}

/// Lets this principal call the service at this place.
pub(super) fn allow(place: &Place, principal: Option<&str>) -> Option<String> {
    let member = member(principal);
    match place {
        Place::CloudRun {
            service, region, ..
        } => Some(format!(
            "gcloud run services add-iam-policy-binding {service} --region={} --member={member} \
             --role=roles/run.invoker",
            region.as_deref().unwrap_or("REGION")
        )),
        Place::CloudFunction {
            function, region, ..
        } => Some(format!(
            "gcloud functions add-invoker-policy-binding {} --region={} --member={member}",
            function.as_deref().unwrap_or("FUNCTION"),
            region.as_deref().unwrap_or("REGION"),
        )),
        Place::Loopback | Place::Other => None,
    }
}

/// Lets this principal through an Identity-Aware Proxy.
pub(super) fn allow_iap(principal: Option<&str>) -> String {
    format!(
        "gcloud iap web add-iam-policy-binding --member={} --role=roles/iap.httpsResourceAccessor",
        member(principal)
    )
}

/// How IAM's policies name a principal.
fn member(principal: Option<&str>) -> String {
    match principal {
        Some(email) if email.ends_with(".gserviceaccount.com") => format!("serviceAccount:{email}"),
        Some(email) => format!("user:{email}"),
        None => "serviceAccount:EMAIL".to_owned(),
    }
}

/// Tells which audiences the service at this place has.
pub(super) fn audiences(place: &Place) -> String {
    let (service, region) = match place {
        Place::CloudRun {
            service, region, ..
        } => (service.as_str(), region.as_deref()),
        _ => ("SERVICE", None),
    };
    format!(
        "gcloud run services describe {service} --region={} \
         --format='value(status.url, metadata.annotations[\"run.googleapis.com/custom-audiences\"])'",
        region.unwrap_or("REGION")
    )
}

/// Has a service accept this audience too.
pub(super) fn accept(audience: &str) -> String {
    format!("gcloud run services update SERVICE --region=REGION --add-custom-audiences={audience}")
}
