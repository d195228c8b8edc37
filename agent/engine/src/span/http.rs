//! HTTP exchanges, after the HTTP conventions.

use super::{
    Content, bounded, gateway, lossy,
    query::{self, redact, split},
    text, unread,
};
use crate::{
    SpanKind, Status, Value,
    exchange::{Endpoint, Endpoints, Exchange, Side},
    http1::Version,
    protocol::Protocol,
};
use std::{borrow::Cow, fmt::Write, net::IpAddr};

/// Methods of RFC 9110, RFC 5789 and the QUERY draft; others are `_OTHER`, so that a stranger cannot make names.
const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

type Attributes = Vec<(&'static str, Value)>;

/// The span of an exchange.
///
/// Attributes stand about in the order of their keys, which makes sorting them cheap.
pub fn exchange(exchange: &Exchange) -> Content {
    if let Some(unread) = exchange.unread {
        return unread::exchange(exchange, unread);
    }
    let mut attributes = Vec::with_capacity(30);
    let known = METHODS.iter().find(|known| **known == exchange.method());
    let method = known.copied().unwrap_or("_OTHER");
    let target = lossy(exchange.target());
    let target = Target { text: &target, parts: split(&target) };
    let scheme = scheme(exchange, &target.parts);
    let (host, port) = host(exchange, &target, &scheme);
    client_address(exchange, &mut attributes);
    let status = status(exchange, &mut attributes);
    attributes.push(("http.request.method", Value::Word(method)));
    if known.is_none() {
        attributes.push(("http.request.method_original", text(exchange.method().as_bytes())));
    }
    network(exchange, &mut attributes);
    // A unix socket without a name, asked without `Host`, has none.
    if !host.is_empty() {
        attributes.push(("server.address", Value::Str(bounded(&host).into())));
    }
    if let Some(port) = port {
        attributes.push(("server.port", Value::Int(port.into())));
    }
    let kind = match exchange.side {
        Side::Server => {
            server(exchange, &target.parts, scheme, &mut attributes);
            SpanKind::Server
        }
        Side::Client => {
            client(&target.parts, &scheme, &host, port, &mut attributes);
            SpanKind::Client
        }
    };
    if exchange.smuggled {
        attributes.push(("tracer.smuggled", Value::Bool(true)));
    }
    if exchange.hit {
        attributes.push(("tracer.smuggling.hit", Value::Bool(true)));
    }
    if let Some(agent) = exchange.request.field("user-agent") {
        attributes.push(("user_agent.original", text(agent)));
    }
    // The conventions: a name of unknown methods is HTTP.
    let name = known.copied().unwrap_or("HTTP").to_owned();
    Content { name, kind, status, attributes }
}

/// A request's target, taken apart once.
struct Target<'a> {
    text: &'a str,
    parts: query::Target<'a>,
}

/// The client, as far as it is known.
pub(super) fn client_address(exchange: &Exchange, attributes: &mut Attributes) {
    match (exchange.side, exchange.protocol, &exchange.endpoints.remote) {
        (Side::Client, ..) => {}
        (Side::Server, Protocol::Http1, Endpoint::Tcp(address, port)) => {
            attributes.push(("client.address", Value::Str(written(*address))));
            attributes.push(("client.port", Value::Int((*port).into())));
        }
        (Side::Server, ..) => gateway::attributes(&exchange.request, attributes),
    }
}

/// The end of the connection that was asked.
pub(super) fn server_address(exchange: &Exchange, attributes: &mut Attributes) {
    match &exchange.endpoints.local {
        Endpoint::Tcp(address, port) => {
            attributes.push(("server.address", Value::Str(written(*address))));
            attributes.push(("server.port", Value::Int((*port).into())));
        }
        Endpoint::Unix(name) if !name.is_empty() => {
            attributes.push(("server.address", Value::Str(bounded(name).into())));
        }
        Endpoint::Unix(_) => {}
    }
}

/// The other end of the connection.
struct Peer {
    transport: &'static str,
    address: Option<String>,
    port: Option<u16>,
}

