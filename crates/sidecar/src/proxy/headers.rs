//! The headers that end at a proxy, those that it adds, and those that nobody else may set.

use google_id_token::Placement;
use http::header::{
    CONNECTION, Entry, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

/// Which way requests go through the sidecar.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    /// To services, with the token in this place.
    Out(Placement),
    /// To the app beside it.
    #[cfg(feature = "inbound")]
    In,
}

/// Takes out of a request what ends here; what is left may travel on.
///
/// Returns the protocol that the caller asks to switch to, if it does and may.
pub(crate) fn strip_request(headers: &mut HeaderMap, direction: Direction) -> Option<HeaderValue> {
    if !any_ends_here(headers) {
        return None;
    }
    let trailers = headers.get(TE).is_some_and(|te| has_token(te, "trailers"));
    let upgrade = strip(headers);
    headers.remove(PROXY_AUTHORIZATION);
    if trailers {
        // gRPC asks for them end to end (RFC 9110, section 10.1.4).
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    match direction {
        Direction::Out(placement) => {
            strip_copies(headers, placement);
            upgrade
        }
        // In a connection that switched to HTTP of another version (`h2c`), further requests would
        // pass unseen, and could name any caller.
        #[cfg(feature = "inbound")]
        Direction::In => {
            upgrade.filter(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
        }
    }
}

/// Takes out of a response what ends here, and returns the protocol that it switches to.
pub(crate) fn strip_response(headers: &mut HeaderMap) -> Option<HeaderValue> {
    if !any_ends_here(headers) {
        return None;
    }
    let upgrade = strip(headers);
    headers.remove(PROXY_AUTHENTICATE);
    upgrade
}

/// Whether there is any of the headers that are taken out here. Most messages have none, and one
/// pass over their names is cheaper than a look-up of each.
fn any_ends_here(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        matches!(
            name.as_str(),
            "connection"
                | "keep-alive"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "proxy-connection"
                | "te"
                | "transfer-encoding"
                | "upgrade"
                | "x-serverless-authorization"
        )
    })
}

/// Puts the wish to switch protocols back, for the next hop.
pub(crate) fn ask_for_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Takes out what only the sidecar may say: the header that it puts the token into.
///
/// By [`Placement::Authorization`] the caller's own `Authorization` is the app's, and stays: the
/// token then goes into `X-Serverless-Authorization`, which is what the service's door checks.
fn strip_copies(headers: &mut HeaderMap, placement: Placement) {
    if !matches!(placement, Placement::Proxy) {
        headers.remove(SERVERLESS);
    }
}

