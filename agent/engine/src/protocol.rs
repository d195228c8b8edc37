//! What carries requests and responses: one interface to the parsers of all protocols.

use crate::{
    cgi, fastcgi,
    http1::{self, Deviations, Event, Guess, Head, Role, Start},
    uwsgi::{self, Format},
};

/// What a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    #[default]
    Http1,
    /// FastCGI.
    FastCgi,
    /// uwsgi.
    Uwsgi,
    /// SCGI.
    Scgi,
}

/// The request that a response answers, as far as it says how the response is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answering {
    http1: http1::Answering,
    /// In FastCGI.
    request_id: Option<u16>,
}

impl From<http1::Answering> for Answering {
    fn from(http1: http1::Answering) -> Self {
        Self { http1, request_id: None }
    }
}

impl Protocol {
    /// What a connection speaks that begins with this byte: no two have one in common. HTTP/1 begins with a token,
    /// or with an empty line; what does not conform to the one that is named here is none of them.
    pub const fn beginning_with(first: u8) -> Self {
        match first {
            1 => Self::FastCgi,
            b'0'..=b'9' => Self::Scgi,
            b'\r' | b'\n' | 0x20.. => Self::Http1,
            // The number of a plugin.
            _ => Self::Uwsgi,
        }
    }

    /// Its `network.protocol.name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::FastCgi => "fastcgi",
            Self::Uwsgi => "uwsgi",
            Self::Scgi => "scgi",
        }
    }

    /// Whether these bytes, from the first, are those of a request.
    pub fn looks_like_request(self, bytes: &[u8]) -> Guess {
        match self {
            Self::Http1 => http1::looks_like_request(bytes),
            Self::FastCgi => fastcgi::looks_like_request(bytes),
            Self::Uwsgi => Format::Uwsgi.looks_like_request(bytes),
            Self::Scgi => Format::Scgi.looks_like_request(bytes),
        }
    }

    /// Whether these bytes, from the first, are those of a response.
    pub fn looks_like_response(self, bytes: &[u8]) -> Guess {
        match self {
            Self::Http1 | Self::Uwsgi => http1::looks_like_response(bytes),
            Self::FastCgi => fastcgi::looks_like_response(bytes),
            Self::Scgi => cgi::looks_like_response(bytes),
        }
    }
}

/// Reads the messages of one direction.
#[derive(Debug)]
pub enum Parser {
    /// HTTP/1, and responses in uwsgi.
    Http1(http1::Parser),
    /// FastCGI.
    FastCgi(fastcgi::Parser),
    /// Requests in uwsgi and SCGI.
    Uwsgi(uwsgi::Parser),
    /// Responses in SCGI.
    Cgi(cgi::Parser),
}

impl Parser {
    /// A parser for a stream that is between two messages.
    pub fn new(protocol: Protocol, role: Role) -> Self {
        match (protocol, role) {
            (Protocol::Http1, _) | (Protocol::Uwsgi, Role::Response) => Self::Http1(http1::Parser::new(role)),
            (Protocol::FastCgi, _) => Self::FastCgi(fastcgi::Parser::new(role)),
            (Protocol::Uwsgi, Role::Request) => Self::Uwsgi(uwsgi::Parser::new(Format::Uwsgi)),
            (Protocol::Scgi, Role::Request) => Self::Uwsgi(uwsgi::Parser::new(Format::Scgi)),
            (Protocol::Scgi, Role::Response) => Self::Cgi(cgi::Parser::Idle),
        }
    }

    /// See [`http1::Parser::step`].
    pub fn step(&mut self, input: &[u8], answering: Answering) -> (usize, Option<Event>) {
        match self {
            Self::Http1(parser) => parser.step(input, answering.http1),
            Self::FastCgi(parser) => parser.step(input, answering.request_id),
            Self::Uwsgi(parser) => parser.step(input),
            Self::Cgi(parser) => parser.step(input),
        }
    }

    /// See [`http1::Parser::gap`].
    pub fn gap(&mut self, len: u64) -> (u64, Option<Event>) {
        match self {
            Self::Http1(parser) => parser.gap(len),
            Self::FastCgi(parser) => parser.gap(len),
            Self::Uwsgi(parser) => parser.gap(len),
            Self::Cgi(parser) => parser.gap(len),
        }
    }

    /// See [`http1::Parser::eof`].
    pub fn eof(&mut self) -> Option<Event> {
        match self {
            Self::Http1(parser) => parser.eof(),
            Self::FastCgi(parser) => parser.eof(),
            Self::Uwsgi(parser) => parser.eof(),
            Self::Cgi(parser) => parser.eof(),
        }
    }

    /// Whether no message is open.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Http1(parser) => parser.is_idle(),
            Self::FastCgi(parser) => parser.is_idle(),
            Self::Uwsgi(parser) => parser.is_idle(),
            Self::Cgi(parser) => parser.is_idle(),
        }
    }

    /// Bytes that it keeps of an unfinished head.
    pub fn buffered(&self) -> usize {
        match self {
            Self::Http1(parser) => parser.buffered(),
            Self::FastCgi(parser) => parser.buffered(),
            Self::Uwsgi(parser) => parser.buffered(),
            Self::Cgi(parser) => parser.buffered(),
        }
    }

    /// See [`http1::Parser::deviations`]; other protocols have one way to be read.
    pub fn deviations(&self) -> Deviations {
        if let Self::Http1(parser) = self { parser.deviations() } else { Deviations::NONE }
    }

    /// See [`http1::Parser::reads_until_close`].
    pub fn reads_until_close(&self) -> bool {
        matches!(self, Self::Http1(parser) if parser.reads_until_close())
    }

    /// See [`http1::Parser::in_trailer`].
    pub fn in_trailer(&self) -> bool {
        matches!(self, Self::Http1(parser) if parser.in_trailer())
    }

    /// See [`http1::Parser::partial`].
    pub fn partial(&self) -> &[u8] {
        if let Self::Http1(parser) = self { parser.partial() } else { b"" }
    }

    /// What reads the response to the request whose head this parser has just said.
    pub fn answering(&self, head: &Head) -> Answering {
        let method = match head.start() {
            Start::Request { method, .. } => method,
            Start::Response { .. } => "",
        };
        let http1 = http1::Answering { head: method == "HEAD", connect: method == "CONNECT" };
        let request_id = match self {
            Self::FastCgi(parser) => Some(parser.request_id()),
            _ => None,
        };
        Answering { http1, request_id }
    }
}
