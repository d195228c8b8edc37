//! Heads of messages that another protocol carries, in the form of HTTP/1.

use super::head::{Field, Head, MAX_FIELDS, MAX_HEAD, Span};
use super::start_line::{Parts, StartLine, is_token_char};
use super::{Deviations, Framing, Loss, MAX_METHOD, Version};

/// A head in the making.
#[derive(Debug)]
pub(crate) struct Builder {
    raw: Vec<u8>,
    start: Parts,
    fields: Vec<Field>,
    variables: Vec<Field>,
}

impl Builder {
    /// Begins a request's head. A method that is no token, or a very long one, is left out.
    pub fn request(method: &[u8], target: &[u8]) -> Self {
        let token = method.len() <= MAX_METHOD && method.iter().all(|b| is_token_char(*b));
        let mut raw = Vec::new();
        let method = push(&mut raw, if token { method } else { b"" }, b" ");
        let target = push(&mut raw, target, b" HTTP/1.1\r\n");
        Self::new(raw, Parts::Request { method, target })
    }

    /// Begins a response's head.
    pub fn response(status: u16, reason: &[u8]) -> Self {
        let mut raw = format!("HTTP/1.1 {status:03} ").into_bytes();
        let reason = push(&mut raw, reason, b"\r\n");
        Self::new(raw, Parts::Response { status, reason })
    }

    fn new(raw: Vec<u8>, start: Parts) -> Self {
        Self { raw, start, fields: Vec::new(), variables: Vec::new() }
    }

    /// Adds a field.
    pub fn field(&mut self, name: impl Iterator<Item = u8>, value: &[u8]) {
        let field = self.pair(name, b": ", value);
        self.fields.push(field);
    }

    /// Adds a variable; all fields stand before the first one.
    pub fn variable(&mut self, name: &[u8], value: &[u8]) {
        let variable = self.pair(name.iter().copied(), b"=", value);
        self.variables.push(variable);
    }

    fn pair(&mut self, name: impl Iterator<Item = u8>, between: &[u8], value: &[u8]) -> Field {
        let start = self.raw.len();
        self.raw.extend(name);
        let name = Span::new(start..self.raw.len());
        self.raw.extend_from_slice(between);
        Field { name, value: push(&mut self.raw, value, b"\r\n") }
    }

    /// The head; why not, when it goes beyond what a head may have. Its places are right only then.
    pub fn build(self, framing: Framing) -> Result<Head, Loss> {
        if self.raw.len() > MAX_HEAD {
            return Err(Loss::HeadTooLong);
        }
        if self.fields.len() + self.variables.len() > MAX_FIELDS {
            return Err(Loss::TooManyFields);
        }
        Ok(self.finish(framing))
    }

    /// The head of a request of which nothing is known.
    pub fn nothing() -> Head {
        Self::request(b"", b"").finish(Framing::None)
    }

    fn finish(self, framing: Framing) -> Head {
        let start = StartLine { version: Version::Http11, parts: self.start, deviations: Deviations::NONE };
        let mut head = Head::new(self.raw.into(), start, self.fields.into());
        head.frame(framing, Deviations::NONE);
        head.set_variables(self.variables.into());
        head
    }
}

/// Appends a part and what separates it from the next one; gives the part's place.
fn push(raw: &mut Vec<u8>, part: &[u8], behind: &[u8]) -> Span {
    let start = raw.len();
    raw.extend_from_slice(part);
    let span = Span::new(start..raw.len());
    raw.extend_from_slice(behind);
    span
}
