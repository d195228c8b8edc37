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
    /// Host and port, in absolute form or in that of CONNECT.
    pub authority: Option<&'a str>,
    /// Path.
    pub path: &'a str,
    /// Query without `?`.
    pub query: Option<&'a str>,
}

/// Takes a target apart (RFC 9112, 3.2). What is none of the four forms is all path.
pub fn split(target: &str) -> Target<'_> {
    let absolute = if target.starts_with('/') { None } else { target.split_once("://") };
    let (authority, rest) = match absolute {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            // Names and passwords of users are nobody's business.
            let authority = rest[..end].rsplit('@').next();
            (authority, &rest[end..])
        }
        _ => (None, target),
    };
    let rest = rest.split('#').next().unwrap_or(rest);
    match rest.split_once('?') {
        Some((path, query)) => Target { authority, path, query: Some(query) },
        None => Target { authority, path: rest, query: None },
    }
}

/// A query with the values of secret parameters replaced, keys kept.
pub fn redact(query: &str) -> Cow<'_, str> {
    let secret = |pair: &str| {
        pair.split_once('=').is_some_and(|(key, _)| SECRET.iter().any(|s| key.eq_ignore_ascii_case(s)))
    };
    if !query.split('&').any(secret) {
        return Cow::Borrowed(query);
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if secret(pair) => Cow::Owned(format!("{key}=REDACTED")),
        _ => Cow::Borrowed(pair),
    });
    Cow::Owned(pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let target = |authority, path, query| Target { authority, path, query };
        assert_eq!(split("/a/b?c=d&e"), target(None, "/a/b", Some("c=d&e")));
        assert_eq!(split("/a?u=http://x/y"), target(None, "/a", Some("u=http://x/y")));
        assert_eq!(split("http://u:p@h:80/a?b"), target(Some("h:80"), "/a", Some("b")));
        assert_eq!(split("http://h"), target(Some("h"), "", None));
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
    }
}