fn peer(endpoints: &Endpoints) -> Peer {
    match &endpoints.remote {
        Endpoint::Tcp(address, port) => {
            Peer { transport: "tcp", address: Some(written(*address)), port: Some(*port) }
        }
        Endpoint::Unix(name) => {
            // The name of a unix connection is its listener's, whichever end it is.
            let name = if name.is_empty() { &endpoints.local } else { &endpoints.remote };
            let address = match name {
                Endpoint::Unix(name) if !name.is_empty() => Some(name.to_string()),
                _ => None,
            };
            Peer { transport: "unix", address, port: None }
        }
    }
}

/// An address as one writes it. Every span has two: `Display` pads them in a buffer of its own, which shows.
pub fn written(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity(15);
    for (n, octet) in address.octets().into_iter().enumerate() {
        if n > 0 {
            text.push('.');
        }
        for unit in [100, 10, 1].into_iter().filter(|unit| *unit == 1 || octet >= *unit) {
            text.push(char::from(b'0' + octet / unit % 10));
        }
    }
    text
}

/// The target's own scheme, as one writes it, else that of the connection, or of the server's before it.
fn scheme(exchange: &Exchange, target: &query::Target<'_>) -> Cow<'static, str> {
    match target.scheme {
        None => gateway::scheme(&exchange.request).unwrap_or(Cow::Borrowed("http")),
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => Cow::Borrowed("http"),
        Some(scheme) => Cow::Owned(bounded(scheme).to_ascii_lowercase()),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn server(
    exchange: &Exchange,
    target: &query::Target<'_>,
    scheme: Cow<'static, str>,
    attributes: &mut Attributes,
) {
    // RFC 9112, 3.2.3: the target of CONNECT is an authority, which `server.address` has, and no path.
    if exchange.method() != "CONNECT" {
        attributes.push(("url.path", Value::Str(bounded(target.path).into())));
    }
    if let Some(query) = target.query {
        attributes.push(("url.query", Value::Str(bounded(&redact(query)).into())));
    }
    attributes.push((
        "url.scheme",
        match scheme {
            Cow::Borrowed(word) => Value::Word(word),
            Cow::Owned(scheme) => Value::Str(scheme),
        },
    ));
}

fn client(
    target: &query::Target<'_>,
    scheme: &str,
    host: &str,
    port: Option<u16>,
    attributes: &mut Attributes,
) {
    let mut url = String::with_capacity(host.len() + target.path.len() + 16);
    url.push_str(scheme);
    url.push_str("://");
    let bracket = host.contains(':');
    url.push_str(if bracket { "[" } else { "" });
    url.push_str(host);
    url.push_str(if bracket { "]" } else { "" });
    if let Some(port) = port.filter(|port| Some(*port) != default_port(scheme)) {
        // Writing to a string does not fail.
        let _ = write!(url, ":{port}");
    }
    // RFC 9110, 7.1: the target of CONNECT is an authority, that of OPTIONS may be `*`: neither is a path.
    if target.path.starts_with('/') {
        url.push_str(target.path);
    }
    if let Some(query) = target.query {
        url.push('?');
        url.push_str(&redact(query));
    }
    attributes.push(("url.full", Value::Str(bounded(&url).into())));
}

/// The server as the request names it, in the target or in `Host` (RFC 9110, 7.2), else the end of the
/// connection. A port that `Host` does not name is that of the connection: a gateway's name says nothing of
/// it. One that a target in absolute form does not name is its scheme's: the connection is a proxy's.
fn host<'a>(exchange: &'a Exchange, target: &Target<'a>, scheme: &str) -> (Cow<'a, str>, Option<u16>) {
    let end = match exchange.side {
        Side::Server => &exchange.endpoints.local,
        Side::Client => &exchange.endpoints.remote,
    };
    let actual = match (exchange.protocol, end) {
        (Protocol::Http1, Endpoint::Tcp(_, port)) => Some(*port),
        (Protocol::Http1, Endpoint::Unix(_)) => None,
        // The connection's is that of another server than the one that the client named.
        _ => gateway::server_port(&exchange.request),
    };
    let unnamed = if target.parts.authority.is_some() { default_port(scheme) } else { actual };
    let named = match target.parts.authority {
        Some(authority) => Some(Cow::Borrowed(authority)),
        None if exchange.method() == "CONNECT" => Some(Cow::Borrowed(target.text)),
        None => exchange.request.field("host").map(lossy),
    };
    match (named.filter(|name| !name.is_empty()), end) {
        (Some(Cow::Borrowed(name)), _) => {
            let (host, port) = split_port(name);
            (Cow::Borrowed(host), port.or(unnamed))
        }
        (Some(Cow::Owned(name)), _) => {
            let (host, port) = split_port(&name);
            (Cow::Owned(host.to_owned()), port.or(unnamed))
        }
        (None, Endpoint::Tcp(address, port)) => (Cow::Owned(written(*address)), Some(*port)),
        (None, Endpoint::Unix(name)) => (Cow::Borrowed(name), None),
    }
}

/// `host:port`, where an IPv6 address stands in brackets.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

pub(super) fn network(exchange: &Exchange, attributes: &mut Attributes) {
    let peer = peer(&exchange.endpoints);
    match &exchange.endpoints.local {
        Endpoint::Tcp(address, port) => {
            attributes.push(("network.local.address", Value::Str(written(*address))));
            attributes.push(("network.local.port", Value::Int((*port).into())));
        }
        Endpoint::Unix(name) if !name.is_empty() => {
            attributes.push(("network.local.address", Value::Str(name.to_string())));
        }
        Endpoint::Unix(_) => {}
    }
    if let Some(address) = peer.address {
        attributes.push(("network.peer.address", Value::Str(address)));
    }
    if let Some(port) = peer.port {
        attributes.push(("network.peer.port", Value::Int(port.into())));
    }
    let name = exchange.unread.map_or(exchange.protocol.name(), |unread| unread.carrier.name());
    attributes.push(("network.protocol.name", Value::Word(name)));
    let version = match (exchange.unread, exchange.protocol, exchange.request.version()) {
        (Some(unread), ..) => unread.carrier.version(),
        (None, Protocol::Http1, Version::Http10) => Some("1.0"),
        (None, Protocol::Http1, Version::Http11) => Some("1.1"),
        (None, ..) => None,
    };
    if let Some(version) = version {
        attributes.push(("network.protocol.version", Value::Word(version)));
    }
    attributes.push(("network.transport", Value::Word(peer.transport)));
}

/// 4xx is the client's error only, 5xx that of both.
pub(super) fn status(exchange: &Exchange, attributes: &mut Attributes) -> Status {
    let code = exchange.response.as_ref().and_then(|head| head.status());
    let limit = if exchange.side == Side::Server { 500 } else { 400 };
    let error = match (code, exchange.problem) {
        (Some(code), _) if code >= limit => Some(code.to_string()),
        (_, Some(problem)) if problem.is_error() => Some(problem.name().to_owned()),
        _ => None,
    };
    let status = if error.is_some() { Status::Error(String::new()) } else { Status::Unset };
    if let Some(error) = error {
        attributes.push(("error.type", Value::Str(error)));
    }
    let size = |bytes: u64| Value::Int(i64::try_from(bytes).unwrap_or(i64::MAX));
    attributes.push(("http.request.body.size", size(exchange.request_content)));
    attributes.push(("http.response.body.size", size(exchange.response_content)));
    if let Some(code) = code {
        attributes.push(("http.response.status_code", Value::Int(code.into())));
    }
    if let Some(problem) = exchange.problem {
        attributes.push(("tracer.incomplete", Value::Word(problem.name())));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everybody_does() {
        for text in
            ["0.0.0.0", "10.0.200.7", "127.0.0.1", "192.168.99.100", "255.255.255.255", "::1", "fe80::1:2"]
        {
            assert_eq!(written(text.parse().unwrap()), text);
        }
    }
}
