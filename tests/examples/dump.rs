//! What a recording's records say of sockets, for a person: `cargo run -p tracer-tests --example dump FILE`.

use tracer_common::{Data, Header, TcpState, kind};
use zerocopy::FromBytes;

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("which recording?"))?;
    for record in tracer_tests::recording::records(&std::fs::read(file)?)? {
        let Ok((header, _)) = Header::read_from_prefix(&record) else { continue };
        let at = header.time_ns / 1000 % 100_000_000;
        match header.kind {
            kind::DATA => {
                let Ok((data, tail)) = Data::read_from_prefix(&record) else { continue };
                let way = if data.direction == 0 { "send" } else { "recv" };
                let (local, remote) = (data.sock.local_port, data.sock.remote_port);
                let text = tail[..tail.len().min(300)].escape_ascii();
                println!(
                    "{at} {}/{} {local}>{remote} {way} {} @{} {text}",
                    header.pid, header.tid, data.ret, data.offset
                );
            }
            kind::TCP_STATE => {
                let Ok((state, _)) = TcpState::read_from_prefix(&record) else { continue };
                println!(
                    "{at} {}/{} {}>{} state {} -> {}",
                    header.pid,
                    header.tid,
                    state.sock.local_port,
                    state.sock.remote_port,
                    state.old,
                    state.new
                );
            }
            _ => {}
        }
    }
    Ok(())
}
