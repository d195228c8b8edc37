//! The route behind a request's target: a heuristic, since only the application knows its patterns.
//!
//! Of the path, segments that name one thing of many become placeholders: `/users/4711/orders` is
//! `/users/{n}/orders`. That keeps a baseline small and lets it know what it has not seen letter by letter.

use crate::span::lossy;

/// Most segments that are kept; what is deeper is `…`.
const MAX_SEGMENTS: usize = 12;
/// Longest segment that may be a name of a route.
const MAX_NAME: usize = 40;
/// Fewest hexadecimal digits that are taken for an id, and half of what a token has.
const MIN_ID: usize = 8;

/// Method and route of a request.
pub fn route(method: &str, target: &[u8]) -> String {
    let path = path(target);
    let mut route = String::with_capacity(method.len() + 1 + path.len().min(MAX_SEGMENTS * MAX_NAME));
    route.push_str(method);
    route.push(' ');
    if !path.starts_with(b"/") {
        // RFC 9112, 3.2.4: `*`.
        route.push_str(&String::from_utf8_lossy(&path[..path.len().min(MAX_NAME)]));
        return route;
    }
    for (n, segment) in path[1..].split(|byte| *byte == b'/').enumerate() {
        route.push('/');
        if n == MAX_SEGMENTS {
            route.push('…');
            break;
        }
        match placeholder(segment) {
            Some(placeholder) => route.push_str(placeholder),
            None => route.push_str(&lossy(segment)),
        }
    }
    route
}

/// RFC 9112, 3.2: the path of a target in origin or absolute form, without the query.
fn path(target: &[u8]) -> &[u8] {
    let end = target.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
    let target = &target[..end];
    if target.starts_with(b"/") {
        return target;
    }
    let Some(scheme) = target.windows(3).position(|window| window == b"://") else { return target };
    if target[..scheme].contains(&b'/') {
        return target;
    }
    let behind = &target[scheme + 3..];
    behind.iter().position(|byte| *byte == b'/').map_or(b"/", |slash| &behind[slash..])
}

/// What stands for a segment that names one thing of many.
fn placeholder(segment: &[u8]) -> Option<&'static str> {
    if segment.iter().all(u8::is_ascii_lowercase) && segment.len() <= MAX_NAME {
        return None;
    }
    let digits = segment.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hexadecimal = segment.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let alphanumeric = segment.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=~%+@:".contains(byte));
    match segment {
        [] => None,
        // `17`, `1.5`, `3-18`.
        [b'0'..=b'9', ..] if segment.iter().all(|byte| byte.is_ascii_digit() || b"-.,:".contains(byte)) => {
            Some("{n}")
        }
        // UUIDs, hashes, object ids.
        _ if hexadecimal && digits > 0 && segment.len() >= MIN_ID => Some("{id}"),
        _ if !alphanumeric || segment.len() > MAX_NAME => Some("{text}"),
        // Dates, tokens, `order-20240517`, `app.3f2a9c1b.js`: more digits than a version has.
        _ if digits * 4 >= segment.len() && digits >= 4 => Some("{id}"),
        _ if digits > 0 && segment.len() >= 2 * MIN_ID && turns(segment) * 2 >= segment.len() => Some("{id}"),
        _ => None,
    }
}

/// How often small letters, capitals and digits follow each other: in a token all the time, in words rarely.
fn turns(segment: &[u8]) -> usize {
    let class = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    segment.windows(2).filter(|pair| class(&pair[0]) != class(&pair[1])).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_one_of_many_becomes_a_placeholder() {
        let cases = [
            ("/", "/"),
            ("/users/4711/orders?page=2", "/users/{n}/orders"),
            ("/v1/users/me", "/v1/users/me"),
            ("/oauth2/token", "/oauth2/token"),
            ("/index.php", "/index.php"),
            ("/files/0b7e1f3a-1111-2222-3333-444455556666", "/files/{id}"),
            ("/commit/9057784bcafe", "/commit/{id}"),
            ("/facade", "/facade"),
            ("/static/app.3f2a9c1b.js", "/static/{id}"),
            ("/session/eyJhbGciOiJIUzI1NiJ9xQ", "/session/{id}"),
            ("/api/getUserProfileById2", "/api/getUserProfileById2"),
            ("/day/2024-05-17/", "/day/{n}/"),
            ("/tiles/3-18/0.5", "/tiles/{n}/{n}"),
            ("/...", "/..."),
            ("/search/caf%C3%A9 au lait<", "/search/{text}"),
            ("http://shop.example/cart/7#top", "/cart/{n}"),
            ("http://shop.example", "/"),
            ("/go?to=http://else.example/x", "/go"),
            ("/a/b/c/d/e/f/g/h/i/j/k/l/m/n", "/a/b/c/d/e/f/g/h/i/j/k/l/…"),
        ];
        for (target, expected) in cases {
            assert_eq!(route("GET", target.as_bytes()), format!("GET {expected}"), "{target}");
        }
        assert_eq!(route("OPTIONS", b"*"), "OPTIONS *");
        assert_eq!(route("CONNECT", b"shop.example:443"), "CONNECT shop.example:443");
        let long = "x".repeat(9000);
        assert_eq!(route("GET", format!("/{long}").as_bytes()), "GET /{text}");
    }
}
