//! uwsgi, the protocol of uWSGI, and SCGI: one block of meta-variables, then the content.
//!
//! ```text
//!   uwsgi: modifier1  size  modifier2   { length name length value }..         content
//!   SCGI:  length ":"                   { name NUL value NUL }..         ","   content
//! ```
//!
//! Lengths are little-endian numbers of 16 bits in uwsgi, decimal digits in SCGI. The variable `CONTENT_LENGTH` is
//! that of the content. A response in uwsgi is one of HTTP/1, in SCGI one of CGI; [`Parser`] reads requests, says
//! the same events as [`http1`](crate::http1), with heads as the module `cgi` makes them.
//!
//! Both are known by the first name: neither has a number that says what it is.

mod format;
mod parser;
#[cfg(test)]
mod tests;

pub use format::Format;
pub use parser::Parser;
