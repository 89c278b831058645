//! The requests that are measured: three headers set, URLs that differ in their host alone.

use http::{HeaderName, HeaderValue, Request, Uri, header};

/// How the hosts of a run are named.
#[derive(Clone, Copy, Debug)]
pub enum Hosts {
    /// Names of one's own, as in a `ByHost` table.
    Custom(usize),
    /// Cloud Run's, as `PerOrigin` knows them.
    Run(usize),
}

impl Hosts {
    /// Every host's name.
    pub fn names(self) -> Vec<String> {
        match self {
            Self::Custom(count) => (0..count).map(|i| format!("service-{i:03}.example.com")).collect(),
            Self::Run(count) => (0..count).map(|i| format!("service-{i:03}-abc123def4-uc.a.run.app")).collect(),
        }
    }
}

/// Requests without end, one host after the other.
#[derive(Debug)]
pub struct Requests {
    uris: Vec<Uri>,
    headers: [(HeaderName, HeaderValue); 3],
    next: usize,
}

impl Requests {
    /// Requests to these hosts. No two values share a buffer, so tasks do not meet in one.
    ///
    /// # Panics
    ///
    /// Where there is no host.
    pub fn to(hosts: Hosts) -> Self {
        let uri = |host| format!("https://{host}/v1/items").parse().expect("a valid URL");
        let uris: Vec<Uri> = hosts.names().iter().map(uri).collect();
        assert!(!uris.is_empty());
        Self { uris, headers: headers(), next: 0 }
    }

    /// The next one.
    #[inline]
    pub fn make(&mut self) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = self.uris[self.next].clone();
        // A clone of a map has no room for one more: set them one by one, as clients do.
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        self.next += 1;
        if self.next == self.uris.len() {
            self.next = 0;
        }
        request
    }

    /// How many requests go to a host each before the first one has its second.
    pub fn len(&self) -> usize {
        self.uris.len()
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.uris.is_empty()
    }
}

fn headers() -> [(HeaderName, HeaderValue); 3] {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    [
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        (header::USER_AGENT, HeaderValue::from_static("bench/1.0")),
        (HeaderName::from_static("traceparent"), HeaderValue::from_static(traceparent)),
    ]
}
