//! HTTP exchanges, after the HTTP conventions.

use super::{
    Content,
    query::{redact, split},
    text,
};
use crate::{
    SpanKind, Status, Value,
    exchange::{Endpoint, Endpoints, Exchange, Side},
    http1::{Head, Version},
};

/// Methods of RFC 9110, RFC 5789 and the QUERY draft; others are `_OTHER`, so that a stranger cannot make names.
const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

type Attributes = Vec<(&'static str, Value)>;

/// The span of an exchange.
pub fn exchange(exchange: &Exchange) -> Content {
    let mut attributes = Vec::with_capacity(24);
    let known = METHODS.contains(&exchange.method());
    let method = if known { exchange.method() } else { "_OTHER" };
    attributes.push(("http.request.method", Value::Str(method.into())));
    if !known {
        attributes.push(("http.request.method_original", text(exchange.method().as_bytes())));
    }
    let (host, port) = host(exchange);
    let target = String::from_utf8_lossy(exchange.target());
    let kind = match exchange.side {
        Side::Server => {
            server(&target, &exchange.endpoints, &mut attributes);
            SpanKind::Server
        }
        Side::Client => {
            client(&target, &host, port, &mut attributes);
            SpanKind::Client
        }
    };
    attributes.push(("server.address", text(host.as_bytes())));
    if let Some(port) = port {
        attributes.push(("server.port", Value::Int(port.into())));
    }
    common(exchange, &mut attributes);
    let status = status(exchange, &mut attributes);
    // The conventions: a name of unknown methods is HTTP.
    let name = if known { method } else { "HTTP" }.to_owned();
    Content { name, kind, status, attributes }
}

fn server(target: &str, endpoints: &Endpoints, attributes: &mut Attributes) {
    let target = split(target);
    attributes.push(("url.scheme", Value::Str("http".into())));
    attributes.push(("url.path", text(target.path.as_bytes())));
    if let Some(query) = target.query {
        attributes.push(("url.query", text(redact(query).as_bytes())));
    }
    if let Endpoint::Tcp(address, port) = &endpoints.remote {
        attributes.push(("client.address", Value::Str(address.to_string())));
        attributes.push(("client.port", Value::Int((*port).into())));
    }
}

fn client(target: &str, host: &str, port: Option<u16>, attributes: &mut Attributes) {
    let target = split(target);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = port.filter(|port| *port != 80).map_or(String::new(), |port| format!(":{port}"));
    let query = target.query.map_or(String::new(), |query| format!("?{}", redact(query)));
    let url = format!("http://{host}{port}{}{query}", target.path);
    attributes.push(("url.full", text(url.as_bytes())));
}

/// The server as the request names it, in the target or in `Host` (RFC 9110, 7.2), else the end of the
/// connection. A port that is not named is that of the connection: a gateway's name says nothing of it.
fn host(exchange: &Exchange) -> (String, Option<u16>) {
    let end = match exchange.side {
        Side::Server => &exchange.endpoints.local,
        Side::Client => &exchange.endpoints.remote,
    };
    let actual = match end {
        Endpoint::Tcp(_, port) => Some(*port),
        Endpoint::Unix(_) => None,
    };
    let target = String::from_utf8_lossy(exchange.target());
    let named = match split(&target).authority {
        Some(authority) => Some(authority.to_owned()),
        None if exchange.method() == "CONNECT" => Some(target.into_owned()),
        None => exchange.request.field("host").map(|h| String::from_utf8_lossy(h).into_owned()),
    };
    match named.filter(|name| !name.is_empty()) {
        Some(name) => {
            let (host, port) = split_port(&name);
            (host.to_owned(), port.or(actual))
        }
        None => match end {
            Endpoint::Tcp(address, port) => (address.to_string(), Some(*port)),
            Endpoint::Unix(name) => (name.to_string(), None),
        },
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

fn common(exchange: &Exchange, attributes: &mut Attributes) {
    let (transport, peer) = match &exchange.endpoints.remote {
        Endpoint::Tcp(address, port) => ("tcp", Some((address.to_string(), Some(*port)))),
        Endpoint::Unix(name) => {
            // The name of a unix connection is its listener's, whichever end it is.
            let name = if name.is_empty() { &exchange.endpoints.local } else { &exchange.endpoints.remote };
            (
                "unix",
                match name {
                    Endpoint::Unix(name) if !name.is_empty() => Some((name.to_string(), None)),
                    _ => None,
                },
            )
        }
    };
    attributes.push(("network.transport", Value::Str(transport.into())));
    if let Some((address, port)) = peer {
        attributes.push(("network.peer.address", Value::Str(address)));
        if let Some(port) = port {
            attributes.push(("network.peer.port", Value::Int(port.into())));
        }
    }
    let version = |head: &Head| match head.version() {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    };
    attributes.push(("network.protocol.name", Value::Str("http".into())));
    attributes.push(("network.protocol.version", Value::Str(version(&exchange.request).into())));
    if let Some(agent) = exchange.request.field("user-agent") {
        attributes.push(("user_agent.original", text(agent)));
    }
    let size = |bytes: u64| Value::Int(i64::try_from(bytes).unwrap_or(i64::MAX));
    attributes.push(("http.request.body.size", size(exchange.request_content)));
    attributes.push(("http.response.body.size", size(exchange.response_content)));
}

/// 4xx is the client's error only, 5xx that of both.
fn status(exchange: &Exchange, attributes: &mut Attributes) -> Status {
    let code = exchange.response.as_ref().and_then(|head| head.status());
    if let Some(code) = code {
        attributes.push(("http.response.status_code", Value::Int(code.into())));
    }
    if let Some(problem) = exchange.problem {
        attributes.push(("tracer.incomplete", Value::Str(problem.name().into())));
    }
    let limit = if exchange.side == Side::Server { 500 } else { 400 };
    let error = match (code, exchange.problem) {
        (Some(code), _) if code >= limit => code.to_string(),
        (_, Some(problem)) if problem.is_error() => problem.name().to_owned(),
        _ => return Status::Unset,
    };
    attributes.push(("error.type", Value::Str(error)));
    Status::Error(String::new())
}
