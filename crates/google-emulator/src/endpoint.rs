//! The places that the emulator answers at: what faults are set on and journals count by.

use http::Method;

/// One of Google's endpoints, or a group of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Everything there is, the Cloud Run services included.
    Any,
    /// The whole metadata server.
    Metadata,
    /// `/` and `/computeMetadata/v1/`: is there a metadata server?
    MetadataPing,
    /// `…/service-accounts/{account}/identity`: ID tokens.
    MetadataIdentity,
    /// `…/service-accounts/{account}/token`: access tokens.
    MetadataToken,
    /// The rest of the metadata server: e-mail, scopes, project, universe.
    MetadataValue,
    /// `oauth2.googleapis.com/token`, both grants.
    Token,
    /// `iamcredentials.googleapis.com/…:generateIdToken`.
    GenerateIdToken,
    /// `iamcredentials.googleapis.com/…:generateAccessToken`.
    GenerateAccessToken,
    /// `iamcredentials.googleapis.com/…:signJwt`.
    SignJwt,
    /// `www.googleapis.com/oauth2/v3/certs` and `v1/certs`, and the keys of service accounts.
    Certs,
    /// `www.gstatic.com/iap/verify/public_key-jwk` and `public_key`.
    IapKeys,
    /// `sts.googleapis.com/v1/token`: subject tokens for access tokens.
    Sts,
    /// `sts.googleapis.com/v1/oauthtoken`: a workforce user's refresh token for an access token.
    StsRefresh,
    /// `169.254.169.254/metadata/identity/oauth2/token`: subject tokens in the shape of Azure's.
    SubjectTokenUrl,
    /// `169.254.169.254/latest/…`: AWS's metadata server.
    AwsMetadata,
    /// Every Cloud Run service.
    Run,
    /// A request that none of the above knows; the answer is 404.
    Unknown,
}

impl Endpoint {
    /// Whether `self` is `other`, or a group that `other` belongs to.
    pub fn covers(self, other: Endpoint) -> bool {
        match self {
            Self::Any => true,
            Self::Metadata => other.is_metadata(),
            _ => self == other,
        }
    }

    pub(crate) fn is_metadata(self) -> bool {
        matches!(
            self,
            Self::Metadata
                | Self::MetadataPing
                | Self::MetadataIdentity
                | Self::MetadataToken
                | Self::MetadataValue
        )
    }

    /// The endpoint of Google's APIs at `path`, among those that `host` serves.
    pub(crate) fn at(host: Host, method: &Method, path: &str) -> Self {
        let path = &*percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        let endpoint = Self::by_path(path);
        let home = match endpoint {
            Self::Token if path != TOKEN_PATH => Host::Apis,
            Self::Token => Host::Oauth,
            Self::GenerateIdToken | Self::GenerateAccessToken | Self::SignJwt => Host::Iam,
            Self::Certs => Host::Apis,
            Self::IapKeys => Host::Static,
            Self::Sts | Self::StsRefresh => Host::Sts,
            _ => Host::Metadata,
        };
        let there = host == Host::All || host == home;
        let post = matches!(home, Host::Iam | Host::Sts) || endpoint == Self::Token;
        if there && (method == Method::POST) == post {
            endpoint
        } else {
            Self::Unknown
        }
    }

    fn by_path(path: &str) -> Self {
        match path {
            "/" | "/computeMetadata/v1" | "/computeMetadata/v1/" => Self::MetadataPing,
            TOKEN_PATH | "/oauth2/v4/token" => Self::Token,
            "/oauth2/v1/certs" | "/oauth2/v3/certs" => Self::Certs,
            "/iap/verify/public_key-jwk" | "/iap/verify/public_key" => Self::IapKeys,
            "/v1/token" => Self::Sts,
            "/v1/oauthtoken" => Self::StsRefresh,
            "/metadata/identity/oauth2/token" => Self::SubjectTokenUrl,
            _ if path.starts_with("/latest/") => Self::AwsMetadata,
            _ if path.starts_with("/computeMetadata/") => {
                match path
                    .split_once("/service-accounts/")
                    .and_then(|(_, rest)| rest.split_once('/').map(|(_, leaf)| leaf))
                {
                    Some("identity") => Self::MetadataIdentity,
                    Some("token") => Self::MetadataToken,
                    _ => Self::MetadataValue,
                }
            }
            _ if path.starts_with("/service_accounts/v1/") => Self::Certs,
            _ if path.starts_with("/v1/projects/") => match path.rsplit_once([':']) {
                Some((_, "generateIdToken")) => Self::GenerateIdToken,
                Some((_, "generateAccessToken")) => Self::GenerateAccessToken,
                Some((_, "signJwt")) => Self::SignJwt,
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

/// The hosts that share Google's endpoints among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// One loopback listener for all of them, or a request that names no host.
    All,
    Metadata,
    Oauth,
    Iam,
    Sts,
    Apis,
    Static,
}

impl Host {
    /// The host by its name, without the port. In another universe than googleapis.com there are
    /// the same ones by other names, but for OAuth's.
    pub(crate) fn named(name: &str, universe: Option<&str>) -> Option<Self> {
        let service = universe
            .filter(|universe| *universe != "googleapis.com")
            .and_then(|universe| name.strip_suffix(universe)?.strip_suffix('.'));
        if let Some(service) = service {
            return match service {
                "iamcredentials" => Some(Self::Iam),
                "sts" => Some(Self::Sts),
                "www" => Some(Self::Apis),
                _ => None,
            };
        }
        Some(match name {
            "" | "localhost" | "127.0.0.1" | "[::1]" => Self::All,
            "metadata.google.internal" | "metadata" | "169.254.169.254" | "[fd00:ec2::254]" => {
                Self::Metadata
            }
            "oauth2.googleapis.com" => Self::Oauth,
            "iamcredentials.googleapis.com" => Self::Iam,
            "sts.googleapis.com" => Self::Sts,
            "www.googleapis.com" => Self::Apis,
            "www.gstatic.com" => Self::Static,
            _ => return None,
        })
    }
}

pub(crate) const TOKEN_PATH: &str = "/token";
