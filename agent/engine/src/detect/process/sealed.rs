//! Values of a request that cannot be read, and whether a short key turns one into what is run.

use super::{
    decode::{any_base64, any_hexadecimal, readable},
    said::Place,
};

/// Most values that are kept, and the lengths that an order has.
const MAX_VALUES: usize = 32;
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=1024;
/// Longest key: those that web shells have.
const MAX_KEY: usize = 16;
/// Fewest bytes that must fit beyond the key: of thousands of values of the same length that are held against each
/// launch, none does by chance (2^-32).
const MIN_PROOF: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub struct Sealed(Vec<(Place, Box<[u8]>)>);

impl Sealed {
    /// A value that is no text.
    pub fn add(&mut self, place: Place, value: &[u8]) {
        if LENGTHS.contains(&value.len()) && self.0.len() < MAX_VALUES {
            self.0.push((place, value.into()));
        }
    }

    /// A text, which may be base64 or hexadecimal digits of what is none.
    pub fn add_coded(&mut self, place: Place, value: &[u8]) {
        if value.len() <= 2 * LENGTHS.end() {
            for decoded in [any_base64(value), any_hexadecimal(value)].into_iter().flatten() {
                if readable(&decoded).is_none() {
                    self.add(place, &decoded);
                }
            }
        }
    }

    /// Where one stands that a key, repeated, turns into a command.
    pub fn holds(&self, command: &str) -> Option<Place> {
        let sealed = |value: &[u8]| is_sealed(value, command.as_bytes());
        self.0.iter().find(|(_, value)| sealed(value)).map(|(place, _)| *place)
    }
}

/// Whether each byte differs from the command's as the one before it by the length of a key does: `a ^ b ^ key = 0`.
fn is_sealed(value: &[u8], command: &[u8]) -> bool {
    let (len, key) = (command.len(), |n: usize| value[n] ^ command[n]);
    if value.len() != len || !LENGTHS.contains(&len) {
        return false;
    }
    let longest = MAX_KEY.min(len.saturating_sub(MIN_PROOF));
    (1..=longest).any(|period| (period..len).all(|n| key(n) == key(n - period)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_shorter_than_the_command_shows() {
        let seal = |command: &str, key: &[u8]| -> Vec<u8> {
            command.bytes().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect()
        };
        let cases: &[(&str, &[u8], &str, bool)] = &[
            ("ps aux", b"\x9a", "ps aux", true),
            ("ps aux", b"k3", "ps aux", true),
            ("ps aux", b"k3y", "ps aux", false),
            ("df -h; ps", b"k3y!", "df -h; ps", true),
            ("cat /srv/config.php | head", b"e45e329feb5d925b", "cat /srv/config.php | head", true),
            ("ps aux", b"k3y!", "ps -ef", false),
            ("ps aux", b"k3y!5", "ps aux", false),
            ("ps aux", b"k3y!", "ps auxw", false),
            ("id", b"\x9a", "id", false),
        ];
        for (said, key, command, fits) in cases {
            let mut sealed = Sealed::default();
            sealed.add(Place::Content, &seal(said, key));
            assert_eq!(sealed.holds(command).is_some(), *fits, "{said} {command}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut sealed = Sealed::default();
        (0..100).for_each(|_| sealed.add(Place::Query, &[0x80; 100]));
        sealed.add(Place::Query, &[0x80; 2000]);
        assert_eq!(sealed.0.len(), MAX_VALUES);
        assert_eq!(sealed.holds(""), None);
    }
}
