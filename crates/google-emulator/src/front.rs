//! The way of a request: which place it is for, the journal, the fault that is due, the answer.

use std::{future::pending, io};

use http::{HeaderValue, Request, header, request::Parts, uri::Authority};
use http_body_util::{BodyExt, Limited};

use crate::{
    answer::{self, Answer},
    asked::{self, Asked},
    aws,
    body::Body,
    door::{self, Door},
    emulator::Emulator,
    endpoint::{Endpoint, Host},
    entry::Entry,
    fault::{Kind, Mint},
    faults, jws,
    world::World,
};

impl Emulator {
    /// Answers for whichever host the request names.
    pub(crate) async fn in_memory(&self, request: Request<Body>) -> io::Result<Answer> {
        let (parts, body) = request.into_parts();
        let authority = asked::host(&parts).parse::<Authority>();
        let host = authority.as_ref().map_or("", |authority| authority.host());
        let host = host.trim_end_matches('.').to_owned();
        let request = Request::from_parts(parts, body);
        if let Some(service) = self.world.services.iter().find(|run| run.answers_to(&host)) {
            let door = Door {
                service: service.clone(),
                here: None,
            };
            return self.at_run(&door, request).await;
        }
        match Host::named(&host, self.world.metadata.universe.as_deref()) {
            Some(host) => self.at_google(host, request).await,
            None if host.ends_with(".run.app") => {
                Ok(answer::html(404, "<title>Error 404 (Not Found)!!1</title>"))
            }
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no such host in the emulated world: {host}"),
            )),
        }
    }

    /// Answers for Google's APIs.
    pub(crate) async fn at_google(&self, host: Host, request: Request<Body>) -> io::Result<Answer> {
        let (parts, body) = request.into_parts();
        let endpoint = Endpoint::at(host, &parts.method, parts.uri.path());
        let mut entry = Entry::new(endpoint, &asked::host(&parts), &parts);
        let Ok(body) = Limited::new(body, LARGEST_REQUEST).collect().await else {
            entry.status = Some(413);
            self.world.journal.write(entry);
            return Ok(answer::text(413, "Request Entity Too Large"));
        };
        let asked = Asked::new(parts, &body.to_bytes());
        if let Some(fields) = &asked.fields {
            entry = entry.with_fields(fields);
        }
        let number = self.world.journal.write(entry);
        self.with_fault(endpoint, number, async |mint| {
            let (answer, caller) = self.world.api(endpoint, &asked, mint);
            self.world
                .journal
                .amend(number, |entry| entry.caller = caller);
            answer
        })
        .await
    }

    /// Answers for a Cloud Run service.
    pub(crate) async fn at_run(&self, door: &Door, request: Request<Body>) -> io::Result<Answer> {
        let (parts, body) = request.into_parts();
        let number = self.world.journal.write(run_entry(door, &parts));
        let request = Request::from_parts(parts, body);
        let journal = &self.world.journal;
        self.with_fault(Endpoint::Run, number, async |_| {
            let caller = |who| journal.amend(number, |entry| entry.caller = Some(who));
            door.answer(&self.world, request, caller).await
        })
        .await
    }

    /// Answers as usual or wrongly, with the date of the emulator's own clock.
    async fn with_fault(
        &self,
        endpoint: Endpoint,
        number: u64,
        usual: impl AsyncFnOnce(Option<&Mint>) -> Answer,
    ) -> io::Result<Answer> {
        let mut answer = self.usual_or_wrong(endpoint, number, usual).await?;
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(self.world.clock.now())) {
            answer.headers_mut().entry(header::DATE).or_insert(date);
        }
        Ok(answer)
    }

    /// Answers as usual, or as the fault that is due wants it.
    async fn usual_or_wrong(
        &self,
        endpoint: Endpoint,
        number: u64,
        usual: impl AsyncFnOnce(Option<&Mint>) -> Answer,
    ) -> io::Result<Answer> {
        let Some(fault) = self.world.faults.next(endpoint) else {
            let answer = usual(None).await;
            let status = Some(answer.status().as_u16());
            self.world
                .journal
                .amend(number, |entry| entry.status = status);
            return Ok(answer);
        };
        self.world.journal.amend(number, |entry| entry.fault = true);
        if let Some(delay) = fault.delay {
            tokio::time::sleep(delay).await;
        }
        let answer = match &fault.kind {
            Kind::Hang => pending().await,
            Kind::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            Kind::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
            Kind::Mint(mint) => usual(Some(mint)).await,
            kind => match faults::own_answer(endpoint, kind) {
                Some(answer) => answer,
                None => faults::spoil(kind, usual(None).await).await,
            },
        };
        let status = Some(answer.status().as_u16());
        self.world
            .journal
            .amend(number, |entry| entry.status = status);
        Ok(answer)
    }
}

impl World {
    /// Answers for one of Google's endpoints, and says who asked where that is known.
    fn api(
        &self,
        endpoint: Endpoint,
        asked: &Asked,
        mint: Option<&Mint>,
    ) -> (Answer, Option<String>) {
        match endpoint {
            Endpoint::Token => self.token(asked, mint),
            Endpoint::GenerateIdToken | Endpoint::GenerateAccessToken | Endpoint::SignJwt => {
                self.iam(endpoint, asked, mint)
            }
            Endpoint::Certs => (self.certs(asked), None),
            Endpoint::IapKeys => (self.iap_keys(asked), None),
            Endpoint::Sts => self.sts(asked),
            Endpoint::StsRefresh => self.sts_refresh(asked),
            Endpoint::AwsMetadata => (aws::metadata(asked), None),
            Endpoint::SubjectTokenUrl => (self.subject_token_url(asked), None),
            _ if endpoint.is_metadata() => (self.metadata(asked, mint), None),
            _ => (
                answer::html(404, "<title>Error 404 (Not Found)!!1</title>"),
                None,
            ),
        }
    }
}

fn run_entry(door: &Door, parts: &Parts) -> Entry {
    let mut entry = Entry::new(Endpoint::Run, &asked::host(parts), parts);
    entry.service = Some(door.service.name().to_owned());
    let header = parts.headers.get(door::deciding_header(&parts.headers));
    entry.claims = header
        .and_then(|value| asked::bearer(value.to_str().ok()?))
        .and_then(jws::unchecked_claims);
    entry
}

const LARGEST_REQUEST: usize = 1024 * 1024;
