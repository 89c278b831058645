//! How do I use it with reqwest: below the layer, and where reqwest hides its stack?
//!
//! ```text
//! cargo run -p examples --example reqwest_client
//! cargo run -p examples --example reqwest_client -- https://hello-abc123-uc.a.run.app
//! ```

use examples::Stage;
use google_id_token::{AddIdTokenLayer, Audience, Builder, Cache, IdToken, PerOrigin};
use http::header::AUTHORIZATION;
use http::{Request, Response, Uri};
use reqwest::{Body, Client, redirect};
use tower::{BoxError, ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Stage {
        url, credentials, ..
    } = &Stage::from_args("hello").await?;
    println!("{}", as_a_service(url, credentials.clone()).await?);
    println!("{}", by_hand(url, credentials.clone()).await?);
    Ok(())
}

/// reqwest below the layer: a closure translates between its requests and everybody's.
pub(crate) async fn as_a_service(url: &Uri, credentials: Builder) -> Result<String, BoxError> {
    let tokens = credentials.build().await?.id_tokens();
    let policy = PerOrigin::new().host("127.0.0.1");

    // Redirects that reqwest follows would carry the token along: tower-http's `FollowRedirect`,
    // above the layer, lets each hop have its own.
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .build()?;
    let client = ServiceBuilder::new()
        .layer(AddIdTokenLayer::new(policy, tokens))
        .service_fn(move |request: Request<Body>| {
            let client = client.clone();
            async move {
                let response = client.execute(request.try_into()?).await?;
                Ok::<Response<Body>, reqwest::Error>(response.into())
            }
        });

    let request = Request::get(url).body(Body::default())?;
    let response = client.oneshot(request).await?;
    Ok(reqwest::Response::from(response).text().await?)
}

/// Where there is no place for a layer: the same cache, and the header by hand.
pub(crate) async fn by_hand(url: &Uri, credentials: Builder) -> Result<String, BoxError> {
    let tokens: Cache<Audience, IdToken> = credentials.build().await?.id_tokens();
    let audience = Audience::of(url).ok_or("the URL has no host")?;

    // No policy stands guard here: that this host may have this token is up to you.
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .build()?;
    let token = tokens.get(&audience).await?;
    let request = client
        .get(url.to_string())
        .header(AUTHORIZATION, token.header());
    Ok(request.send().await?.text().await?)
}
