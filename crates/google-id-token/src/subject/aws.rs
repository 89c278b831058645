//! Subject tokens of AWS: a signed request that would tell its reader who the caller is there.

use ::http::{HeaderName, HeaderValue, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tower_id_token::{Clock, ErrorKind, SourceError};

use super::Asking;
use crate::endpoint::Endpoint;
use crate::file::Fields;
use crate::http::{Answer, Call, Refusal};
use crate::sigv4::{Signer, can_sign, timestamp};

/// `credential_source` with an `environment_id` ([AIP-4117]).
///
/// Keys and region are those of the environment, or else of the metadata server. The request is
/// never sent: Google's token service sends it, to learn from AWS who signed it.
///
/// [AIP-4117]: https://google.aip.dev/auth/4117
pub(crate) struct AwsSubject {
    region_url: Option<Endpoint>,
    /// Where the role's name is, and below it the role's keys.
    role_url: Option<Endpoint>,
    session_url: Option<Endpoint>,
    /// With `{region}` in it.
    verification_url: String,
    /// The fields as messages name them.
    place: String,
}

/// The keys of an identity on AWS.
struct Keys {
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
}

impl AwsSubject {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let version = fields.required(ENVIRONMENT)?;
        if version != "aws1" {
            let what = format!("{version:?} is not known, only aws1 is");
            return Err(fields.wrong(ENVIRONMENT, &what));
        }
        can_sign().map_err(|what| fields.wrong(ENVIRONMENT, what))?;
        let metadata = |name: &str| {
            let url = fields.optional(name)?;
            url.map(|url| Endpoint::parse_metadata(url, fields.place(name)))
                .transpose()
        };
        let verification_url = fields.required(VERIFICATION)?;
        let example = verification_url.replace(REGION, "us-east-1");
        Endpoint::parse(&example, fields.place(VERIFICATION))?;
        Ok(Self {
            region_url: metadata("region_url")?,
            role_url: metadata("url")?,
            session_url: metadata("imdsv2_session_token_url")?,
            verification_url: verification_url.to_owned(),
            place: fields.place(""),
        })
    }

    pub(super) async fn token(&self, asking: &Asking<'_>) -> Result<String, SourceError> {
        let mut server = MetadataServer {
            aws: self,
            asking,
            session: None,
        };
        let region = server.region().await?;
        let keys = server.keys().await?;
        self.signed(&region, &keys, asking.audience)
    }

    /// The request in the form that Google's token service takes: JSON, quoted as in a URL.
    fn signed(&self, region: &str, keys: &Keys, audience: &str) -> Result<String, SourceError> {
        let url = self.verification_url.replace(REGION, region);
        let broken = || self.wrong(VERIFICATION, &format!("it makes no URL for {region:?}"));
        let uri: Uri = url.parse().map_err(|_| broken())?;
        let host = uri.authority().ok_or_else(broken)?.as_str();
        let timestamp = timestamp(Clock::default().now());
        let mut headers = vec![
            ("host", host),
            ("x-amz-date", &*timestamp),
            ("x-goog-cloud-target-resource", audience),
        ];
        if let Some(token) = &keys.session_token {
            headers.push(("x-amz-security-token", token));
        }
        let signer = Signer {
            access_key: &keys.access_key,
            secret_key: &keys.secret_key,
            region,
            service: "sts",
        };
        let authorization = signer.authorization("POST", &uri, &headers, &timestamp);
        headers.push(("Authorization", &authorization));
        let headers: Vec<Value> = headers
            .into_iter()
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect();
        let request = json!({ "url": url, "method": "POST", "headers": headers, "body": "" });
        Ok(utf8_percent_encode(&request.to_string(), QUOTED).to_string())
    }

    fn wrong(&self, name: &str, what: &str) -> SourceError {
        let place = self.place.trim_end_matches('`');
        SourceError::new(ErrorKind::Config, format!("{place}{name}`: {what}"))
    }
}

/// AWS's metadata server, asked for what the environment does not have.
struct MetadataServer<'a> {
    aws: &'a AwsSubject,
    asking: &'a Asking<'a>,
    /// IMDSv2's session token, once there is one.
    session: Option<HeaderValue>,
}

