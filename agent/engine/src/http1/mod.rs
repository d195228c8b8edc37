//! HTTP/1.0 and HTTP/1.1 (RFC 9112): the messages of one direction of a connection.
//!
//! [`Parser`] takes the bytes as they come and says, step by step, where messages begin and end. It keeps
//! heads, never content. The caller feeds it the pieces of [`reassembly`](crate::reassembly), and tells
//! it, for a response, what that answers.
//!
//! ```text
//!   empty lines                              ┌──────── Content ────────┐
//!     ┌───┐                                  ▼                         │
//!     ▼   │  Begin           Head    ┌─► Length, Chunked, UntilClose ──┘
//!   ► Idle ────────► in head ────────┤            │
//!     ▲ │                 │          ├─► Unknown ─┼─────► Lost
//!     │ │ NotHttp         │ NotHttp  │            ▼
//!     │ └───────┬─────────┘          └─────────► Ending ── End, Tunnel ──► tunnel
//!     │         ▼                                 │
//!     │      not HTTP                             │ End
//!     └───────────────────────────────────────────┘
//! ```
//!
//! A tunnel, what is not HTTP and what is lost stay so: a new parser starts at a clean turn of the
//! connection. Lost is also where a gap leads that hides where a message ends.
//!
//! It reads what a lenient reader would, and says in what that departs from the grammar
//! ([`Deviations`]): attacks live in departures, so losing the connection there would be losing the case.
//! Where no reader could know the framing it does not guess: [`Framing::Unknown`], then [`Event::Lost`]. So
//! it does with a head whose end is missing: the start line and the fields that came are told.
//!
//! Events depend on the bytes alone, not on how they were split, except that [`Event::Content`] comes in
//! as many parts as the input.

mod build;
mod chunked;
mod deviation;
mod framing;
mod head;
mod parse;
mod parser;
mod scan;
mod start_line;
#[cfg(test)]
mod tests;

pub(crate) use build::Builder;
pub(crate) use chunked::Leniency;
pub use chunked::{MAX_CHUNK_LINE, MAX_TRAILER};
pub use deviation::Deviations;
pub use framing::Framing;
pub use head::{Head, MAX_FIELDS, MAX_HEAD, Start, Version};
pub use parser::Parser;
pub(crate) use start_line::is_token_char;
pub use start_line::{Guess, MAX_METHOD, looks_like_request, looks_like_response};

/// What a direction of a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Requests.
    Request,
    /// Responses.
    Response,
}

/// The request that a response answers, as far as the response's framing depends on it. The default is
/// right for all other methods, and for requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answering {
    /// Its method is HEAD.
    pub head: bool,
    /// Its method is CONNECT.
    pub connect: bool,
}

/// What happened in the stream. It stands behind the bytes consumed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The next byte is the first of a message.
    Begin,
    /// The head is complete.
    Head(Box<Head>),
    /// So many bytes of content passed, at least one, seen or not. Where it comes from
    /// [`Parser::step`], they are all of what was consumed. Chunked framing and trailers do not count.
    Content(u64),
    /// The message is complete. An informational response (1xx) is a message too.
    End,
    /// The direction is no HTTP any more: what follows belongs to another protocol.
    Tunnel,
    /// What stands where a message should begin is none.
    NotHttp,
    /// It is HTTP, but where messages begin and end is no longer known.
    Lost(Loss),
    /// The stream ended inside a message.
    Incomplete,
}

/// Why a direction was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Bytes are missing outside of content of known length.
    Gap,
    /// A head is longer than [`MAX_HEAD`].
    HeadTooLong,
    /// A head that another protocol carried has more than [`MAX_FIELDS`] fields.
    TooManyFields,
    /// A head's framing is [`Framing::Unknown`].
    Framing,
    /// Requests share the connection at the same time, which no client known does.
    Multiplexed,
    /// Chunked content does not follow its grammar, or goes beyond [`MAX_CHUNK_LINE`] or [`MAX_TRAILER`].
    Chunk,
}
