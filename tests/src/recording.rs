//! Recordings cut down to one scene: a tracer records the whole machine, and what others do there is neither
//! to be kept in a repository nor of use. The format is that of `agent/src/recording.rs`.

use crate::{Daemon, Stage, environment};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use tracer_common::{Data, Fork, Header, TcpState, kind};
use zerocopy::FromBytes;

/// Before the header: magic, format version, wire version, the header's length.
const PREAMBLE: usize = 16;
/// Before a payload: its length, the kind, the time.
const FRAME_HEAD: usize = 13;
/// The frames that are looked into; all others say nothing of anybody.
const RECORD: u8 = 1;
const PROCESS: u8 = 3;
/// The best that zstd does at a reasonable price.
const LEVEL: i32 = 19;

/// A `tracer record` at work.
#[derive(Debug)]
pub struct Recorder(Daemon);

impl Recorder {
    /// Starts one that writes to `file`, and waits until it records.
    pub fn start(stage: &Stage, file: &Path) -> Result<Self> {
        let mut command = Command::new(environment::tracer()?);
        command.args(["record", "--no-baseline", "-o"]).arg(file);
        let mut daemon = Daemon::start(stage, "recorder", command)?;
        daemon.wait_until("word that it records", |daemon| daemon.stderr().contains("recording to"))?;
        Ok(Self(daemon))
    }

    /// Ends it, once what is still on its way to the ring buffer is in the recording.
    pub fn stop(mut self) -> Result<()> {
        sleep(Duration::from_millis(300));
        self.0.signal(Signal::INT)?;
        let status = self.0.wait_end()?;
        ensure!(status.success(), "{status}: {}", self.0.stderr());
        Ok(())
    }
}

/// The parts of a recording: preamble, header, frames.
fn parts(whole: &[u8]) -> Result<(&[u8], &[u8], Vec<u8>)> {
    let (preamble, rest) = whole.split_at_checked(PREAMBLE).context("no preamble")?;
    let length = u32::from_le_bytes(preamble[12..].try_into()?) as usize;
    let (header, stream) = rest.split_at_checked(length).context("no header")?;
    Ok((preamble, header, zstd::decode_all(stream)?))
}

/// The kernel's records in a recording.
pub fn records(whole: &[u8]) -> Result<Vec<Vec<u8>>> {
    let (_, _, frames) = parts(whole)?;
    let records = split(&frames)?.into_iter().filter(|frame| frame[4] == RECORD);
    Ok(records.map(|frame| frame[FRAME_HEAD..].to_vec()).collect())
}

/// These processes, and all that descend from them.
pub fn descendants(whole: &[u8], mut pids: BTreeSet<u32>) -> Result<BTreeSet<u32>> {
    for record in records(whole)? {
        if let Ok((fork, _)) = Fork::read_from_prefix(&record)
            && fork.header.kind == kind::FORK
            && pids.contains(&fork.header.pid)
        {
            pids.insert(fork.child_pid);
        }
    }
    Ok(pids)
}

/// The recording with what these processes did alone, and without the names of the machine and of its files.
pub fn cut(whole: &[u8], pids: &BTreeSet<u32>) -> Result<Vec<u8>> {
    let (preamble, header, frames) = parts(whole)?;
    let header = without_names(header)?;
    let frames = split(&frames)?;

    let sockets: BTreeSet<u64> =
        frames.iter().filter(|frame| of_processes(frame, pids)).filter_map(|frame| socket(frame)).collect();
    let kept = frames.into_iter().filter(|frame| match frame[4] {
        // Only some of the changes of a connection's state happen in the process that it belongs to.
        RECORD => of_processes(frame, pids) || socket(frame).is_some_and(|id| sockets.contains(&id)),
        other => other != PROCESS,
    });
    let stream = zstd::encode_all(kept.collect::<Vec<_>>().concat().as_slice(), LEVEL)?;
    let length = u32::try_from(header.len())?.to_le_bytes();
    Ok([&preamble[..12], &length, &header, &stream].concat())
}

fn without_names(header: &[u8]) -> Result<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(header)?;
    ensure!(config["host_name"].is_string(), "no host_name in {config}");
    config["host_name"] = "golden".into();
    config["host_id"] = Value::Null;
    Ok(serde_json::to_vec(&config)?)
}

/// The frames, each whole.
fn split(mut bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let mut frames = Vec::new();
    while let Some(length) = bytes.first_chunk() {
        let length = FRAME_HEAD + u32::from_le_bytes(*length) as usize;
        let Some((frame, rest)) = bytes.split_at_checked(length) else { bail!("it ends early") };
        frames.push(frame);
        bytes = rest;
    }
    Ok(frames)
}

/// Whether it is a record of something that one of these processes did.
fn of_processes(frame: &[u8], pids: &BTreeSet<u32>) -> bool {
    let header = Header::read_from_prefix(&frame[FRAME_HEAD..]).ok().filter(|_| frame[4] == RECORD);
    header.is_some_and(|(header, _)| header.kind != kind::TCP_STATE && pids.contains(&header.pid))
}

/// The socket that a record of one is about.
fn socket(frame: &[u8]) -> Option<u64> {
    let record = &frame[FRAME_HEAD..];
    match Header::read_from_prefix(record).ok()?.0.kind {
        kind::DATA => Some(Data::read_from_prefix(record).ok()?.0.sock.id),
        kind::TCP_STATE => Some(TcpState::read_from_prefix(record).ok()?.0.sock.id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_common::Exit;
    use zerocopy::IntoBytes;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [length.as_slice(), &[kind], &[0; 8], payload].concat()
    }

    fn header(kind: u16, pid: u32) -> Header {
        Header { kind, pid, ..Header::default() }
    }

    fn data(pid: u32, socket: u64) -> Vec<u8> {
        let mut data = Data { header: header(kind::DATA, pid), ..Data::default() };
        data.sock.id = socket;
        frame(RECORD, data.as_bytes())
    }

    fn state(socket: u64) -> Vec<u8> {
        // In whatever process the interrupt came.
        let mut state = TcpState { header: header(kind::TCP_STATE, 9), ..TcpState::default() };
        state.sock.id = socket;
        frame(RECORD, state.as_bytes())
    }

    fn exit(pid: u32) -> Vec<u8> {
        frame(RECORD, Exit { header: header(kind::EXIT, pid), ..Exit::default() }.as_bytes())
    }

    #[test]
    fn only_the_scene_is_kept() {
        let config = br#"{"boot_to_unix_ns":5,"host_name":"secret","host_id":"secret"}"#;
        let length = u32::try_from(config.len()).unwrap().to_le_bytes();
        let tick = frame(4, &[]);
        let frames =
            [state(1), state(2), data(7, 1), data(8, 2), exit(7), exit(8), frame(PROCESS, b"{}"), tick];
        let stream = zstd::encode_all(frames.concat().as_slice(), 1).unwrap();
        let preamble = [b"\x89tracer\n".as_slice(), &[1, 0, 3, 0], &length].concat();
        let whole = [preamble.as_slice(), config, &stream].concat();

        let part = cut(&whole, &BTreeSet::from([7])).unwrap();
        assert_eq!(part[..12], whole[..12]);
        let length = u32::from_le_bytes(part[12..PREAMBLE].try_into().unwrap()) as usize;
        let (config, stream) = part[PREAMBLE..].split_at(length);
        assert!(!String::from_utf8_lossy(config).contains("secret"));
        let kept = [state(1), data(7, 1), exit(7), frame(4, &[])].concat();
        assert_eq!(zstd::decode_all(stream).unwrap(), kept);
    }
}
