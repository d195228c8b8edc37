use super::*;
use crate::testing::fork;
use std::{fs, path::PathBuf};
use tracer_common::WIRE_VERSION;
use tracer_engine::{Config, Input, ProcessFacts, Time, Usual};

struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("tracer-test-{}-{name}", std::process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn config() -> Config {
    Config { boot_to_unix_ns: u64::MAX, host_name: "n\u{f6}de".into(), host_id: Some("7".into()) }
}

fn facts() -> ProcessFacts {
    ProcessFacts { pid: 9, args: vec!["a\u{1}".into()], uid: 33, ..ProcessFacts::default() }
}

fn usual() -> Usual {
    let habits = vec!["launch GET /a | /bin/sh | sh -c 'a \u{1f600} {}'".parse().unwrap()];
    Usual { service: "shop".into(), observed_s: 3, requests: 4, learned: true, habits, accepted: Vec::new() }
}

fn inputs(record: &[u8]) -> [(Input<'_>, Time); 5] {
    [
        (Input::Record(record), Time(10)),
        (Input::Process(facts()), Time(11)),
        (Input::Baseline(usual()), Time(11)),
        (Input::Lost([1, 2, 3, 4, u64::MAX]), Time(12)),
        (Input::Tick, Time(13)),
    ]
}

/// Writes the inputs above, ended or killed.
fn write(file: &TempFile, ended: bool) {
    let mut recorder = Recorder::create(&file.0, true, &config()).unwrap();
    for (input, now) in inputs(&fork(1, 2)) {
        recorder.write(&input, now).unwrap();
    }
    if ended {
        recorder.finish(Time(20)).unwrap();
    } else {
        recorder.flush_if_due(Time(13).plus_ms(FLUSH_EVERY_MS)).unwrap();
        // As after a kill: nothing more is written.
        std::mem::forget(recorder);
    }
}

/// All that can be read, and how it ended.
fn read(file: &TempFile) -> (Vec<String>, Result<Time, ReadError>) {
    let mut reader = Reader::open(&file.0).unwrap();
    assert_eq!(*reader.config(), config());
    let mut seen = Vec::new();
    loop {
        match reader.next_input() {
            Ok(Some((input, now))) => seen.push(format!("{} {input:?}", now.0)),
            Ok(None) => return (seen, Ok(reader.last_time())),
            Err(error) => return (seen, Err(error)),
        }
    }
}

fn expected() -> Vec<String> {
    inputs(&fork(1, 2)).iter().map(|(input, now)| format!("{} {input:?}", now.0)).collect()
}

#[test]
fn every_input_comes_back() {
    let file = TempFile::new("back");
    write(&file, true);
    let (seen, end) = read(&file);
    assert_eq!(seen, expected());
    assert_eq!(end.unwrap(), Time(20));
}

#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let file = TempFile::new("mode");
    write(&file, true);
    let mode = || fs::metadata(&file.0).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    // Whoever had the file open before reads nothing of what comes.
    fs::set_permissions(&file.0, fs::Permissions::from_mode(0o644)).unwrap();
    let mut early = fs::File::open(&file.0).unwrap();
    let before = fs::read(&file.0).unwrap();
    drop(Recorder::create(&file.0, true, &config()).unwrap());
    assert_eq!(mode(), 0o600);
    let mut seen = Vec::new();
    std::io::Read::read_to_end(&mut early, &mut seen).unwrap();
    assert_eq!(seen, before);
}

#[test]
fn a_link_is_not_followed() {
    let (file, link) = (TempFile::new("linked"), TempFile::new("link"));
    fs::write(&file.0, "precious").unwrap();
    std::os::unix::fs::symlink(&file.0, &link.0).unwrap();
    let error = Recorder::create(&link.0, true, &config()).err().unwrap();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(fs::read_to_string(&file.0).unwrap(), "precious");
}

#[test]
fn a_file_that_is_there_is_kept_unless_it_may_be_replaced() {
    let file = TempFile::new("kept");
    fs::write(&file.0, "precious").unwrap();
    let error = Recorder::create(&file.0, false, &config()).err().unwrap();
    assert!(error.is_usage());
    assert!(error.to_string().ends_with("is there already: name another file, or use --force to replace it"));
    assert_eq!(fs::read_to_string(&file.0).unwrap(), "precious");
    write(&file, true);
    assert_eq!(read(&file).0, expected());
}

#[test]
fn a_killed_recorder_leaves_what_was_flushed() {
    let file = TempFile::new("killed");
    write(&file, false);
    let (seen, end) = read(&file);
    assert_eq!(seen, expected());
    assert!(matches!(end, Err(ReadError::Truncated { inputs: 5, .. })), "{end:?}");
}

#[test]
fn cut_anywhere_it_gives_a_beginning_and_says_so() {
    let file = TempFile::new("cut");
    write(&file, true);
    let whole = fs::read(&file.0).unwrap();
    let header = 16 + serde_json::to_vec(&config()).unwrap().len();
    for length in 0..whole.len() {
        fs::write(&file.0, &whole[..length]).unwrap();
        if length < header {
            let error = Reader::open(&file.0).unwrap_err();
            let foreign = length < MAGIC.len();
            assert_eq!(matches!(error, ReadError::Foreign { .. }), foreign, "{length}: {error:?}");
            continue;
        }
        let (seen, end) = read(&file);
        assert_eq!(seen, expected()[..seen.len()], "{length}");
        // Only zstd's own checksum and end mark may be missing after the end frame.
        assert!(end.is_err() || seen.len() == 5, "{length}");
    }
}

#[test]
fn a_stranger_is_refused_with_its_reason() {
    let file = TempFile::new("strange");
    write(&file, true);
    let good = fs::read(&file.0).unwrap();
    let open = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(&file.0, &bytes).unwrap();
        Reader::open(&file.0).unwrap_err().to_string()
    };
    let path = file.0.display();
    assert_eq!(open(&|b| b[1] = b'T'), format!("{path} is not a tracer recording"));
    assert_eq!(
        open(&|b| b[8] = 3),
        format!(
            "{path} has recording format 3, this tracer reads up to 2: use the tracer that wrote it, or a later one"
        )
    );
    assert_eq!(
        open(&|b| b[10] = 77),
        format!(
            "{path} holds records of version 77, this tracer reads version {WIRE_VERSION}: use the tracer that wrote it"
        )
    );
    assert!(open(&|b| b[12..16].copy_from_slice(&u32::MAX.to_le_bytes())).contains("header"));
    assert!(open(&|b| b[16] = b'x').contains("header"));
    assert_eq!(
        Reader::open("/no/such.trc".as_ref()).unwrap_err().to_string(),
        "cannot read /no/such.trc: No such file or directory (os error 2)"
    );
}

