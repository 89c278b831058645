//! Whom to impersonate, and by way of whom.

use ::http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tower_id_token::{ErrorKind, SourceError};

use crate::endpoint::{Endpoint, shown};
use crate::env::Env;
use crate::universe::Universe;

/// A service account, the delegates on the way to it, and the IAM that is asked for its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Everything of the URL before the account: `https://…/serviceAccounts/`.
    prefix: String,
    principal: String,
    /// As IAM names them: `projects/-/serviceAccounts/EMAIL`.
    delegates: Vec<String>,
}

impl Target {
    /// This account, at this IAM.
    pub(crate) fn new(iam: &Endpoint, principal: &str) -> Result<Self, String> {
        Ok(Self {
            prefix: prefix(iam),
            principal: checked(principal)?.to_owned(),
            delegates: Vec::new(),
        })
    }

    /// The same account, at another IAM.
    pub(crate) fn at(self, iam: &Endpoint) -> Self {
        Self {
            prefix: prefix(iam),
            ..self
        }
    }

    /// The account of a file's `service_account_impersonation_url`, whose host and path are kept.
    pub(crate) fn from_url(url: &Endpoint) -> Option<Self> {
        if url.uri().query().is_some() {
            return None;
        }
        let url = url.uri().to_string();
        let (account, verb) = url.rsplit_once(':')?;
        if !matches!(verb, "generateAccessToken" | "generateIdToken") {
            return None;
        }
        let (before, principal) = account.rsplit_once('/')?;
        let principal = percent_decode_str(principal).decode_utf8().ok()?;
        before.ends_with("/serviceAccounts").then(|| {
            Some(Self {
                prefix: format!("{before}/"),
                principal: checked(&principal).ok()?.to_owned(),
                delegates: Vec::new(),
            })
        })?
    }

    /// Another account, at the same IAM.
    pub(crate) fn sibling(&self, principal: &str) -> Result<Self, String> {
        Ok(Self {
            prefix: self.prefix.clone(),
            principal: checked(principal)?.to_owned(),
            delegates: Vec::new(),
        })
    }

    /// By way of this delegate too, an e-mail or IAM's own name; the last one acts as the target.
    pub(crate) fn through(mut self, delegate: &str) -> Result<Self, String> {
        let account = delegate.strip_prefix(ACCOUNTS).unwrap_or(delegate);
        self.delegates
            .push(format!("{ACCOUNTS}{}", checked(account)?));
        Ok(self)
    }

    /// From this account on to the next, which is what the tokens are for then.
    pub(crate) fn then(self, next: Self) -> Self {
        let mut delegates = self.delegates;
        delegates.push(format!("{ACCOUNTS}{}", self.principal));
        delegates.extend(next.delegates);
        Self { delegates, ..next }
    }

    pub(crate) fn principal(&self) -> &str {
        &self.principal
    }

    pub(crate) fn delegates(&self) -> &[String] {
        &self.delegates
    }

    /// The delegates by their e-mails.
    pub(crate) fn delegate_names(&self) -> impl Iterator<Item = &str> {
        self.delegates
            .iter()
            .map(|name| name.strip_prefix(ACCOUNTS).unwrap_or(name))
    }

    pub(crate) fn url(&self, verb: &str) -> Result<Uri, SourceError> {
        let account = utf8_percent_encode(&self.principal, SEGMENT);
        format!("{}{account}:{verb}", self.prefix)
            .parse()
            .map_err(|_| {
                let message = format!("{} makes no URL", self.principal);
                SourceError::new(ErrorKind::Config, message)
            })
    }
}

fn prefix(iam: &Endpoint) -> String {
    let base = shown(iam.uri());
    format!("{}/v1/{ACCOUNTS}", base.trim_end_matches('/'))
}

/// Where IAM Credentials is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Iam(Option<Endpoint>);

impl Iam {
    /// What gcloud's variable says, or else that of the credentials' universe.
    pub(crate) fn of(env: &Env) -> Result<Self, SourceError> {
        let url = env.text(OVERRIDE)?;
        let url = url.map(|url| Endpoint::parse(&url, format_args!("the variable {OVERRIDE}")));
        Ok(Self(url.transpose()?))
    }

    /// Whether it takes no universe to know.
    pub(crate) fn is_named(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn endpoint(&self, universe: &Universe) -> Endpoint {
        match &self.0 {
            Some(url) => url.clone(),
            None => universe.endpoint(IAM_CREDENTIALS, ""),
        }
    }
}

/// An e-mail or a unique id, as it may stand in a path. None has any of these characters.
fn checked(account: &str) -> Result<&str, String> {
    if account.is_empty() || account.len() > LONGEST_ACCOUNT {
        return Err(format!(
            "a service account's e-mail has 1 to {LONGEST_ACCOUNT} characters"
        ));
    }
    let strange = |char: char| {
        char.is_whitespace() || char.is_control() || matches!(char, '/' | ':' | '?' | '#' | '%')
    };
    if account.contains(strange) {
        return Err(format!("{account:?} is no service account's e-mail"));
    }
    Ok(account)
}

const ACCOUNTS: &str = "projects/-/serviceAccounts/";
const IAM_CREDENTIALS: &str = "iamcredentials";
const OVERRIDE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";
const LONGEST_ACCOUNT: usize = 256;
/// What stays as it is in a segment of a path: unreserved characters and `@`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Option<Target> {
        Target::from_url(&Endpoint::parse(text, "test").unwrap())
    }

    #[test]
    fn a_files_url_keeps_its_host_and_path_and_loses_its_verb() {
        let target = url(
            "https://iam.example/base/v1/projects/-/serviceAccounts/a%40b.c:generateAccessToken",
        )
        .unwrap();
        assert_eq!(target.principal(), "a@b.c");
        assert_eq!(
            target.url("generateIdToken").unwrap(),
            "https://iam.example/base/v1/projects/-/serviceAccounts/a@b.c:generateIdToken"
        );
    }

    #[test]
    fn a_url_of_another_shape_is_refused() {
        for text in [
            "https://iam.example/",
            "https://iam.example/v1/projects/-/serviceAccounts/a@b.c",
            "https://iam.example/v1/projects/-/serviceAccounts/a@b.c:signJwt",
            "https://iam.example/v1/projects/-/serviceAccounts/:generateAccessToken",
            "https://iam.example/v1/projects/-/serviceAccounts/a%2Fb:generateAccessToken",
            "https://iam.example/v1/projects/-/serviceAccounts/a@b.c:generateAccessToken?x=y",
            "https://iam.example/v1/a@b.c:generateAccessToken",
        ] {
            assert_eq!(url(text), None, "{text}");
        }
    }

    #[test]
    fn a_chain_names_every_account_between_once() {
        let iam = Universe::default().endpoint(IAM_CREDENTIALS, "");
        let first = Target::new(&iam, "a@p").unwrap().through("d@p").unwrap();
        let next = Target::new(&iam, "b@p").unwrap().through("e@p").unwrap();
        let chain = first.then(next);
        assert_eq!(chain.principal(), "b@p");
        assert_eq!(
            chain.delegate_names().collect::<Vec<_>>(),
            ["d@p", "a@p", "e@p"]
        );
    }
}
