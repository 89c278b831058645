//! The differences, and their reasons.

/// In what a program differs from us, with these kinds of credentials.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) program: &'static str,
    pub(super) kinds: &'static [&'static str],
    /// A request by its endpoint, or a part of one.
    pub(super) what: &'static str,
    /// What we ask; empty where we do not.
    pub(super) ours: &'static str,
    /// What they ask; empty where they do not.
    pub(super) theirs: &'static str,
    pub(super) why: &'static str,
}

pub(super) const TABLE: &[Row] = &[
    Row {
        program: "google-cloud-auth",
        kinds: &["external_executable"],
        what: "failure",
        ours: "",
        theirs: "No such file or directory",
        why: "x",
    },
    Row {
        program: "google-auth",
        kinds: &["external_aws_environment"],
        what: "failure",
        ours: "",
        theirs: "x-goog-cloud-target-resource is not signed",
        why: "x",
    },
    Row {
        program: "google-cloud-auth",
        kinds: &["impersonated_by_service_account"],
        what: "failure",
        ours: "",
        theirs: "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        why: "x",
    },
    Row {
        program: "google-cloud-auth",
        kinds: &["service_account"],
        what: "failure",
        ours: "",
        theirs: "oauth2.googleapis.com",
        why: "x",
    },
    Row {
        program: "google-auth",
        kinds: &["impersonated_by_external"],
        what: "failure",
        ours: "",
        theirs: "source credential of type external_account is not supported",
        why: "x",
    },
];