/// A recording with these bytes as its frames.
fn crafted(file: &TempFile, frames: &[u8]) {
    write(file, true);
    let header = 16 + serde_json::to_vec(&config()).unwrap().len();
    let mut bytes = fs::read(&file.0).unwrap();
    bytes.truncate(header);
    bytes.extend(zstd::encode_all(frames, 3).unwrap());
    fs::write(&file.0, bytes).unwrap();
}

fn frame(kind: u8, length: u32, payload: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], &[kind], &9u64.to_le_bytes(), payload].concat()
}

#[test]
fn a_frame_beyond_the_bound_is_refused() {
    let file = TempFile::new("long");
    crafted(&file, &frame(frame::RECORD, MAX_FRAME + 1, &[0; 64]));
    assert!(matches!(read(&file).1, Err(ReadError::Corrupt { inputs: 0, .. })));
}

#[test]
fn a_long_frame_that_is_not_there_costs_no_memory() {
    let file = TempFile::new("claim");
    crafted(&file, &frame(frame::RECORD, MAX_FRAME, &[0; 64]));
    let mut reader = Reader::open(&file.0).unwrap();
    assert!(matches!(reader.next_input(), Err(ReadError::Truncated { inputs: 0, .. })));
    assert!(reader.buffer_capacity() < MAX_FRAME as usize / 2, "{}", reader.buffer_capacity());
}

#[test]
fn frames_that_make_no_sense_are_corrupt() {
    let file = TempFile::new("sense");
    for wrong in [
        frame(99, 0, b""),
        frame(frame::LOST, 8, &[0; 8]),
        frame(frame::PROCESS, 1, b"{"),
        [frame(frame::END, 0, b""), frame(frame::TICK, 0, b"")].concat(),
    ] {
        crafted(&file, &wrong);
        assert!(matches!(read(&file).1, Err(ReadError::Corrupt { inputs: 0, .. })), "{wrong:?}");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let file = TempFile::new("flip");
    write(&file, true);
    let whole = fs::read(&file.0).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&file.0, bytes).unwrap();
        let Ok(mut reader) = Reader::open(&file.0) else { continue };
        while let Ok(Some(_)) = reader.next_input() {}
    }
}

#[test]
fn a_full_disk_is_named() {
    let mut recorder = match Recorder::create("/dev/full".as_ref(), false, &config()) {
        Ok(recorder) => recorder,
        Err(error) => {
            assert!(error.to_string().contains("no space left"), "{error}");
            return;
        }
    };
    recorder.write(&Input::Tick, Time(1)).unwrap();
    let error = recorder.finish(Time(2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write /dev/full: no space left on the device; what was written before can be replayed. \
         Free some space, or record to another place"
    );
}
