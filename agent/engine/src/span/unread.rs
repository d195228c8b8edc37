//! Requests that cannot be read: what their connection says.

use super::{Content, http};
use crate::{SpanKind, Value, exchange::Exchange, unread::Unread};

/// The span of a request without method and target.
pub fn exchange(exchange: &Exchange, unread: Unread) -> Content {
    let mut attributes = Vec::with_capacity(16);
    http::client_address(exchange, &mut attributes);
    let status = http::status(exchange, &mut attributes);
    http::network(exchange, &mut attributes);
    http::server_address(exchange, &mut attributes);
    attributes.push(("tracer.unread", Value::Str(unread.carrier.title().into())));
    Content { name: unread.carrier.title().to_owned(), kind: SpanKind::Server, status, attributes }
}