fn strip(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut upgrade = None;
    let lines: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    headers.remove(CONNECTION);
    for name in lines
        .iter()
        .flat_map(|it| it.as_bytes().split(|&byte| byte == b','))
    {
        // What is no header's name names none.
        let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) else {
            continue;
        };
        if name == UPGRADE {
            upgrade = headers.remove(UPGRADE).or(upgrade);
        } else if name != HOST && !is_of_this_hop(&name) {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    upgrade
}

/// Whether it tells the service who calls, by what way: no caller is to take that out.
fn is_of_this_hop(name: &HeaderName) -> bool {
    [FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO].contains(name)
}

/// Adds this hop to what the service is told of the caller.
pub(crate) fn forwarded(headers: &mut HeaderMap, peer: Option<&HeaderValue>) {
    // Once for all that is added: a map that is full is built anew.
    headers.reserve(ADDED);
    if let Some(peer) = peer {
        match headers.entry(FORWARDED_FOR) {
            Entry::Vacant(entry) => {
                entry.insert(peer.clone());
            }
            Entry::Occupied(mut entry) => {
                let mut list = Vec::new();
                for before in entry.iter() {
                    list.extend_from_slice(before.as_bytes());
                    list.extend_from_slice(b", ");
                }
                list.extend_from_slice(peer.as_bytes());
                // Header values and commas make a header value.
                let list = HeaderValue::from_bytes(&list).unwrap_or_else(|_| peer.clone());
                entry.insert(list);
            }
        }
    }
    headers
        .entry(FORWARDED_PROTO)
        .or_insert(const { HeaderValue::from_static("http") });
}

/// Adds the name under which the caller reached this proxy.
pub(crate) fn forwarded_host(headers: &mut HeaderMap, host: &HeaderValue) {
    headers
        .entry(FORWARDED_HOST)
        .or_insert_with(|| host.clone());
}

/// Whether a comma-separated header has this word in it.
fn has_token(value: &HeaderValue, token: &str) -> bool {
    value
        .to_str()
        .unwrap_or_default()
        .split(',')
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// RFC 9110, section 7.6.1, and the names that were never in it but are in use.
const HOP_BY_HOP: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];
pub(crate) const SERVERLESS: HeaderName = HeaderName::from_static("x-serverless-authorization");
/// How many headers a request gets on its way: three of this hop, and the token.
const ADDED: usize = 4;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: Direction = Direction::Out(Placement::Authorization);

    #[test]
    fn whatever_ends_here_does_so_when_it_comes_alone() {
        let alone = |name: &HeaderName| {
            HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("x"))])
        };
        let asked = [CONNECTION, PROXY_AUTHORIZATION, SERVERLESS];
        for name in HOP_BY_HOP.iter().chain(&asked) {
            let mut map = alone(name);
            strip_request(&mut map, OUT);
            assert!(map.is_empty(), "{name}");
        }
        for name in HOP_BY_HOP.iter().chain(&[CONNECTION, PROXY_AUTHENTICATE]) {
            let mut map = alone(name);
            strip_response(&mut map);
            assert!(map.is_empty(), "{name}");
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_connection_names_ends_here_and_the_rest_travels_on() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Private"),
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-sum"),
            ("traceparent", "00-1-2-01"),
        ]);
        assert_eq!(strip_request(&mut map, OUT), None);
        assert_eq!(
            map,
            headers(&[("trailer", "x-sum"), ("traceparent", "00-1-2-01")])
        );
    }

    #[test]
    fn no_line_of_connection_is_overlooked_and_none_hides_the_caller() {
        let mut map = headers(&[
            ("connection", "keep-alive"),
            ("connection", "x-private"),
            ("connection", "Upgrade, X-Forwarded-For,, host"),
            ("x-private", "1"),
            ("x-odd", "1"),
            ("upgrade", "websocket"),
            ("x-forwarded-for", "10.0.0.7"),
            ("host", "app.local"),
        ]);
        map.append(
            "connection",
            HeaderValue::from_bytes(b"\xff, x-odd").unwrap(),
        );
        let protocol = strip_request(&mut map, OUT);
        assert_eq!(protocol, Some(HeaderValue::from_static("websocket")));
        assert_eq!(
            map,
            headers(&[("x-forwarded-for", "10.0.0.7"), ("host", "app.local")])
        );
    }

    #[test]
    fn grpcs_te_trailers_stays_and_other_codings_go() {
        let mut map = headers(&[("te", "gzip, trailers")]);
        strip_request(&mut map, OUT);
        assert_eq!(map, headers(&[("te", "trailers")]));
    }

    #[test]
    fn a_wish_to_switch_protocols_is_told_apart_from_a_stray_header() {
        let mut map = headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        let protocol = strip_request(&mut map, OUT);
        assert_eq!(protocol, Some(HeaderValue::from_static("websocket")));
        assert!(map.is_empty());
        let mut map = headers(&[("upgrade", "h2c")]);
        assert_eq!(strip_request(&mut map, OUT), None);
        assert!(map.is_empty());
    }

    #[cfg(feature = "inbound")]
    #[test]
    fn an_app_is_asked_to_switch_to_websocket_and_to_nothing_else() {
        for (protocol, switches) in [
            ("websocket", true),
            ("WebSocket", true),
            ("h2c", false),
            ("h2c, websocket", false),
            ("TLS/1.0", false),
        ] {
            let mut map = headers(&[("connection", "upgrade, http2-settings")]);
            map.insert("upgrade", HeaderValue::from_static(protocol));
            map.insert("http2-settings", HeaderValue::from_static("AAMAAABk"));
            let asked = strip_request(&mut map, Direction::In);
            assert_eq!(asked.is_some(), switches, "{protocol}");
            assert!(map.is_empty());
        }
    }

    #[cfg(feature = "inbound")]
    #[test]
    fn what_the_caller_proves_itself_with_reaches_the_door() {
        let sent = [
            ("authorization", "Bearer a"),
            ("x-serverless-authorization", "Bearer b"),
        ];
        let mut map = headers(&sent);
        strip_request(&mut map, Direction::In);
        assert_eq!(map, headers(&sent));
    }

    #[test]
    fn a_copy_of_our_header_never_passes_and_the_apps_authorization_does() {
        let sent = [
            ("authorization", "Basic app"),
            ("x-serverless-authorization", "Bearer forged"),
            ("proxy-authorization", "Bearer forged"),
        ];
        for placement in [
            Placement::Authorization,
            Placement::Serverless,
            Placement::Both,
        ] {
            let mut map = headers(&sent);
            strip_request(&mut map, Direction::Out(placement));
            assert_eq!(map, headers(&[("authorization", "Basic app")]));
        }
    }

    #[test]
    fn the_chain_of_callers_grows_by_one() {
        let peer = HeaderValue::from_static("127.0.0.1");
        let mut map = headers(&[
            ("x-forwarded-for", "10.0.0.7"),
            ("x-forwarded-for", "10.0.0.8"),
        ]);
        forwarded(&mut map, Some(&peer));
        forwarded_host(&mut map, &HeaderValue::from_static("app.local"));
        assert_eq!(map["x-forwarded-for"], "10.0.0.7, 10.0.0.8, 127.0.0.1");
        assert_eq!(map["x-forwarded-host"], "app.local");
        assert_eq!(map["x-forwarded-proto"], "http");
    }
}
