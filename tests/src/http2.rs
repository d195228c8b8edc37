//! A client of HTTP/2 without TLS, by prior knowledge.

use anyhow::{Context, Result};
use bytes::Bytes;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Asks on a connection of its own; gives the status of the response, whose content is left.
pub fn ask(server: SocketAddr, method: &str, target: &str, content: &[u8]) -> Result<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut client, connection) = h2::client::handshake(TcpStream::connect(server).await?).await?;
        let driver = tokio::spawn(connection);
        let uri = format!("http://{server}{target}");
        let request = http::Request::builder().method(method).uri(uri).body(())?;
        let (response, mut stream) = client.send_request(request, false)?;
        stream.send_data(Bytes::copy_from_slice(content), true)?;
        let response = response.await.with_context(|| format!("response to {method} {target}"))?;
        driver.abort();
        Ok(response.status().as_u16())
    })
}
