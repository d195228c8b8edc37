//! Who wrote the head of a request: what a program writes into each, and what an intermediary adds.

use crate::{exchange::Exchange, http1::Head};

/// How fields begin that are about one request alone: its content, what its sender would like to get, on which
/// condition (RFC 9110, 8, 12 and 13), and what a browser says of its circumstances (W3C, Fetch Metadata).
const ABOUT_ONE: [&[u8]; 4] = [b"content-", b"accept", b"if-", b"sec-"];
/// Fields likewise (RFC 9110, 6.6, 10.1, 11.6 and 14.2; RFC 9111; RFC 6265; RFC 6454; RFC 9218).
const ABOUT_ONE_TOO: [&[u8]; 14] = [
    b"authorization",
    b"cache-control",
    b"cookie",
    b"expect",
    b"origin",
    b"pragma",
    b"priority",
    b"range",
    b"referer",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade-insecure-requests",
    b"x-requested-with",
];

/// Who a request says that it came on behalf of: RFC 7239, what was there before it, and what those write that have one
/// address to say.
const ON_BEHALF_OF: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "true-client-ip"];

/// Who a request says that it came on behalf of.
pub fn forwarded_for(head: &Head) -> Option<&[u8]> {
    ON_BEHALF_OF.iter().find_map(|name| head.field(name))
}

/// Whether an intermediary says that it was there: it speaks for somebody, or names itself (RFC 9110, 7.6.3).
pub fn is_marked(head: &Head) -> bool {
    let forwarded = |(name, _): (&[u8], _)| {
        name.get(..12).is_some_and(|begin| begin.eq_ignore_ascii_case(b"x-forwarded-"))
    };
    forwarded_for(head).is_some() || head.field("via").is_some() || head.iter().any(forwarded)
}

/// Whether two requests look like one program's: the later one has all fields that the earlier one has, but those
/// about that one alone; and both or none were marked by an intermediary.
pub fn is_of_the_same_hand([first, second]: [&Exchange; 2]) -> bool {
    let has = |name: &[u8]| second.request.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    first.request.iter().all(|(name, _)| is_about_one(name) || has(name))
        && is_marked(&first.request) == is_marked(&second.request)
}

fn is_about_one(name: &[u8]) -> bool {
    let begins = |begin: &&[u8]| name.get(..begin.len()).is_some_and(|it| it.eq_ignore_ascii_case(begin));
    ABOUT_ONE.iter().any(begins) || ABOUT_ONE_TOO.iter().any(|other| name.eq_ignore_ascii_case(other))
}
