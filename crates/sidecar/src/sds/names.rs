//! The secrets' names, and the tokens behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use google_id_token::Audience;
use tokio::sync::watch;

use crate::error::Error;
use crate::keeper::{Keeper, Token};
use crate::rules::Rules;

/// Which secret is which audience's token; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    names: watch::Sender<Names>,
    keeper: Keeper,
    /// A name that is not known is an audience itself.
    any_audience: bool,
}

type Names = Arc<BTreeMap<String, Audience>>;

impl Secrets {
    /// # Errors
    ///
    /// For an audience that is none, and where there is nothing to serve.
    pub(crate) fn new(rules: &Rules, keeper: Keeper, any_audience: bool) -> Result<Self, Error> {
        let names = names(rules)?;
        if names.is_empty() && !any_audience {
            return Err(Error::config(
                "there are no secrets to serve: give --secret NAME=AUDIENCE, or --any-audience",
            ));
        }
        Ok(Self {
            names: watch::channel(names).0,
            keeper,
            any_audience,
        })
    }

    /// Takes over new names.
    ///
    /// # Errors
    ///
    /// For an audience that is none; the old names then stay.
    pub(crate) fn reload(&self, rules: &Rules) -> Result<Vec<Audience>, Error> {
        self.names.send_replace(names(rules)?);
        Ok(self.audiences())
    }

    /// The audiences that have names.
    pub(crate) fn audiences(&self) -> Vec<Audience> {
        self.names.borrow().values().cloned().collect()
    }

    /// The names.
    pub(super) fn all(&self) -> Vec<String> {
        self.names.borrow().keys().cloned().collect()
    }

    /// Wakes when the names change.
    pub(super) fn changes(&self) -> watch::Receiver<Names> {
        self.names.subscribe()
    }

    /// The token behind a name, as it is now and will be.
    pub(super) fn token(&self, name: &str) -> Option<Token> {
        Some(self.keeper.keep(&self.audience(name)?))
    }

    /// The audience behind a name.
    pub(super) fn audience(&self, name: &str) -> Option<Audience> {
        match self.names.borrow().get(name) {
            Some(audience) => Some(audience.clone()),
            None if self.any_audience => name.parse().ok(),
            None => None,
        }
    }
}

fn names(rules: &Rules) -> Result<Names, Error> {
    let mut names = BTreeMap::new();
    for (name, audience) in &rules.secrets {
        names.insert(name.clone(), audience.parse()?);
    }
    Ok(Arc::new(names))
}
