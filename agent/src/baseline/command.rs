//! `tracer baseline`: what was learned, and what people say about it.

use super::file::{Document, Locked};
use crate::{Usage, print, recording::STDIO, trace::say};
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::{
    fmt::Write as _,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tracer_engine::{Habit, Usual};

/// What is to be done with a baseline.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Print it.
    List {
        /// Only this service's.
        service: Option<String>,
    },
    /// Forget a service, or some of its habits.
    Forget {
        /// The service.
        service: String,
        /// The habits; all for none.
        habits: Vec<Habit>,
    },
    /// Forget everything.
    ForgetAll,
    /// Take the findings in a file as normal.
    Accept {
        /// The file with findings, one JSON object a line, or [`STDIO`].
        findings: PathBuf,
    },
    /// Take some habits of a service as normal.
    Allow {
        /// The service.
        service: String,
        /// The habits.
        habits: Vec<Habit>,
    },
    /// Write it to a file.
    Export {
        /// The file, or [`STDIO`].
        to: PathBuf,
        /// Whether a file that is there already is replaced.
        replace: bool,
    },
    /// Take over what a file says.
    Import {
        /// The file, or [`STDIO`].
        from: PathBuf,
    },
}

/// Does it, with the baseline in `path`. A tracer that runs takes the change over within seconds.
///
/// # Errors
/// When a file cannot be read or written, makes no sense, or has not what is asked for.
pub fn run(path: &Path, command: Command) -> Result<ExitCode> {
    let text = match command {
        Command::List { service } => {
            let (mut document, stamp) = Locked::open(path)?.read()?;
            if stamp.is_none() {
                say(&format!("tracer: there is no baseline yet at {}", path.display()));
            }
            if let Some(service) = &service {
                document.services.retain(|name, _| name == service);
                if document.services.is_empty() {
                    bail!("the baseline {} knows no service {service:?}", path.display());
                }
            }
            list(&document)
        }
        Command::Export { to, replace } => {
            let (document, _) = Locked::open(path)?.read()?;
            let text = document.to_text()?;
            if to == Path::new(STDIO) {
                text
            } else {
                create(&to, replace, &text)?;
                format!("wrote {} to {}\n", services(document.services.len()), to.display())
            }
        }
        Command::Import { from } => {
            let more = Document::from_text(&read(&from)?, &from.display().to_string())?;
            change(path, |document| {
                let said =
                    format!("took over what {} says of {}", from.display(), services(more.services.len()));
                document.merge(more);
                Ok(said)
            })?
        }
        Command::Forget { service, habits } => change(path, |document| forget(document, &service, &habits))?,
        Command::ForgetAll => change(path, |document| {
            let said = format!("forgot {}", services(document.services.len()));
            *document = Document::default();
            Ok(said)
        })?,
        Command::Allow { service, habits } => change(path, |document| Ok(allow(document, service, habits)))?,
        Command::Accept { findings } => {
            let Found { normal, refused } = findings_in(&read(&findings)?)?;
            let text = change(path, |document| {
                let said: Vec<_> =
                    normal.into_iter().map(|(service, habits)| allow(document, service, habits)).collect();
                Ok(said.concat())
            })?;
            refused.iter().for_each(|refusal| say(&format!("tracer: not accepted: {refusal}")));
            text
        }
    };
    print(text.as_bytes())
}

/// Writes a file that is not there yet, or may be replaced.
fn create(path: &Path, replace: bool, text: &str) -> Result<()> {
    let file = match replace {
        true => fs::File::create(path),
        false => fs::File::create_new(path),
    };
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Usage(anyhow!("{} is there already: --force replaces it", path.display())).into())
        }
        written => written.with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Reads, changes, writes; gives a line that says what was done.
fn change(path: &Path, change: impl FnOnce(&mut Document) -> Result<String>) -> Result<String> {
    let locked = Locked::open(path)?;
    let (mut document, _) = locked.read()?;
    let said = change(&mut document)?;
    locked.write(&document)?;
    Ok(said.trim_end().to_owned() + "\n")
}

fn list(document: &Document) -> String {
    let mut text = String::new();
    for usual in document.services.values() {
        let Usual { service, observed_s, requests, learned, habits, accepted } = usual;
        let state = if *learned { "learned" } else { "cold" };
        let hours = observed_s / 3600;
        // A string always takes what is written.
        let _ = writeln!(text, "{service}: {state}, {requests} requests in {hours} h");
        for habit in habits {
            let _ = writeln!(text, "  {habit}");
        }
        for habit in accepted {
            let _ = writeln!(text, "  {habit} (accepted)");
        }
    }
    text
}

fn forget(document: &mut Document, service: &str, habits: &[Habit]) -> Result<String> {
    let Some(known) = document.services.get_mut(service) else {
        bail!("the baseline knows no service {service:?}")
    };
    let knows = |habit: &Habit| known.habits.contains(habit) || known.accepted.contains(habit);
    if let Some(missing) = habits.iter().find(|habit| !knows(habit)) {
        bail!("the baseline does not know of {service} that it does: {missing}");
    }
    if habits.is_empty() {
        document.services.remove(service);
        return Ok(format!("forgot {service}"));
    }
    known.habits.retain(|habit| !habits.contains(habit));
    known.accepted.retain(|habit| !habits.contains(habit));
    Ok(habits.iter().map(|habit| format!("forgot of {service}: {habit}\n")).collect())
}

