//! Words of a request that may turn up again in what it causes: ids, names, keys.

use crate::http1::{Head, Start};
use twox_hash::XxHash3_64;

/// Most words of one head that are looked at: those of a long query and a dozen of fields.
const MAX_TOKENS: usize = 64;
/// Bytes of one field value, or of the target, that are looked at.
const MAX_VALUE: usize = 1024;
/// What one word can say at most, in bits: enough to be sure.
const MAX_BITS: f64 = 40.0;
/// A word of small letters is one of a language unless it is longer than those are.
const LONGEST_WORD: usize = 16;

/// Fields that speak of the connection, the client program or the form of the content, not of what is
/// asked. What they hold is the same in many requests, which would be learned, but only in time.
const GENERAL: [&str; 18] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "pragma",
    "te",
    "transfer-encoding",
    "upgrade-insecure-requests",
    "user-agent",
];

/// A word, and how surprising it would be to meet it by chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// Hash of its bytes.
    pub hash: u64,
    /// Bits, before it is known how usual it is here.
    pub bits: f64,
}

/// The words of a request's target and fields, each once, in no particular order.
pub fn of_request(head: &Head) -> Vec<Token> {
    let mut found = Vec::new();
    if let Start::Request { target, .. } = head.start() {
        collect(target, &mut found);
    }
    for (name, value) in head.iter() {
        if !GENERAL.iter().any(|general| name.eq_ignore_ascii_case(general.as_bytes())) {
            collect(value, &mut found);
        }
    }
    unique(found)
}

/// The words of a launch's arguments.
pub fn of_arguments(args: &[String]) -> Vec<Token> {
    let mut found = Vec::new();
    for arg in args {
        collect(arg.as_bytes(), &mut found);
    }
    unique(found)
}

fn unique(mut found: Vec<Token>) -> Vec<Token> {
    found.sort_unstable_by_key(|token| token.hash);
    found.dedup_by_key(|token| token.hash);
    found
}

fn collect(text: &[u8], found: &mut Vec<Token>) {
    let text = &text[..text.len().min(MAX_VALUE)];
    let words = text.split(|b| !b.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let room = MAX_TOKENS.saturating_sub(found.len());
    found.extend(words.take(room).map(|word| Token { hash: XxHash3_64::oneshot(word), bits: bits(word) }));
}

/// How many bits of chance a word has: log2 of how many others of its kind there are.
fn bits(word: &[u8]) -> f64 {
    let digits = word.iter().filter(|b| b.is_ascii_digit()).count();
    let capitals = word.iter().skip(1).filter(|b| b.is_ascii_uppercase()).count();
    let each = match (digits, capitals) {
        (all, _) if all == word.len() => 3.3,
        (1.., _) => 4.0,
        // camelCase has one capital in a while; what has more, and small letters too, is coded.
        (0, many) if many * 3 > word.len() && many + 1 < word.len() => 4.0,
        _ if word.len() > LONGEST_WORD => 2.0,
        _ => return (1.2 * word.len() as f64).min(12.0),
    };
    (each * word.len() as f64).min(MAX_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_more_than_words() {
        let say = |word: &str| bits(word.as_bytes());
        assert!(say("1234567") > 20.0);
        assert!(say("9f86d081884c7d65") > 35.0);
        assert!(say("aGVsbG8gV29ybGQ") > 35.0);
        assert!(say("search") < 10.0);
        assert!(say("recommendations") <= 12.0);
        assert!(say("getUserProfile") <= 12.0);
        assert!(say("7") < 4.0);
    }

    #[test]
    fn words_of_a_text_are_told_once_and_bounded() {
        let mut found = Vec::new();
        collect(b"/a/b?c=a&d=b", &mut found);
        assert_eq!(unique(found).len(), 4);
        let mut found = Vec::new();
        collect("x ".repeat(10_000).as_bytes(), &mut found);
        collect("y ".repeat(10_000).as_bytes(), &mut found);
        assert_eq!(found.len(), MAX_TOKENS);
    }
}
