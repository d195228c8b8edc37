//! One request and its response, as one end of a connection saw them.

use crate::{
    cases::{Case, Subject},
    detect::smuggling::Split,
    graph::NodeId,
    http1::{Builder, Framing, Head, Leniency, Start},
    protocol::Protocol,
    unread::Unread,
};
use std::{net::IpAddr, sync::Arc};
use tracer_common::{AF_INET, AF_INET6, Sock};

/// Most bytes of a request's content that are kept while it is open, to compare what it causes with: what a form
/// or a message of JSON has. Uploads go beyond it, and are not compared further.
pub const MAX_CONTENT: usize = 8192;

/// Which end of the exchange the observed process was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It received the request.
    Server,
    /// It sent the request.
    Client,
}

/// Why an exchange ended otherwise than by the last byte of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The connection ended before a final response began.
    NoResponse,
    /// The connection ended inside the response.
    CutShort,
    /// Bytes of the connection were not seen, and with them the message's end.
    Unseen,
    /// The tracer stopped first.
    StillOpen,
}

impl Problem {
    /// Whether the application failed, rather than the tracer.
    pub const fn is_error(self) -> bool {
        matches!(self, Self::NoResponse | Self::CutShort)
    }

    /// As `error.type` or `tracer.incomplete`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoResponse => "no_response",
            Self::CutShort => "response_cut_short",
            Self::Unseen => "bytes_unseen",
            Self::StillOpen => "still_open",
        }
    }
}

/// Both ends of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The observed process's end.
    pub local: Endpoint,
    /// The other.
    pub remote: Endpoint,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Address and port.
    Tcp(IpAddr, u16),
    /// A unix socket's name, empty when it has none; `@` stands for the NUL of an abstract one.
    Unix(Arc<str>),
}

impl Endpoint {
    /// The local or remote end of a TCP socket; nothing for a unix socket.
    pub fn tcp(family: u16, address: [u8; 16], port: u16) -> Option<Self> {
        (family == AF_INET || family == AF_INET6)
            .then(|| Self::Tcp(IpAddr::from(address).to_canonical(), port))
    }

    /// A unix socket's name as the kernel keeps it.
    pub fn unix(name: &[u8]) -> Self {
        let text = match name {
            [0, rest @ ..] if !rest.is_empty() => format!("@{}", String::from_utf8_lossy(rest)),
            path => {
                let end = path.iter().position(|b| *b == 0).unwrap_or(path.len());
                String::from_utf8_lossy(&path[..end]).into_owned()
            }
        };
        Self::Unix(text.into())
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address, port) => write!(f, "{}", std::net::SocketAddr::new(*address, *port)),
            Self::Unix(name) if name.is_empty() => f.write_str("a unix socket"),
            Self::Unix(name) => f.write_str(name),
        }
    }
}

impl Endpoints {
    /// Both ends of a TCP socket; nothing for a unix socket.
    pub fn tcp(sock: &Sock) -> Option<Self> {
        Some(Self {
            local: Endpoint::tcp(sock.family, sock.local, sock.local_port)?,
            remote: Endpoint::tcp(sock.family, sock.remote, sock.remote_port)?,
        })
    }

    /// Whether the other end may be on another node that is traced, too: one of the same network. Strangers
    /// from the internet are not.
    pub fn may_meet_elsewhere(&self) -> bool {
        match (&self.local, &self.remote) {
            (Endpoint::Tcp(local, _), Endpoint::Tcp(remote, _)) => local != remote && is_private(*remote),
            _ => false,
        }
    }
}

/// Whether an address has a meaning in its own network only: RFC 1918, RFC 3927 and RFC 6598 (which carriers
/// have, and clusters), RFC 4193 and RFC 4291, 2.5.6.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || matches!(v4.octets(), [100, 64..=127, ..]),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// What a request is in another reading of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contested {
    /// The one whose content it is then.
    pub carrier: NodeId,
    /// What this reading goes by.
    pub framing: Framing,
    /// How it takes chunks, where it goes by these.
    pub leniency: Leniency,
    /// Whether the content ends, so read, where the sender could have stopped.
    pub whole: bool,
}

/// One request and its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Which end.
    pub side: Side,
    /// What the connection speaks.
    pub protocol: Protocol,
    /// Head of the request.
    pub request: Box<Head>,
    /// Head of the final response.
    pub response: Option<Box<Head>>,
    /// The first bytes of the request's content, at a server: see [`MAX_CONTENT`].
    pub content: Vec<u8>,
    /// Bytes of content in the request, chunk framing not counted.
    pub request_content: u64,
    /// The same of the response.
    pub response_content: u64,
    /// The connection.
    pub endpoints: Endpoints,
    /// How it ended, when not well.
    pub problem: Option<Problem>,
    /// Whether it came inside of another request.
    pub smuggled: bool,
    /// Whether it came on a connection on which one was smuggled before: its answer may be another's.
    pub hit: bool,
    /// It was sent without having come in as one, as it seems.
    pub split: Option<Split>,
    /// The one whose content it is in another reading of that.
    pub contested: Option<Contested>,
    /// The one that was answered without its content, which this may be.
    pub content_of: Option<NodeId>,
    /// What it means that its answer, which the back end gave, is not delivered.
    pub undelivered: Option<Box<(Case, u64)>>,
    /// Lines in the content that begin a request for someone who reads it as something else; a few, short.
    pub hidden: Vec<Box<[u8]>>,
    /// The case that its framing was told in.
    pub ambiguity: Option<Subject>,
    /// What is known of it, where it cannot be read: then it has neither method nor target.
    pub unread: Option<Unread>,
}

impl Exchange {
    /// One in HTTP/1 whose request has its head.
    pub fn new(side: Side, request: Box<Head>, endpoints: Endpoints) -> Self {
        Self {
            side,
            protocol: Protocol::Http1,
            request,
            response: None,
            content: Vec::new(),
            request_content: 0,
            response_content: 0,
            endpoints,
            problem: None,
            smuggled: false,
            hit: false,
            split: None,
            contested: None,
            content_of: None,
            undelivered: None,
            hidden: Vec::new(),
            ambiguity: None,
            unread: None,
        }
    }

    /// One at a server that cannot be read.
    pub fn unread(unread: Unread, endpoints: Endpoints) -> Self {
        Self { unread: Some(unread), ..Self::new(Side::Server, Box::new(Builder::nothing()), endpoints) }
    }

    /// The request's method.
    pub fn method(&self) -> &str {
        match self.request.start() {
            Start::Request { method, .. } => method,
            Start::Response { .. } => "",
        }
    }

    /// The request's target, in whatever form it was sent.
    pub fn target(&self) -> &[u8] {
        match self.request.start() {
            Start::Request { target, .. } => target,
            Start::Response { .. } => b"",
        }
    }

    /// Whether the server's close ends the response on a socket whose close no hook tells: then the client's
    /// reading to the end says it.
    pub fn ends_unseen_at_the_server(&self) -> bool {
        let framing = self.response.as_ref().map(|head| head.framing());
        let by_close = framing == Some(Framing::UntilClose) && self.protocol != Protocol::FastCgi;
        by_close && matches!(self.endpoints.local, Endpoint::Unix(_))
    }
}
