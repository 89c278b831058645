//! The pool that an external identity belongs to, by the audience that its file names.

/// A pool's resource name, such as `projects/1/locations/global/workloadIdentityPools/POOL`.
pub(crate) enum Pool {
    /// Of machines, in a project.
    Workload(String),
    /// Of people, in an organization.
    Workforce(String),
}

impl Pool {
    /// The pool of this audience, `//iam.googleapis.com/…/providers/PROVIDER`; none where the
    /// audience is of another kind, as a GKE fleet's is.
    pub(crate) fn of(audience: &str) -> Option<Self> {
        let (_host, path) = audience.strip_prefix("//")?.split_once('/')?;
        let parts: Vec<_> = path.split('/').collect();
        match parts[..] {
            [
                "projects",
                number,
                "locations",
                place,
                kind @ "workloadIdentityPools",
                pool,
                ..,
            ] => {
                let name = format!("projects/{number}/locations/{place}/{kind}/{pool}");
                Some(Self::Workload(name))
            }
            ["locations", place, kind @ "workforcePools", pool, ..] => {
                Some(Self::Workforce(format!("locations/{place}/{kind}/{pool}")))
            }
            _ => None,
        }
    }

    /// All of its members, as IAM's policies name them. Which one this is, only the pool knows.
    pub(crate) fn member(&self) -> String {
        let (Self::Workload(name) | Self::Workforce(name)) = self;
        format!("'principalSet://iam.googleapis.com/{name}/*'")
    }
}
