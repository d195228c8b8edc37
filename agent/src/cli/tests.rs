use super::*;

fn action(arguments: &[&str]) -> Result<Action, clap::Error> {
    let all = std::iter::once("tracer").chain(arguments.iter().copied());
    Cli::try_parse_from(all).map(Cli::into_action)
}

fn trace(arguments: &[&str]) -> Trace {
    match action(arguments).unwrap() {
        Action::Trace(trace) => trace,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::definition().debug_assert();
    assert_eq!(ring_size(DEFAULT_RING), Ok(8 << 20));
}

#[test]
fn watch_takes_every_filter_and_a_command() {
    let got = trace(&[
        "watch",
        "-p",
        "7",
        "--pid",
        "8",
        "--port",
        "80",
        "--service",
        "shop",
        "--status",
        "5xx",
        "--slow",
        "200ms",
        "--findings",
        "--fail-on",
        "high",
        "--for",
        "30s",
        "--output",
        "json",
        "--otlp",
        "--snap-len",
        "1024",
        "--",
        "curl",
        "-v",
    ]);
    let conditions = got.outlets.conditions;
    assert_eq!(conditions.pids, [7, 8]);
    assert_eq!(conditions.port, Some(80));
    assert_eq!(conditions.service.as_deref(), Some("shop"));
    assert_eq!(conditions.status, Some(StatusFilter::Class(5)));
    assert_eq!(conditions.slow, Some(Duration::from_millis(200)));
    assert!(conditions.findings);
    assert_eq!(got.outlets.fail_on, Some(Severity::High));
    assert_eq!(got.duration, Some(Duration::from_secs(30)));
    assert_eq!((got.outlets.view, got.outlets.otlp), (Some(View::Json), true));
    assert_eq!(got.source, SourceOptions { snap: 1024, ring_bytes: 8 << 20 });
    assert_eq!(got.command, ["curl", "-v"]);
}

#[test]
fn a_replay_finds_what_live_finds() {
    let got = action(&["replay", "--findings", "--fail-on", "info", "f.trc"]).unwrap();
    let Action::Replay { outlets, .. } = got else { panic!("{got:?}") };
    assert_eq!((outlets.conditions.findings, outlets.fail_on), (true, Some(Severity::Info)));
}

#[test]
fn completions_know_the_severities() {
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::definition(), "tracer", &mut script);
    let script = String::from_utf8(script).unwrap();
    assert!(script.contains("--fail-on") && script.contains("info low medium high critical"));
}

#[test]
fn run_exports_and_shows_nothing() {
    let got = trace(&["run"]);
    assert_eq!((got.outlets.view, got.outlets.otlp, got.record), (None, true, None));
}

#[test]
fn record_writes_and_shows_nothing() {
    let got = trace(&["record", "-o", "f.trc", "--for", "1s"]);
    assert_eq!((got.outlets.view, got.outlets.otlp), (None, false));
    assert_eq!(got.record, Some(Record { path: "f.trc".into(), replace: false }));
    let forced = trace(&["record", "--force", "-o", "-"]);
    assert_eq!(forced.record, Some(Record { path: "-".into(), replace: true }));
}

#[test]
fn wrong_values_are_refused() {
    for wrong in [
        &["watch", "--status", "6xx"] as &[_],
        &["watch", "--status", "99"],
        &["watch", "--slow", "0s"],
        &["watch", "--slow", "200"],
        &["watch", "-p", "0"],
        &["watch", "--port", "65536"],
        &["watch", "--snap-len", "65536"],
        &["watch", "--ring-size", "3M"],
        &["watch", "--ring-size", "4G"],
        &["watch", "--ring-size", "1K"],
        &["watch", "--output", "yaml"],
        &["watch", "--fail-on", "worst"],
        &["watch", "--fail-on"],
        &["run", "--findings"],
        &["watch", "curl"],
        &["record"],
        &["replay"],
        &["run", "--otlp"],
        &[],
    ] {
        let error = action(wrong).expect_err(&format!("{wrong:?}"));
        assert_eq!(error.exit_code(), 2, "{wrong:?}");
    }
}

#[test]
fn a_negative_value_is_called_wrong_and_no_option() {
    for wrong in [
        &["watch", "--for", "-1s"] as &[_],
        &["record", "-o", "f", "--for", "-1"],
        &["watch", "--slow", "-5ms"],
        &["watch", "-p", "-1"],
        &["watch", "--port", "-80"],
        &["watch", "--status", "-1"],
        &["watch", "--snap-len", "-256"],
        &["watch", "--ring-size", "-64K"],
    ] {
        let error = action(wrong).expect_err(&format!("{wrong:?}")).to_string();
        let value = wrong.last().unwrap();
        assert!(error.starts_with(&format!("error: invalid value '{value}' for")), "{error}");
    }
}

#[test]
fn a_baseline_is_kept_unless_told_otherwise() {
    let kept = |arguments: &[&str]| trace(arguments).baseline;
    let default = BaselineFile { path: Some(baseline::DEFAULT_PATH.into()), chosen: false };
    assert_eq!(kept(&["watch"]), default);
    assert_eq!(kept(&["record", "-o", "f"]), default);
    assert_eq!(kept(&["run", "--baseline", "b"]), BaselineFile { path: Some("b".into()), chosen: true });
    assert_eq!(kept(&["run", "--no-baseline"]).path, None);
    assert!(action(&["run", "--no-baseline", "--baseline", "b"]).is_err());
}

#[test]
fn what_is_said_about_a_baseline() {
    use crate::baseline::Command;
    let said = |arguments: &[&str]| match action(&[&["baseline"], arguments].concat()) {
        Ok(Action::Baseline { path, command }) => Ok((path, command)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    };
    let habits = vec!["relay GET /ws | a:1".parse().unwrap()];
    let (service, default) = ("shop".to_owned(), PathBuf::from(baseline::DEFAULT_PATH));
    assert_eq!(said(&["list"]), Ok((default.clone(), Command::List { service: None })));
    assert_eq!(
        said(&["forget", "shop", "relay GET /ws | a:1", "--baseline", "b"]),
        Ok(("b".into(), Command::Forget { service: service.clone(), habits: habits.clone() }))
    );
    assert_eq!(said(&["forget", "--all"]), Ok((default.clone(), Command::ForgetAll)));
    assert_eq!(
        said(&["allow", "shop", "relay GET /ws | a:1"]),
        Ok((default.clone(), Command::Allow { service, habits }))
    );
    assert_eq!(said(&["accept", "-"]), Ok((default, Command::Accept { findings: "-".into() })));
    assert!(said(&["forget"]).is_err());
    assert!(said(&["forget", "shop", "--all"]).is_err());
    assert!(said(&["allow", "shop"]).is_err());
    assert!(said(&["allow", "shop", "sings"]).unwrap_err().contains("is no habit"));
}
