//! A client that decides itself which bytes go in which segment.

use crate::process::PATIENCE;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

/// Long enough for the receiver to have read one segment before the next is sent.
pub const APART: Duration = Duration::from_millis(4);

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix stream socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Bytes received and not yet taken.
    pending: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A response, taken off a connection.
#[derive(Debug)]
pub struct Response {
    /// Its status code.
    pub status: u16,
    /// Status line and field lines.
    pub head: String,
    /// Its content, chunks joined.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: &Address) -> Result<Self> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Unix(stream)
            }
        };
        Ok(Self { stream, pending: Vec::new() })
    }

    /// The server's end of one that a client opened.
    pub fn accept(listener: &TcpListener) -> Result<Self> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Stream::Tcp(stream), pending: Vec::new() })
    }

    /// Sends these bytes in one operation.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = match &mut self.stream {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }?;
        ensure!(sent == bytes.len(), "the socket took {sent} of {} bytes", bytes.len());
        Ok(())
    }

    /// Sends each of these as a segment of its own.
    pub fn send_apart<'a>(&mut self, segments: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        for segment in segments {
            self.send(segment)?;
            sleep(APART);
        }
        Ok(())
    }

    /// Sends a request without content and waits for its response.
    pub fn get(&mut self, target: &str) -> Result<Response> {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: tests\r\n\r\n").as_bytes())?;
        self.response("GET").with_context(|| format!("response to GET {target}"))
    }

    /// Reads until `needle` was received, and takes all up to its end.
    pub fn wait_for(&mut self, needle: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.pending, needle) {
                return Ok(self.pending.drain(..at + needle.len()).collect());
            }
            let read = self.receive()?;
            ensure!(read > 0, "closed before {:?}", String::from_utf8_lossy(needle));
        }
    }

    /// Takes all up to the end of the stream. A reset counts as the end.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.receive() {
                Ok(0) => return Ok(std::mem::take(&mut self.pending)),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Ok(std::mem::take(&mut self.pending));
                }
                Err(error) => return Err(error).context("read to the end"),
            }
        }
    }

    /// Takes the response to a request of this method; RFC 9112, section 6.3.
    pub fn response(&mut self, method: &str) -> Result<Response> {
        let head = String::from_utf8(self.wait_for(b"\r\n\r\n")?)?;
        let status: u16 = head.get(9..12).context("a status line")?.parse()?;
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
            })
        };
        let body = if method == "HEAD" || status == 204 || status == 304 {
            Vec::new()
        } else if field("transfer-encoding").as_deref() == Some("chunked") {
            self.chunks()?
        } else if let Some(length) = field("content-length") {
            self.take(length.parse()?)?
        } else {
            self.read_to_end()?
        };
        Ok(Response { status, head, body })
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.wait_for(b"\r\n")?)?;
            let length = usize::from_str_radix(line.trim_end().split(';').next().unwrap_or(""), 16)?;
            body.extend(self.take(length)?);
            self.wait_for(b"\r\n")?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.pending.len() < length {
            ensure!(self.receive()? > 0, "closed in the middle of a content of {length} bytes");
        }
        Ok(self.pending.drain(..length).collect())
    }

    fn receive(&mut self) -> std::io::Result<usize> {
        let mut buffer = vec![0; 65536];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut buffer),
            Stream::Unix(stream) => stream.read(&mut buffer),
        }?;
        self.pending.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
