//! Where the content of a message ends: RFC 9112, 6.3.

use super::{Answering, Deviations, Head, Version};

/// What says where the content of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no content: the message ends with its head.
    None,
    /// So many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// The end of the connection.
    UntilClose,
    /// The connection stops to be HTTP/1 behind the head.
    Tunnel,
    /// The head contradicts itself, or its end was not seen: nobody can say where the message ends.
    Unknown,
}

/// Decides about a response: the rules of RFC 9112, 6.3, in their order.
pub(super) fn of_response(head: &Head, status: u16, answering: Answering) -> (Framing, Deviations) {
    let said = Said::by(head);
    let useless = Deviations::USELESS_FRAMING
        .when(said.length.is_some_and(|length| length != Length::Valid(0)) || said.coding.is_some());
    match status {
        // RFC 9110, 15.2.2: "the server understands and is willing to comply with the client's request,
        // via the Upgrade header field (Section 7.8), for a change in the application protocol being used
        // on this connection."
        101 => (Framing::Tunnel, said.deviations | useless),
        // "Any response to a HEAD request and any response with a 1xx (Informational), 204 (No Content),
        // or 304 (Not Modified) status code is always terminated by the first empty line after the header
        // fields, regardless of the header fields present in the message".
        100..200 | 204 => (Framing::None, said.deviations | useless),
        304 => (Framing::None, said.deviations),
        _ if answering.head => (Framing::None, said.deviations),
        // "Any 2xx (Successful) response to a CONNECT request implies that the connection will become a
        // tunnel immediately after the empty line that concludes the header fields. A client MUST ignore
        // any Content-Length or Transfer-Encoding header fields received in such a message."
        200..300 if answering.connect => (Framing::Tunnel, said.deviations | useless),
        _ => {
            let framing = match said {
                Said { coding: Some(Coding::EndsChunked), .. } => Framing::Chunked,
                // "If a Transfer-Encoding header field is present in a response and the chunked transfer
                // coding is not the final encoding, the message body length is determined by reading the
                // connection until it is closed by the server." With a length as well, readers differ.
                Said { coding: Some(Coding::Other), length: Some(_), .. } => Framing::Unknown,
                Said { coding: Some(Coding::Other), length: None, .. } => Framing::UntilClose,
                Said { length: Some(length), .. } => length.framing(),
                // "Otherwise, this is a response message without a declared message body length, so the
                // message body length is determined by the number of octets received prior to the server
                // closing the connection."
                Said { .. } => Framing::UntilClose,
            };
            (framing, said.deviations)
        }
    }
}

/// Decides about a request.
pub(super) fn of_request(head: &Head) -> (Framing, Deviations) {
    let said = Said::by(head);
    let framing = match (said.coding, said.length) {
        // "If a message is received with both a Transfer-Encoding and a Content-Length header field, the
        // Transfer-Encoding overrides the Content-Length."
        (Some(Coding::EndsChunked), _) => Framing::Chunked,
        // "If a Transfer-Encoding header field is present in a request and the chunked transfer coding is
        // not the final encoding, the message body length cannot be determined reliably".
        (Some(Coding::Other), _) => Framing::Unknown,
        (None, Some(length)) => length.framing(),
        // "If this is a request message and none of the above are true, then the message body length is
        // zero (no message body is present)."
        (None, None) => Framing::None,
    };
    (framing, said.deviations)
}

/// What the fields say of the framing.
#[derive(Default)]
struct Said {
    coding: Option<Coding>,
    length: Option<Length>,
    deviations: Deviations,
}

/// The transfer codings, taken together.
#[derive(Clone, Copy)]
enum Coding {
    /// The last is `chunked`.
    EndsChunked,
    /// It is another, or there is none.
    Other,
}

/// The content lengths, taken together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Valid(u64),
    Invalid,
}

impl Length {
    fn framing(self) -> Framing {
        match self {
            Self::Valid(length) => Framing::Length(length),
            Self::Invalid => Framing::Unknown,
        }
    }
}

impl Said {
    fn by(head: &Head) -> Self {
        let mut said = Self::default();
        for (name, value) in head.iter() {
            if name.eq_ignore_ascii_case(b"content-length") {
                said.content_length(value);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                said.transfer_encoding(value);
            }
        }
        if said.coding.is_some() {
            said.deviations |= Deviations::CL_AND_TE.when(said.length.is_some())
                | Deviations::CODING_IN_1_0.when(head.version() == Version::Http10);
        }
        said
    }

    /// "If a message is received without Transfer-Encoding and with an invalid Content-Length header
    /// field, then the message framing is invalid and the recipient MUST treat it as an unrecoverable
    /// error, unless the field value can be successfully parsed as a comma-separated list (Section 5.6.1
    /// of [HTTP]), all values in the list are valid, and all values in the list are the same".
    fn content_length(&mut self, value: &[u8]) {
        for item in items(value) {
            let length = decimal(item).map_or(Length::Invalid, Length::Valid);
            let plain = item.len() == value.len() && (item.len() == 1 || item.first() != Some(&b'0'));
            self.deviations |=
                Deviations::ODD_LENGTH.when(!plain || length == Length::Invalid || self.length.is_some());
            self.length = match self.length {
                Some(other) if other != length => Some(Length::Invalid),
                _ => Some(length),
            };
        }
    }

    /// RFC 9110, 5.3: field lines of one name are one list.
    fn transfer_encoding(&mut self, value: &[u8]) {
        self.deviations |= Deviations::ODD_CODING.when(value != b"chunked" || self.coding.is_some());
        let last = items(value).rfind(|item| !item.is_empty());
        let chunked = last.is_some_and(|item| item.eq_ignore_ascii_case(b"chunked"));
        self.coding = match (last, self.coding) {
            (None, Some(before)) => Some(before),
            _ if chunked => Some(Coding::EndsChunked),
            _ => Some(Coding::Other),
        };
    }
}

/// The items of a list, without the whitespace around them; a folded value has line ends there.
fn items(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(|mut item| {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = item
        {
            item = rest;
        }
        item
    })
}

/// RFC 9110, 8.6: `Content-Length = 1*DIGIT`. "a recipient MUST anticipate potentially large decimal
/// numerals and prevent parsing errors due to integer conversion overflows".
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}