impl MetadataServer<'_> {
    async fn region(&mut self) -> Result<String, SourceError> {
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let Some(region) = self.asking.env.text(name)? {
                return is_region(&region).then_some(region).ok_or_else(|| {
                    let message = format!("the variable {name} holds no region of AWS");
                    SourceError::new(ErrorKind::Config, message)
                });
            }
        }
        let missing = "it is missing, and neither AWS_REGION nor AWS_DEFAULT_REGION is set";
        let url = self.aws.region_url.as_ref();
        let url = url.ok_or_else(|| self.aws.wrong("region_url", missing))?;
        let answer = self.ask(url.uri().clone()).await?;
        // An availability zone: the region and a letter.
        let mut region = answer.text()?.to_owned();
        region.pop();
        is_region(&region)
            .then_some(region)
            .ok_or_else(|| answer.malformed("something that is no availability zone"))
    }

    async fn keys(&mut self) -> Result<Keys, SourceError> {
        let env = self.asking.env;
        if let (Some(access_key), Some(secret_key)) = (
            env.text("AWS_ACCESS_KEY_ID")?,
            env.text("AWS_SECRET_ACCESS_KEY")?,
        ) {
            return Ok(Keys {
                access_key,
                secret_key,
                session_token: env.text("AWS_SESSION_TOKEN")?,
            });
        }
        let missing = "it is missing, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set";
        let url = self.aws.role_url.as_ref();
        let url = url.ok_or_else(|| self.aws.wrong("url", missing))?.uri();
        let answer = self.ask(url.clone()).await?;
        let role = answer.text()?;
        let url = format!("{}/{role}", url.to_string().trim_end_matches('/'));
        let url = match role.contains(['/', '?', '#']) || role.is_empty() {
            true => None,
            false => url.parse().ok(),
        };
        let url = url.ok_or_else(|| answer.malformed("something that is no role's name"))?;
        let answer = self.ask(url).await?;
        Ok(Keys {
            access_key: answer.field("AccessKeyId")?,
            secret_key: answer.field("SecretAccessKey")?,
            session_token: answer.field("Token").ok(),
        })
    }

    async fn ask(&mut self, uri: Uri) -> Result<Answer, SourceError> {
        let deadline = self.asking.deadline;
        if let (None, Some(url)) = (&self.session, &self.aws.session_url) {
            let call = Call::put(WHOM, url.uri().clone(), deadline).header(TTL, TTL_SECONDS);
            let answer = self.asking.http.ask(call, advise).await?;
            let mut session = HeaderValue::try_from(answer.text()?)
                .map_err(|_| answer.malformed("something that is no session token"))?;
            session.set_sensitive(true);
            self.session = Some(session);
        }
        let mut call = Call::get(WHOM, uri, deadline);
        if let Some(session) = &self.session {
            call = call
                .header(SESSION, session.clone())
                .secret(session.to_str().unwrap_or_default());
        }
        self.asking.http.ask(call, advise).await
    }
}

fn advise(refusal: &Refusal) -> Option<(ErrorKind, String)> {
    let advice = match refusal.status().as_u16() {
        404 => {
            "No role is attached to this machine: attach one, or set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY"
        }
        401 | 403 => {
            "It may ask for session tokens (IMDSv2): make the credential file anew with `gcloud \
             iam workload-identity-pools create-cred-config --aws --enable-imdsv2`"
        }
        _ => return None,
    };
    Some((refusal.kind(), advice.to_owned()))
}

/// It becomes a part of a host's name.
fn is_region(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(part)
}

const WHOM: &str = "AWS's metadata server";
const ENVIRONMENT: &str = "environment_id";
const VERIFICATION: &str = "regional_cred_verification_url";
const REGION: &str = "{region}";
const SESSION: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
/// Five minutes: it is used at once.
const TTL_SECONDS: HeaderValue = HeaderValue::from_static("300");
/// What stays as it is: RFC 3986's unreserved characters.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
