//! `external_account`: another party's word for who this is, and where Google takes it.

use tower_id_token::SourceError;

use super::Fields;
use super::client::Client;
use super::pool::Pool;
use crate::endpoint::Endpoint;
use crate::source::Target;
use crate::subject::Subject;
use crate::universe::Universe;

/// The file that `gcloud iam workload-identity-pools create-cred-config` writes ([AIP-4117]).
///
/// [AIP-4117]: https://google.aip.dev/auth/4117
pub(crate) struct ExternalFile {
    pub(crate) audience: String,
    pub(crate) pool: Option<Pool>,
    pub(crate) subject_token_type: String,
    pub(crate) subject: Subject,
    pub(crate) token_endpoint: Endpoint,
    pub(crate) client: Option<Client>,
    /// Whose quota a workforce user's exchange counts against.
    pub(crate) user_project: Option<String>,
    /// Whom the file impersonates.
    pub(crate) target: Option<Target>,
    pub(crate) universe: Universe,
}

impl ExternalFile {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let audience = fields.required("audience")?.to_owned();
        let pool = Pool::of(&audience);
        let universe = fields.universe()?;
        let user_project = fields.optional(USER_PROJECT)?.map(str::to_owned);
        if user_project.is_some() && !matches!(pool, Some(Pool::Workforce(_))) {
            let what = "it is for workforce pools, and the field `audience` names none";
            return Err(fields.wrong(USER_PROJECT, what));
        }
        let target = match fields.endpoint(IMPERSONATION)? {
            None => None,
            Some(url) => {
                let what = "it does not end in `/serviceAccounts/EMAIL:generateAccessToken`";
                let target = Target::from_url(&url);
                Some(target.ok_or_else(|| fields.wrong(IMPERSONATION, what))?)
            }
        };
        if let Some(inside) = fields.inside_if_any("service_account_impersonation")? {
            // Of access tokens, which are not asked for here: an ID token lives an hour.
            let seconds = inside.number(LIFETIME)?;
            if seconds.is_some_and(|seconds| !LIFETIMES.contains(&seconds)) {
                return Err(inside.wrong(LIFETIME, "it is not from 600 to 43200"));
            }
        }
        Ok(Self {
            pool,
            subject_token_type: fields.required("subject_token_type")?.to_owned(),
            subject: Subject::read(&fields.inside("credential_source")?)?,
            token_endpoint: fields
                .endpoint("token_url")?
                .unwrap_or_else(|| universe.endpoint("sts", "/v1/token")),
            client: Client::read(fields)?,
            user_project,
            target,
            audience,
            universe,
        })
    }
}

const IMPERSONATION: &str = "service_account_impersonation_url";
const LIFETIME: &str = "token_lifetime_seconds";
const USER_PROJECT: &str = "workforce_pool_user_project";
/// In seconds: ten minutes to twelve hours.
const LIFETIMES: std::ops::RangeInclusive<u64> = 600..=43_200;
