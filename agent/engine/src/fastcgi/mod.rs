//! FastCGI 1.0 (the specification of 1996, by Open Market): the records of one direction of a connection.
//!
//! ```text
//!   client ─► BEGIN_REQUEST  PARAMS..  PARAMS (empty)  STDIN..  STDIN (empty)
//!   server ─► STDOUT..  STDERR..  END_REQUEST
//!
//!                  Begin         PARAMS (empty): Head         STDIN (empty): End
//!   requests:  Idle ──► Params ────────────────────► Content ────────────────────► Idle
//!                  Begin      the head's empty line: Head         END_REQUEST: End
//!   responses: Idle ──► Output ───────────────────────► Content ──────────────────► Idle
//! ```
//!
//! [`Parser`] says the same events as [`http1`](crate::http1), with heads as the module `cgi` makes them.
//! A record says how long it is, so that bytes that were not captured inside a record cost what they held and
//! not the place of the next one. What stands between records in `Begin` may be a record of the connection
//! itself, which is no request: then another `Begin` follows.
//!
//! A connection carries one request at a time, as all clients known do. Requests of several ids at the same time
//! (`FCGI_MPXS_CONNS`) are [`Loss::Multiplexed`](crate::http1::Loss::Multiplexed).

mod params;
mod parser;
mod record;
#[cfg(test)]
mod tests;

pub use params::MAX_PARAMS;
pub use parser::Parser;
pub use record::{ends_request, looks_like_request, looks_like_response};