fn allow(document: &mut Document, service: String, habits: Vec<Habit>) -> String {
    let said = habits.iter().map(|habit| format!("normal for {service}: {habit}\n")).collect();
    document.merge(Document::of([Usual { service, accepted: habits, ..Usual::default() }]));
    said
}

/// The part of a finding that the baseline needs.
#[derive(Deserialize)]
struct Finding {
    r#type: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    resource: Resource,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
struct Resource {
    #[serde(rename = "service.name", default)]
    service: String,
}

#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(rename = "tracer.baseline.habits", default)]
    habits: Vec<Habit>,
}

/// What of the findings in a file a baseline can take.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// Services with the habits that findings are about.
    normal: Vec<(String, Vec<Habit>)>,
    /// What is said of each finding that is about no habit.
    refused: Vec<String>,
}

/// The findings in what `watch --output json` prints; its other lines are passed over.
///
/// # Errors
/// When a line is none of these, or none is about a habit.
fn findings_in(text: &str) -> Result<Found> {
    let mut found = Found::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = number + 1;
        let finding: Finding = serde_json::from_str(line)
            .with_context(|| format!("line {number} is none that `tracer watch --output json` prints"))?;
        if finding.r#type != "finding" {
            continue;
        }
        let (service, habits) = (finding.resource.service, finding.attributes.habits);
        if service.is_empty() || habits.is_empty() {
            found
                .refused
                .push(format!("{} in line {number}: it is about nothing that is ever normal", finding.rule));
        } else {
            found.normal.push((service, habits));
        }
    }
    match (found.normal.is_empty(), found.refused.is_empty()) {
        (false, _) => Ok(found),
        (true, false) => bail!("nothing can be accepted: {}", found.refused.join("; ")),
        (true, true) => {
            bail!(
                "there is no finding: give it lines of `tracer watch --output json` with \"type\":\"finding\""
            )
        }
    }
}

fn read(path: &Path) -> Result<String> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        if path == Path::new(STDIO) {
            io::stdin().read_to_string(&mut text)?;
        } else {
            text = fs::read_to_string(path)?;
        }
        Ok(text)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

fn services(count: usize) -> String {
    if count == 1 { "1 service".into() } else { format!("{count} services") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn habits(lines: &[&str]) -> Vec<Habit> {
        lines.iter().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_allowed_is_listed_until_it_is_forgotten() {
        let mut document = Document::default();
        let said = allow(&mut document, "shop".into(), habits(&["edge a:1", "relay GET /ws | b:2"]));
        assert_eq!(said, "normal for shop: edge a:1\nnormal for shop: relay GET /ws | b:2\n");
        let listed =
            "shop: cold, 0 requests in 0 h\n  edge a:1 (accepted)\n  relay GET /ws | b:2 (accepted)\n";
        assert_eq!(list(&document), listed);
        assert!(forget(&mut document, "till", &[]).is_err());
        assert!(forget(&mut document, "shop", &habits(&["edge a:1", "edge z:1"])).is_err());
        assert_eq!(list(&document), listed, "nothing is forgotten by halves");
        forget(&mut document, "shop", &habits(&["edge a:1"])).unwrap();
        assert_eq!(document.services["shop"].accepted, habits(&["relay GET /ws | b:2"]));
        forget(&mut document, "shop", &[]).unwrap();
        assert_eq!(document, Document::default());
    }

    #[test]
    fn findings_are_read_as_they_are_printed() {
        let lines = concat!(
            r#"{"type":"ready"}"#,
            "\n",
            r#"{"type":"finding","rule":"net.tunnel","resource":{"service.name":"shop","process.pid":7},"#,
            r#""attributes":{"tracer.baseline.habits":["relay GET /ws | b:2"],"url.path":"/ws"}}"#,
            "\n\n",
        );
        let normal = vec![("shop".to_owned(), habits(&["relay GET /ws | b:2"]))];
        let found = findings_in(lines).unwrap();
        assert_eq!(found, Found { normal: normal.clone(), refused: Vec::new() });
        let message = |text: &str| format!("{:#}", findings_in(text).unwrap_err());
        assert!(message("").starts_with("there is no finding"));
        assert!(message("hello").starts_with("line 1 is none that"));
        let other = r#"{"type":"finding","rule":"http.request_smuggling","resource":{"service.name":"a"},"attributes":{}}"#;
        assert!(message(other).contains("http.request_smuggling in line 1"), "{}", message(other));
        let both = findings_in(&format!("{lines}{other}")).unwrap();
        assert_eq!(both.normal, normal, "what can be accepted is");
        assert!(both.refused[0].contains("http.request_smuggling in line 4"), "{:?}", both.refused);
    }
}
