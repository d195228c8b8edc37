//! What carries requests that are not read, by how a client begins.

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A record of TLS with a handshake in it (RFC 8446, 5.1), and the version of all records (TLS 1.0: 1).
const HANDSHAKE: u8 = 22;
const MAJOR: u8 = 3;
/// `ClientHello` (RFC 8446, 4).
const CLIENT_HELLO: u8 = 1;
/// `application_layer_protocol_negotiation` (RFC 7301).
const ALPN: u16 = 16;
/// How a client's packets begin (Apache Tomcat, AJP/1.3, Packet Headers).
const AJP: [u8; 2] = [0x12, 0x34];
/// Longest hello that is kept: with the largest of today's keys two kilobytes.
const MAX_HELLO: usize = 4096;
/// HTTP by its names in ALPN (IANA), oldest first; the last one has several requests open at once.
const HTTP: [&[u8]; 4] = [b"http/0.9", b"http/1.0", b"http/1.1", HTTP2];
const HTTP2: &[u8] = b"h2";

/// What carries requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TLS.
    Tls,
    /// HTTP/2 in clear.
    Http2,
    /// AJP/1.3.
    Ajp,
}

/// What the first bytes of a client say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// More of them are needed.
    More,
    /// A carrier, and whether several requests may be open at once on it.
    Carrier(Carrier, bool),
    /// None.
    No,
}

impl Carrier {
    /// Its `network.protocol.name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http2 => "http",
            Self::Ajp => "ajp",
        }
    }

    /// Its `network.protocol.version`, where there is one.
    pub const fn version(self) -> Option<&'static str> {
        match self {
            Self::Http2 => Some("2"),
            Self::Tls | Self::Ajp => None,
        }
    }

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Http2 => "HTTP/2",
            Self::Ajp => "AJP",
        }
    }

    /// What begins with these bytes; all that there are, if `cut`.
    pub fn of(bytes: &[u8], cut: bool) -> Recognised {
        let cut = cut || bytes.len() >= MAX_HELLO;
        match bytes {
            [] => Recognised::More,
            [HANDSHAKE, MAJOR, ..] | [HANDSHAKE] => of_tls(bytes, cut),
            _ if bytes.starts_with(PREFACE) => Recognised::Carrier(Self::Http2, true),
            _ if PREFACE.starts_with(bytes) => Recognised::More,
            _ if bytes.starts_with(&AJP) => Recognised::Carrier(Self::Ajp, false),
            _ if AJP.starts_with(bytes) => Recognised::More,
            _ => Recognised::No,
        }
    }
}

/// What a client says that begins with TLS. Who offers nothing but other protocols than HTTP is served something else
/// (mail, a database); who offers nothing may mean HTTP, as most did before it had a name.
fn of_tls(bytes: &[u8], cut: bool) -> Recognised {
    let whole = bytes
        .get(3..5)
        .is_some_and(|len| bytes.len() >= 5 + usize::from(u16::from_be_bytes([len[0], len[1]])));
    match bytes.get(5) {
        Some(&CLIENT_HELLO) if whole || cut => {}
        Some(&CLIENT_HELLO) | None if !cut => return Recognised::More,
        _ => return Recognised::No,
    }
    let offered = offered(&bytes[5..]).unwrap_or_default();
    if !offered.is_empty() && !offered.iter().any(|name| HTTP.contains(name)) {
        return Recognised::No;
    }
    Recognised::Carrier(Carrier::Tls, offered.contains(&HTTP2))
}

/// The protocols that a hello offers (RFC 7301, 3.1); nothing when it does not say.
fn offered(hello: &[u8]) -> Option<Vec<&[u8]>> {
    // Type and length; version and random.
    let mut rest = hello.get(4 + 2 + 32..)?;
    // Session, cipher suites, compression methods.
    take(&mut rest, 1)?;
    take(&mut rest, 2)?;
    take(&mut rest, 1)?;
    let mut extensions = rest.get(2..)?;
    while let Some((kind, behind)) = extensions.split_first_chunk::<2>() {
        extensions = behind;
        let mut extension = take(&mut extensions, 2)?;
        if u16::from_be_bytes(*kind) == ALPN {
            let mut names = take(&mut extension, 2)?;
            return Some(std::iter::from_fn(|| take(&mut names, 1)).collect());
        }
    }
    None
}

/// What stands behind its length, a number of `width` bytes.
fn take<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (len, behind) = rest.split_at_checked(width)?;
    let len = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    let (taken, behind) = behind.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello that offers these protocols, if any.
    fn hello(offered: &[&str]) -> Vec<u8> {
        let names: Vec<u8> =
            offered.iter().flat_map(|name| [&[name.len() as u8], name.as_bytes()].concat()).collect();
        let with = |len: usize, bytes: &[u8]| [&(len as u16).to_be_bytes()[..], bytes].concat();
        let alpn = [&ALPN.to_be_bytes()[..], &with(names.len() + 2, &with(names.len(), &names))].concat();
        let other = [0, 23, 0, 0];
        let extensions = if offered.is_empty() { other.to_vec() } else { [&other[..], &alpn].concat() };
        let body =
            [&[3, 3][..], &[7; 32], &[1, 9], &[0, 2, 0x13, 1], &[1, 0], &with(extensions.len(), &extensions)]
                .concat();
        let message = [&[CLIENT_HELLO, 0], &with(body.len(), &body)[..]].concat();
        [&[HANDSHAKE, MAJOR, 1], &with(message.len(), &message)[..]].concat()
    }

    #[test]
    fn cases() {
        let tls = |multiplexed| Recognised::Carrier(Carrier::Tls, multiplexed);
        let cases: [(&[u8], Recognised); 14] = [
            (&hello(&[]), tls(false)),
            (&hello(&["http/1.1"]), tls(false)),
            (&hello(&["h2", "http/1.1"]), tls(true)),
            (&hello(&["postgresql"]), Recognised::No),
            (&hello(&["imap", "x"]), Recognised::No),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04", Recognised::Carrier(Carrier::Http2, true)),
            (b"\x12\x34\x00\x01\x0a", Recognised::Carrier(Carrier::Ajp, false)),
            (b"GET / HTTP/1.1\r\n", Recognised::No),
            (b"POST / HTTP/1.1\r\n", Recognised::No),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Recognised::No),
            (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Recognised::No),
            (b"*1\r\n$4\r\nPING\r\n", Recognised::No),
            (b"\x16\x05\x01\x02\x00\x01", Recognised::No),
            (b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", Recognised::No),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Carrier::of(bytes, false), expected, "{bytes:?}");
        }
    }

    #[test]
    fn every_prefix_needs_more_or_is_decided_when_it_is_cut() {
        for whole in [&hello(&["h2", "http/1.1"])[..], PREFACE, b"\x12\x34"] {
            for n in 0..whole.len() {
                assert_eq!(Carrier::of(&whole[..n], false), Recognised::More, "{n} of {whole:?}");
                let _ = Carrier::of(&whole[..n], true);
            }
        }
        let cut = &hello(&["http/1.1"])[..60];
        assert_eq!(
            Carrier::of(cut, true),
            Recognised::Carrier(Carrier::Tls, false),
            "as if it offered nothing"
        );
        for byte in 0..=255 {
            let mut odd = hello(&["h2"]);
            for at in 0..odd.len() {
                let before = std::mem::replace(&mut odd[at], byte);
                let _ = Carrier::of(&odd, true);
                odd[at] = before;
            }
        }
    }
}
