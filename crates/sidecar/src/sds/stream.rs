//! One Envoy's subscription, by either of xDS's two protocols.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use google_id_token::{Audience, IdToken};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tokio_stream::{StreamExt, StreamMap};
use tonic::{Status, Streaming};

use super::Answers;
use super::names::Secrets;
use super::secret::{SECRET, Version, resource};
use crate::drain::Drain;
use crate::metrics::Metrics;

/// What differs between the protocols: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
pub(super) trait Protocol: Send + 'static {
    type Request: Send + 'static;
    type Answer: Send + 'static;

    /// The names that are wanted more, and the ones that are wanted less; and why the last answer
    /// was not liked, if it was not.
    fn read(request: Self::Request, wanted: &HashMap<String, Wanted>) -> Change;

    /// The answer that tells of one secret.
    fn answer(name: &str, resource: Any, version: Version) -> Self::Answer;
}

/// What a request changes.
#[derive(Debug, Default)]
pub(super) struct Change {
    more: Vec<String>,
    less: Vec<String>,
    complaint: Option<String>,
}

/// A secret that this Envoy wants.
#[derive(Debug)]
pub(super) struct Wanted {
    audience: Option<Audience>,
    /// Whether it has been told one.
    told: bool,
}

/// State of the world.
#[derive(Debug)]
pub(super) struct Whole;

impl Protocol for Whole {
    type Request = DiscoveryRequest;
    type Answer = DiscoveryResponse;

    fn read(request: DiscoveryRequest, wanted: &HashMap<String, Wanted>) -> Change {
        let named = &request.resource_names;
        Change {
            less: wanted
                .keys()
                .filter(|name| !named.contains(name))
                .cloned()
                .collect(),
            // Naming a known one again is how an answer is acknowledged.
            more: named
                .iter()
                .filter(|name| !wanted.contains_key(*name))
                .cloned()
                .collect(),
            complaint: request.error_detail.map(|status| status.message),
        }
    }

    fn answer(_: &str, resource: Any, version: Version) -> DiscoveryResponse {
        DiscoveryResponse {
            version_info: version.to_string(),
            // Secrets that are not named in an answer stay as they are.
            resources: vec![resource],
            type_url: SECRET.to_owned(),
            nonce: version.to_string(),
            ..DiscoveryResponse::default()
        }
    }
}

/// Incremental.
#[derive(Debug)]
pub(super) struct Delta;

impl Protocol for Delta {
    type Request = DeltaDiscoveryRequest;
    type Answer = DeltaDiscoveryResponse;

    fn read(request: DeltaDiscoveryRequest, _: &HashMap<String, Wanted>) -> Change {
        Change {
            more: request.resource_names_subscribe,
            less: request.resource_names_unsubscribe,
            complaint: request.error_detail.map(|status| status.message),
        }
    }

    fn answer(name: &str, resource: Any, version: Version) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse {
            system_version_info: version.to_string(),
            resources: vec![Resource {
                name: name.to_owned(),
                version: version.to_string(),
                resource: Some(resource),
                ..Resource::default()
            }],
            type_url: SECRET.to_owned(),
            nonce: version.to_string(),
            ..DeltaDiscoveryResponse::default()
        }
    }
}

/// What one Envoy wants to be told.
pub(super) struct Subscription<P> {
    secrets: Secrets,
    metrics: Arc<Metrics>,
    wanted: HashMap<String, Wanted>,
    tokens: StreamMap<String, WatchStream<Option<IdToken>>>,
    protocol: PhantomData<P>,
}

impl<P: Protocol> Subscription<P> {
    pub(super) fn new(secrets: Secrets, metrics: Arc<Metrics>) -> Self {
        Self {
            secrets,
            metrics,
            wanted: HashMap::new(),
            tokens: StreamMap::new(),
            protocol: PhantomData,
        }
    }

    /// Answers until either side goes away.
    pub(super) fn run(
        mut self,
        mut requests: Streaming<P::Request>,
        drain: Drain,
    ) -> Answers<P::Answer> {
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut names = self.secrets.changes();
            loop {
                let answer = tokio::select! {
                    request = requests.message() => match request {
                        Ok(Some(request)) => {
                            self.read(request);
                            continue;
                        }
                        Ok(None) | Err(_) => return,
                    },
                    Some((name, token)) = self.tokens.next() => self.tell(&name, token.as_ref()),
                    _ = names.changed() => {
                        self.rename();
                        continue;
                    }
                    () = drain.closing() => return,
                    () = answers.closed() => return,
                };
                if let Some(answer) = answer
                    && answers.send(Ok::<_, Status>(answer)).await.is_err()
                {
                    return;
                }
            }
        });
        Box::pin(ReceiverStream::new(stream))
    }

    fn read(&mut self, request: P::Request) {
        let change = P::read(request, &self.wanted);
        if let Some(complaint) = change.complaint {
            tracing::warn!(complaint, "an Envoy refuses a secret");
        }
        for name in change.less {
            self.wanted.remove(&name);
            self.tokens.remove(&name);
        }
        for name in change.more {
            let wanted = Wanted {
                audience: None,
                told: false,
            };
            self.wanted.insert(name.clone(), wanted);
            self.tokens.remove(&name);
            self.watch(&name);
        }
    }

    /// Looks up what is behind each name again.
    fn rename(&mut self) {
        let names: Vec<_> = self.wanted.keys().cloned().collect();
        for name in names {
            self.watch(&name);
        }
    }

    /// Watches the token behind a name, unless it is the one that is watched already.
    fn watch(&mut self, name: &str) {
        let audience = self.secrets.audience(name);
        let Some(wanted) = self.wanted.get_mut(name) else {
            return;
        };
        if wanted.audience.is_some() && wanted.audience == audience {
            return;
        }
        wanted.audience = audience;
        match self.secrets.token(name) {
            Some(token) => {
                self.tokens.insert(name.to_owned(), WatchStream::new(token));
            }
            None => {
                // What Envoy was told before is taken back.
                let (_, nothing) = watch::channel(None);
                self.tokens
                    .insert(name.to_owned(), WatchStream::new(nothing));
                tracing::warn!(name, "an Envoy asks for a secret that has no --secret");
            }
        }
    }

    /// The answer that tells of a token; none where there never was one to tell of.
    fn tell(&mut self, name: &str, token: Option<&IdToken>) -> Option<P::Answer> {
        let wanted = self.wanted.get_mut(name)?;
        if token.is_none() && !wanted.told {
            return None;
        }
        wanted.told = true;
        self.metrics.pushes.add();
        tracing::info!(name, empty = token.is_none(), "pushing a secret");
        Some(P::answer(name, resource(name, token), Version::next()))
    }
}
