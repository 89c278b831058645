//! google-cloud-auth's ID tokens: credentials for one audience each, and a string for each request.

use google_cloud_auth::credentials::idtoken::{IDTokenCredentials, mds};
use http::{HeaderValue, Request, header};
use tower::{BoxError, Service, ServiceExt, service_fn};

use crate::client::{Client, boxed};
use crate::request::Hosts;
use crate::row::Row;
use crate::runner::{Bare, Use};
use crate::world::World;

pub(super) async fn row(world: &World) -> Result<Row, BoxError> {
    let credentials = credentials(world)?;
    credentials.id_token().await?;
    let service = service_fn(move |request| add_token(credentials.clone(), request));
    Ok(Row::new(
        "google-cloud-auth 1.18, idtoken",
        "google-cloud-auth",
        Hosts::Run(1),
        Use::Again,
        service,
    ))
}

pub(super) fn client(world: &World) -> Result<Client, BoxError> {
    let credentials = credentials(world)?;
    Ok(boxed(service_fn(move |request| {
        add_token(credentials.clone(), request)
    })))
}

fn credentials(world: &World) -> Result<IDTokenCredentials, BoxError> {
    let audience = format!("https://{}", Hosts::Run(1).names()[0]);
    Ok(mds::Builder::new(audience)
        .with_endpoint(world.server.origin())
        .build()?)
}

async fn add_token(
    credentials: IDTokenCredentials,
    mut request: Request<()>,
) -> Result<<Bare as Service<Request<()>>>::Response, BoxError> {
    let token = credentials.id_token().await?;
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(Bare.oneshot(request).await?)
}
