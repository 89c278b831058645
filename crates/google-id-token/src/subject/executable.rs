//! Subject tokens from a program that is run.

mod response;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;
use tower_id_token::{ErrorKind, SourceError};

use self::response::{Response, Unusable};
use super::Asking;
use crate::Env;
use crate::child::{self, Failed};
use crate::file::Fields;

/// `credential_source.executable` ([AIP-4117]): a program whose output is a subject token, run
/// only where the environment allows it.
///
/// [AIP-4117]: https://google.aip.dev/auth/4117
pub(crate) struct ExecutableSubject {
    /// The program and its arguments.
    command: Vec<String>,
    limit: Duration,
    /// Where it leaves its output for the next time.
    output_file: Option<PathBuf>,
}

impl ExecutableSubject {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let fields = fields.inside("executable")?;
        let command = words(fields.required("command")?);
        // A bare name would be looked for in the PATH, which others may have a hand in.
        if !command
            .first()
            .is_some_and(|program| Path::new(program).is_absolute())
        {
            let what = "it does not start with an absolute path of a program";
            return Err(fields.wrong("command", what));
        }
        let limit = fields.number(LIMIT)?.unwrap_or(DEFAULT_LIMIT);
        if !LIMITS.contains(&limit) {
            return Err(fields.wrong(LIMIT, "it is not from 5000 to 120000"));
        }
        Ok(Self {
            command,
            limit: Duration::from_millis(limit),
            output_file: fields.optional("output_file")?.map(PathBuf::from),
        })
    }

    /// Whether programs may be run at all.
    pub(super) fn check(env: &Env) -> Result<(), SourceError> {
        if env.text(ALLOWED)?.as_deref() == Some("1") {
            return Ok(());
        }
        Err(SourceError::new(
            ErrorKind::Config,
            format!(
                "the credential file has its subject token from a program, and running one has to \
                 be allowed: if you trust the file, set {ALLOWED}=1"
            ),
        ))
    }

    /// How long the program may take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) async fn token(&self, asking: &Asking<'_>) -> Result<String, SourceError> {
        if let Some(token) = self.left_over(asking.env).await {
            return Ok(token);
        }
        let program = &self.command[0];
        let failed = |kind, what: String| {
            let message = format!("the program {program}, which gives the subject token, {what}");
            SourceError::new(kind, message)
        };
        tracing::debug!(program, "running a program for a subject token");
        let output = child::run(self.command(asking), Instant::now() + self.limit)
            .await
            .map_err(|why| match why {
                Failed::Start(error) => {
                    failed(ErrorKind::Config, format!("cannot be started: {error}"))
                }
                Failed::Late => failed(
                    ErrorKind::Unavailable,
                    format!(
                        "was killed after {} s (`timeout_millis`)",
                        self.limit.as_secs_f32()
                    ),
                ),
                Failed::TooLong => failed(
                    ErrorKind::Malformed,
                    format!(
                        "was killed: it wrote more than {} KiB",
                        child::LONGEST / 1024
                    ),
                ),
                Failed::Read(error) => {
                    failed(ErrorKind::Unavailable, format!("broke off: {error}"))
                }
            })?;
        let response = Response::parse(&output.stdout);
        if !output.status.success() && !matches!(response, Err(Unusable::Failed(_))) {
            // What it says there is for people, and may hold anything.
            let more = match output.stderr.is_empty() {
                true => "",
                false => ": run it by hand to see what it says on its standard error",
            };
            let what = format!("ended with {}{more}", output.status);
            return Err(failed(ErrorKind::Unavailable, what));
        }
        let response = response.map_err(|why| failed(why.kind(), why.to_string()))?;
        if self.output_file.is_some() && response.expires_at.is_none() {
            let what = "wrote no `expiration_time`, and with an `output_file` it has to";
            return Err(failed(ErrorKind::Malformed, what.to_owned()));
        }
        Ok(response.token)
    }

    /// The token that an earlier run has left, if it is one and still lives. Whatever else is
    /// there, the program is asked to write anew.
    async fn left_over(&self, env: &Env) -> Option<String> {
        let path = self.output_file.as_deref()?;
        let contents = env.read(path).await.ok()?;
        let why = match Response::parse(&contents) {
            Ok(response) if response.expires_at.is_some() => return Some(response.token),
            Ok(_) => "it has no `expiration_time`".to_owned(),
            Err(why) => why.to_string(),
        };
        tracing::debug!(path = %path.display(), why, "the output file is of no use");
        None
    }

    fn command(&self, asking: &Asking<'_>) -> Command {
        let mut command = Command::new(&self.command[0]);
        asking.env.give_to(&mut command);
        command
            .args(&self.command[1..])
            .env("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", asking.audience)
            .env("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", asking.token_type)
            .env("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0")
            // What this process was told by another library is not the program's business.
            .env_remove(IMPERSONATED)
            .env_remove(OUTPUT_FILE);
        if let Some(email) = asking.impersonated {
            command.env(IMPERSONATED, email);
        }
        if let Some(path) = &self.output_file {
            command.env(OUTPUT_FILE, path);
        }
        command
    }
}

/// The words of a command: between spaces, or whole between double quotes. It sees no shell.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for char in command.chars() {
        match char {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            space if space.is_whitespace() && !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

const ALLOWED: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
const IMPERSONATED: &str = "GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL";
const OUTPUT_FILE: &str = "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE";
const LIMIT: &str = "timeout_millis";
/// In milliseconds, as are [`LIMITS`].
const DEFAULT_LIMIT: u64 = 30_000;
const LIMITS: std::ops::RangeInclusive<u64> = 5_000..=120_000;

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_command_is_split_at_spaces_outside_of_quotes() {
        assert_eq!(words(" /bin/a  --b c\t"), ["/bin/a", "--b", "c"]);
        assert_eq!(
            words(r#""/Program Files/a" --b="c d" "" 'e f'"#),
            ["/Program Files/a", "--b=c d", "", "'e", "f'"]
        );
        assert!(words("  ").is_empty());
    }
}
