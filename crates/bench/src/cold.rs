//! Cold start: many first requests at once, and how few fetches they make.

use std::time::Duration;

use google_emulator::{Emulator, Endpoint};
use google_id_token::{AddIdTokenLayer, HttpClient, ImpersonateLayer, Metadata, PerOrigin};
use tokio::task::JoinSet;
use tower::{BoxError, Layer};
use tower_id_token::{Audience, Cache, IdToken};

use crate::client::{Client, boxed};
use crate::clock;
use crate::request::{Hosts, Requests};
use crate::rotation::send;
use crate::runner::Bare;
use crate::world::World;

/// Who mints the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minted {
    /// The metadata server itself.
    ByMetadata,
    /// IAM Credentials, by access tokens of the metadata server's.
    ByImpersonation,
}

/// What a cold start took.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// ID tokens fetched.
    pub id_tokens: u64,
    /// Access tokens fetched.
    pub access_tokens: u64,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Requests that failed.
    pub failed: usize,
}

/// Sends this many first requests at once, spread over this many audiences.
///
/// # Errors
///
/// Where the endpoint cannot be started.
pub async fn run(requests: usize, audiences: usize, minted: Minted) -> Result<Outcome, BoxError> {
    let world = World::start(Emulator::builder())?;
    let layer = AddIdTokenLayer::new(PerOrigin::new(), tokens(&world, minted)?);
    let client = boxed(layer.layer(Bare));
    let start = clock::now();
    let failed = burst(&client, requests, audiences).await;
    let took = start.elapsed();
    let count = |endpoint| world.emulator.journal().count(endpoint);
    Ok(Outcome {
        id_tokens: count(Endpoint::MetadataIdentity) + count(Endpoint::GenerateIdToken),
        access_tokens: count(Endpoint::MetadataToken),
        took,
        failed,
    })
}

async fn burst(client: &Client, requests: usize, audiences: usize) -> usize {
    let mut hosts = Requests::to(Hosts::Run(audiences));
    let mut tasks = JoinSet::new();
    for _ in 0..requests {
        let (mut client, request) = (client.clone(), hosts.make());
        tasks.spawn(async move { send(&mut client, request).await });
    }
    tasks
        .join_all()
        .await
        .iter()
        .filter(|result| result.is_err())
        .count()
}

fn tokens(world: &World, minted: Minted) -> Result<Cache<Audience, IdToken>, BoxError> {
    let http = HttpClient::new();
    let metadata = Metadata::new(http.clone(), &world.server.metadata_host())?;
    if minted == Minted::ByMetadata {
        return Ok(Cache::new(metadata));
    }
    let invoker = "invoker@demo-project.iam.gserviceaccount.com";
    let impersonate =
        ImpersonateLayer::new(http, invoker)?.endpoint(&world.server.iam_endpoint())?;
    Ok(Cache::new(impersonate.layer(Cache::new(metadata))))
}
