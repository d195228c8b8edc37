//! Words of a request that may turn up again in what it causes: ids, names, keys.

use crate::{
    exchange::Exchange,
    http1::{Head, Start},
};
use twox_hash::XxHash3_64;

/// Most words of one head that are looked at: those of a long query and a dozen of fields.
const MAX_TOKENS: usize = 64;
/// Bytes of one field value, or of the target, that are looked at.
const MAX_VALUE: usize = 1024;
/// What one word can say at most, in bits: enough to be sure.
const MAX_BITS: f64 = 40.0;
/// What a time says, in bits: many requests of the same moment have it.
const TIME_BITS: f64 = 3.0;
/// Words that say more, in bits, are ids: names and words of a language say less.
const MAX_COMMON: f64 = 12.5;
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

impl Token {
    /// Whether it is an id, of which two things that differ in them may be alike.
    pub fn is_rare(self) -> bool {
        self.bits > MAX_COMMON
    }
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

/// The words of a request that was received, those of its content's begin included: an id in a form or in JSON
/// speaks as one in the target does.
pub fn of_exchange(exchange: &Exchange) -> Vec<Token> {
    let mut found = of_request(&exchange.request);
    let mut content = Vec::new();
    collect(&exchange.content, &mut content);
    found.append(&mut content);
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
    if is_time(word) {
        return TIME_BITS;
    }
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

/// Whether a word is a time of these years (2023 to 2030): seconds since the epoch or thousandths of thousandths of them, or
/// the basic form of ISO 8601. What happens at once has the same times, whatever it is for.
fn is_time(word: &[u8]) -> bool {
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let epoch =
        matches!(word.len(), 10 | 13 | 16 | 19) && digits(word) && matches!(&word[..2], b"17" | b"18");
    let day = |day: &[u8]| {
        day.len() == 8
            && digits(day)
            && day.starts_with(b"20")
            && (b"01".as_slice()..=b"12").contains(&&day[4..6])
            && (b"01".as_slice()..=b"31").contains(&&day[6..])
    };
    let clock = |clock: &[u8]| digits(clock.strip_suffix(b"Z").unwrap_or(clock));
    let iso = match word.iter().position(|b| *b == b'T') {
        Some(at) => day(&word[..at]) && clock(&word[at + 1..]),
        None => day(word),
    };
    epoch || iso
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_say_little() {
        for time in ["1763720000", "1763720000123", "1763720000123456789", "20261121T101500Z", "20261121"] {
            assert_eq!(bits(time.as_bytes()), TIME_BITS, "{time}");
        }
        for id in ["9763720000", "17637200001", "20261321", "123456", "2026112T", "T1"] {
            assert_ne!(bits(id.as_bytes()), TIME_BITS, "{id}");
        }
    }

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
