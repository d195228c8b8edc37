//! The Common Gateway Interface (RFC 3875): what FastCGI, uwsgi and SCGI carry between a server and the process
//! that runs the application.
//!
//! A request comes as meta-variables. Here it becomes the head that the server had received: `REQUEST_METHOD` and
//! `REQUEST_URI` its start line, `HTTP_*` its fields; the others stay variables. So all that looks at requests
//! looks at these too. A response begins with fields, of which `Status` is the status code.

mod response;

pub(crate) use response::{Found, HeadReader, Parser, looks_like_response};

use crate::http1::{Builder, Framing, Head, Loss};

/// A name and a value.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// The head of the request that meta-variables describe.
pub(crate) fn request<'a>(pairs: impl Iterator<Item = Pair<'a>> + Clone) -> Result<Box<Head>, Loss> {
    let value = |wanted: &str| {
        let mut found = pairs.clone().filter(|(name, _)| *name == wanted.as_bytes());
        found.find_map(|(_, value)| (!value.is_empty()).then_some(value))
    };
    let target = value("REQUEST_URI").map_or_else(|| composed(&value), <[u8]>::to_vec);
    let mut head = Builder::request(value("REQUEST_METHOD").unwrap_or_default(), &target);
    let mut length = Framing::None;
    for (name, value) in pairs.clone() {
        match name.strip_prefix(b"HTTP_") {
            // RFC 3875, 4.1.18: "The HTTP header field name is converted to upper case, has all occurrences of
            // "-" replaced with "_" and has "HTTP_" prepended to give the meta-variable name."
            Some(field) => head.field(field_name(field), value),
            None if matches!(name, b"CONTENT_LENGTH" | b"CONTENT_TYPE") && !value.is_empty() => {
                head.field(field_name(name), value);
                if name == b"CONTENT_LENGTH" {
                    length = decimal(value).map_or(Framing::Unknown, Framing::Length);
                }
            }
            None => {}
        }
    }
    for (name, value) in pairs {
        if !name.starts_with(b"HTTP_") && !matches!(name, b"CONTENT_LENGTH" | b"CONTENT_TYPE") {
            head.variable(name, value);
        }
    }
    head.build(length).map(Box::new)
}

/// RFC 3875, 3.3: the script's URI is that of its name, the path behind it and the query. What is encoded there
/// was decoded here, so it is not quite what the client sent.
fn composed<'a>(value: &impl Fn(&str) -> Option<&'a [u8]>) -> Vec<u8> {
    let path = [value("SCRIPT_NAME"), value("PATH_INFO")].into_iter().flatten().flatten().copied();
    let query = value("QUERY_STRING").into_iter().flat_map(|query| b"?".iter().chain(query)).copied();
    path.chain(query).collect()
}

fn field_name(variable: &[u8]) -> impl Iterator<Item = u8> {
    variable.iter().map(|b| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() })
}

/// RFC 3875, 4.1.2: `CONTENT_LENGTH = "" | 1*digit`.
fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{MAX_FIELDS, MAX_HEAD, Start};

    fn of(pairs: &[(&str, &str)]) -> Result<Box<Head>, Loss> {
        request(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[track_caller]
    fn line(pairs: &[(&str, &str)]) -> String {
        match of(pairs).expect("a head").start() {
            Start::Request { method, target } => format!("{method} {}", target.escape_ascii()),
            Start::Response { .. } => panic!("a response"),
        }
    }

    #[test]
    fn what_the_server_had_received() {
        let head = of(&[
            ("SCRIPT_FILENAME", "/srv/a.php"),
            ("REQUEST_METHOD", "POST"),
            ("REQUEST_URI", "/a%20b?c"),
            ("CONTENT_LENGTH", "7"),
            ("HTTP_X_REQUEST_ID", "42"),
            ("HTTP_HOST", "h"),
        ])
        .expect("a head");
        assert_eq!(head.start(), Start::Request { method: "POST", target: b"/a%20b?c" });
        assert_eq!(head.framing(), Framing::Length(7));
        let fields: Vec<_> = head.iter().collect();
        let expected: [Pair<'_>; 3] = [(b"content-length", b"7"), (b"x-request-id", b"42"), (b"host", b"h")];
        assert_eq!(fields, expected);
        assert_eq!(head.variable("SCRIPT_FILENAME"), Some(&b"/srv/a.php"[..]));
        assert_eq!(head.variable("HTTP_HOST"), None, "a field is no variable");
    }

    #[test]
    fn a_target_out_of_its_parts() {
        let parts = [("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/a.php"), ("PATH_INFO", "/b")];
        assert_eq!(line(&parts), "GET /a.php/b");
        assert_eq!(line(&[&parts[..], &[("QUERY_STRING", "c=d")]].concat()), "GET /a.php/b?c=d");
        assert_eq!(line(&[&parts[..], &[("REQUEST_URI", "/e")]].concat()), "GET /e");
        assert_eq!(line(&[]), " ");
    }

    #[test]
    fn odd_values() {
        assert_eq!(line(&[("REQUEST_METHOD", "GET /\r\n"), ("REQUEST_URI", "/")]), " /", "no token");
        for (text, framing) in [("", Framing::None), ("+1", Framing::Unknown), ("1a", Framing::Unknown)] {
            assert_eq!(of(&[("CONTENT_LENGTH", text)]).expect("a head").framing(), framing, "{text}");
        }
        assert_eq!(of(&[("HTTP_A", &"x".repeat(MAX_HEAD))]), Err(Loss::HeadTooLong));
        assert_eq!(of(&vec![("A", "x"); MAX_FIELDS + 1]), Err(Loss::TooManyFields));
    }
}
