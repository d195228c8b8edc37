//! Targets: path and query, with what is secret taken out.

use std::borrow::Cow;

/// Parameters whose values are credentials: those that the HTTP conventions of OpenTelemetry name, and
/// names that mean nothing else.
const SECRET: &[&str] = &[
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-goog-signature",
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-credential",
    "access_token",
    "refresh_token",
    "id_token",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "client_secret",
    "secret",
    "password",
    "passwd",
    "pwd",
    "auth",
    "jwt",
    "session",
    "sessionid",
];

/// A target's parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Scheme, in absolute form.
    pub scheme: Option<&'a str>,
    /// Host and port, in absolute form.
    pub authority: Option<&'a str>,
    /// Path; in absolute form never empty (RFC 9110, 4.2.3).
    pub path: &'a str,
    /// Query without `?`.
    pub query: Option<&'a str>,
}

/// Takes a target apart (RFC 9112, 3.2). What is none of the four forms is all path.
pub fn split(target: &str) -> Target<'_> {
    let absolute = if target.starts_with('/') { None } else { target.split_once("://") };
    let (scheme, authority, rest) = match absolute {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            // Names and passwords of users are nobody's business.
            let authority = rest[..end].rsplit('@').next();
            (Some(scheme), authority, &rest[end..])
        }
        _ => (None, None, target),
    };
    let rest = rest.split('#').next().unwrap_or(rest);
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let path = if path.is_empty() && authority.is_some() { "/" } else { path };
    Target { scheme, authority, path, query }
}

/// A query with the values of secret parameters replaced, keys kept. Pairs end at `&`, and at `;`, which
/// some servers take for the same.
pub fn redact(query: &str) -> Cow<'_, str> {
    if !query.split(['&', ';']).any(|pair| secret_key(pair).is_some()) {
        return Cow::Borrowed(query);
    }
    let mut redacted = String::with_capacity(query.len());
    for piece in query.split_inclusive(['&', ';']) {
        let pair = piece.trim_end_matches(['&', ';']);
        match secret_key(pair) {
            Some(key) => redacted.extend([key, "=REDACTED", &piece[pair.len()..]]),
            None => redacted.push_str(piece),
        }
    }
    Cow::Owned(redacted)
}

/// The key of a pair as it stands there, when its value is secret.
fn secret_key(pair: &str) -> Option<&str> {
    let (key, _) = pair.split_once('=')?;
    let decoded = percent_decoded(key.as_bytes());
    SECRET.iter().any(|secret| decoded.eq_ignore_ascii_case(secret.as_bytes())).then_some(key)
}

/// What a server reads there; what is no valid escape stands for itself.
fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        decoded.push(escaped.map_or(*first, |(high, low)| high << 4 | low));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let target = |authority: Option<_>, path, query| Target {
            scheme: authority.map(|_| "http"),
            authority,
            path,
            query,
        };
        assert_eq!(split("/a/b?c=d&e"), target(None, "/a/b", Some("c=d&e")));
        assert_eq!(split("/a?u=http://x/y"), target(None, "/a", Some("u=http://x/y")));
        assert_eq!(split("http://u:p@h:80/a?b"), target(Some("h:80"), "/a", Some("b")));
        assert_eq!(split("http://h"), target(Some("h"), "/", None));
        assert_eq!(split("http://h?q"), target(Some("h"), "/", Some("q")));
        assert_eq!(split("http://h#f"), target(Some("h"), "/", None));
        assert_eq!(split("https://h/a").scheme, Some("https"));
        assert_eq!(split("*"), target(None, "*", None));
        assert_eq!(split("h:443"), target(None, "h:443", None));
        assert_eq!(split("/a#b?c"), target(None, "/a", None));
    }

    #[test]
    fn secrets_are_taken_out() {
        assert_eq!(
            redact("a=1&Signature=abc&b&sig=&X-Goog-Signature=1=2"),
            "a=1&Signature=REDACTED&b&sig=REDACTED&X-Goog-Signature=REDACTED"
        );
        assert_eq!(redact("design=1&sig"), "design=1&sig");
        assert_eq!(
            redact("%74oken=a&t%6Fken=b&tok%65n=c"),
            "%74oken=REDACTED&t%6Fken=REDACTED&tok%65n=REDACTED"
        );
        assert_eq!(redact("a=1;token=2;b;pwd=3&c"), "a=1;token=REDACTED;b;pwd=REDACTED&c");
        assert_eq!(redact("%7=1&%zz=2&%=3&token%=4"), "%7=1&%zz=2&%=3&token%=4");
    }
}
