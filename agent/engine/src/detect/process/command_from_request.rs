//! `process.command_from_request`: a request says what is run.
//!
//! Data of a request as an argument of a program is everyday. As the text that a shell runs, as a command in it
//! or as the program itself it is an order, whoever meant to take it.

use super::{
    launched::{Hit, Launched},
    program::{Program, Told},
    said::{Place, Said},
    shell::Script,
};
use crate::{Confidence, Severity, launch::Image};

/// Fewest bytes that are compared.
const MIN_TEXT: usize = 2;
/// What a text of a request says for being the cause of what it names, in bits: some for where it stands, some
/// for each byte.
const BITS: (f64, f64, f64) = (6.0, 2.0, 40.0);

/// A text of a request that says what is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Where it stands.
    pub place: Place,
    /// What it says of what is run.
    pub part: Part,
    /// The text.
    pub text: String,
    /// What it says for this request, in bits.
    pub bits: f64,
}

/// What a text says of what is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is the command.
    Whole,
    /// The command stands in it.
    Within,
    /// It ends one command and begins another.
    Joint,
    /// It is the program, or the file that an interpreter runs.
    Program,
}

/// The text that says most of what an image runs.
pub fn order(said: &[Said], image: &Image) -> Option<Order> {
    let program = Program::of(image);
    let found = said.iter().filter_map(|said| {
        let part = part(said, &program, image)?;
        let bits = BITS.0 + BITS.1 * said.text.len().min(image.args.iter().map(String::len).sum()) as f64;
        Some(Order { place: said.place, part, text: said.text.clone(), bits: bits.min(BITS.2) })
    });
    // Of several that say the same the shortest holds the least besides.
    let better = |next: &Order, best: &Order| {
        next.bits > best.bits || next.bits == best.bits && next.text.len() < best.text.len()
    };
    found.reduce(|best, next| if better(&next, &best) { next } else { best })
}

fn part(said: &Said, program: &Program<'_>, image: &Image) -> Option<Part> {
    if said.text.len() < MIN_TEXT || !said.text.contains(|c: char| c.is_alphanumeric()) {
        return None;
    }
    match program.text() {
        Some(text) => in_text(said, text.trim(), program),
        None => in_arguments(said, program, image),
    }
}

/// Of a shell or interpreter with a text to run.
fn in_text(said: &Said, text: &str, program: &Program<'_>) -> Option<Part> {
    if text.len() < MIN_TEXT {
        return None;
    }
    // A request names a route whatever that does: `/convert` runs `convert`.
    let elaborate = text.contains(|c: char| c.is_whitespace() || ";|&$`<>(){}".contains(c));
    if said.text == text {
        return (!said.place.names() || elaborate).then_some(Part::Whole);
    }
    if stands_in(text, &said.text, elaborate) {
        return Some(Part::Within);
    }
    if !matches!(program.kind, super::program::Kind::Shell(_)) {
        return None;
    }
    let script = Script::of(text);
    let mut places = text.match_indices(said.text.as_str()).map(|(at, _)| at..at + said.text.len());
    places.find_map(|place| {
        let joint = script.joints.iter().any(|joint| place.contains(joint));
        let first = !said.place.names()
            && script.commands.iter().any(|command| command.at == place.start)
            && !text[place.end..].starts_with(|c: char| c.is_alphanumeric() || "-_./".contains(c));
        match (joint, first) {
            (true, _) => Some(Part::Joint),
            (_, true) => Some(Part::Program),
            _ => None,
        }
    })
}

/// Whether a command stands in a text as something of its own: between quotes or brackets, or as more than a word.
fn stands_in(command: &str, text: &str, elaborate: bool) -> bool {
    text.match_indices(command).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + command.len()..].chars().next();
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let quote = |c: Option<char>| c.is_some_and(|c| "'\"`".contains(c));
        quote(before) && quote(behind) || elaborate && edge(before) && edge(behind)
    })
}

/// Of a program with its arguments.
fn in_arguments(said: &Said, program: &Program<'_>, image: &Image) -> Option<Part> {
    let args = &image.args;
    let words = || said.text.split_whitespace().eq(args.iter().map(String::as_str));
    if args.len() > 1 && words() {
        return Some(Part::Whole);
    }
    let named = match program.kind {
        super::program::Kind::Shell(Told::File(file))
        | super::program::Kind::Interpreter(Told::File(file)) => {
            // `node server.js` may well be said somewhere: a path is no word.
            (said.text == file && file.contains('/')).then_some(file)
        }
        _ => [args.first(), Some(&image.file)]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .find(|name| *name == said.text),
    };
    if named.is_some() {
        return (!said.place.names()).then_some(Part::Program);
    }
    // `['ls', '-la']` in a template or a piece of code.
    let quoted = |arg: &String| arg.len() >= MIN_TEXT && stands_in(arg, &said.text, false);
    // In JSON every word is quoted.
    let json = said.text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"'));
    (!args.is_empty() && !json && args.iter().all(quoted)).then_some(Part::Within)
}

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let order = launched.order?;
    let what = match order.part {
        Part::Whole => "is the command",
        Part::Within => "holds the command",
        Part::Joint => "ends the server's command and begins another",
        Part::Program => "is the program",
    };
    let line = launched.line();
    // What stands around the command is none of the command: the rest of a form may hold passwords.
    let said = match (order.part, launched.program.text()) {
        (Part::Within, Some(text)) => text.trim(),
        (Part::Within, None) => &line,
        _ => &order.text,
    };
    let said = crate::span::redact(said);
    let shown = &said[..said.floor_char_boundary(200)];
    Some(Hit {
        rule: "process.command_from_request",
        severity: Severity::Critical,
        confidence: match order.part {
            Part::Within if order.text.len() > 4096 => Confidence::Probable,
            _ => Confidence::Confirmed,
        },
        title: format!("ran `{line}` because a request said so"),
        fact: format!("the request's {} {what}: `{shown}`", order.place.name()),
        techniques: &["T1190", "T1059", "T1505.003"],
    })
}

#[cfg(test)]
mod tests {
    use super::{super::launched::tests::scene, *};

    fn said(place: Place, text: &str) -> Said {
        Said { place, text: text.into() }
    }

    #[test]
    fn an_order_is_one() {
        let cases: &[(&[&str], Place, &str, Part)] = &[
            (&["sh", "-c", "id"], Place::Query, "id", Part::Whole),
            (&["sh", "-c", "id; uname -a"], Place::Content, "id; uname -a", Part::Whole),
            (&["bash", "-c", "ls -la"], Place::Path, "ls -la", Part::Whole),
            (&["sh", "-c", "id"], Place::Query, "{{cycler.os.popen('id').read()}}", Part::Within),
            (
                &["/bin/bash", "-c", "cat /etc/passwd"],
                Place::Field,
                "() { :;}; /bin/bash -c 'cat /etc/passwd'",
                Part::Within,
            ),
            (&["sh", "-c", "ping -c1 127.0.0.1; id"], Place::Query, "127.0.0.1; id", Part::Joint),
            (&["sh", "-c", "ping -c1 \"$(id)\""], Place::Query, "$(id)", Part::Joint),
            (&["sh", "-c", "ls /tmp && whoami"], Place::Query, "whoami", Part::Program),
            (&["sh", "-c", "nice id -u"], Place::Query, "nice id", Part::Program),
            (&["python3", "-c", "import os"], Place::Content, "import os", Part::Whole),
            (&["id"], Place::Query, "id", Part::Program),
            (&["ls", "-la", "/"], Place::Query, "ls  -la /", Part::Whole),
            (&["ls", "-la"], Place::Query, "{{popen(['ls', '-la'])}}", Part::Within),
            (&["php", "/srv/up/x.php"], Place::Query, "/srv/up/x.php", Part::Program),
        ];
        for (args, place, text, part) in cases {
            let order = order(&[said(*place, text)], &scene(args).image);
            assert_eq!(order.map(|order| order.part), Some(*part), "{args:?} {text}");
        }
    }

    #[test]
    fn data_is_none() {
        let cases: &[(&[&str], Place, &str)] = &[
            (&["sh", "-c", "convert 'a;b.png' c.png"], Place::Query, "a;b.png"),
            (&["sh", "-c", "convert a.png c.png"], Place::Query, "a.png"),
            (&["sh", "-c", "git log -n3 main"], Place::Query, "main"),
            (&["git", "log", "main"], Place::Query, "main"),
            (&["git", "log", "main"], Place::Path, "git"),
            (&["convert", "x"], Place::Path, "convert"),
            (&["sh", "-c", "convert x"], Place::Path, "convert"),
            (&["sh", "-c", "uptime"], Place::Query, "load,uptime,users"),
            (&["id"], Place::Query, "my id is 5"),
            (&["python3", "-c", "print(open('a.txt').read())"], Place::Query, "a.txt"),
            (&["node", "server.js"], Place::Query, "server.js"),
            (&["sh", "-c", "x"], Place::Query, "x"),
            (&["sh", "-c", "grep ';;' x"], Place::Query, ";;"),
        ];
        for (args, place, text) in cases {
            assert_eq!(order(&[said(*place, text)], &scene(args).image), None, "{args:?} {text}");
        }
    }

    #[test]
    fn what_stands_around_a_command_is_not_told() {
        let cases = [
            ("cmd='ls -la'&password=hunter2", "content holds the command: `ls -la`"),
            ("ls -la", "content is the command: `ls -la`"),
        ];
        for (text, fact) in cases {
            let mut scene = scene(&["sh", "-c", "ls -la"]);
            scene.order = order(&[said(Place::Content, text)], &scene.image);
            let hit = scene.judge(judge).expect("it fires");
            assert!(hit.fact.ends_with(fact), "{}", hit.fact);
        }
        let both =
            ["{{popen(['ls', '-la'])}}&password=hunter2", "ls -la"].map(|text| said(Place::Content, text));
        let image = scene(&["ls", "-la"]).image;
        assert_eq!(order(&both, &image).map(|order| order.part), Some(Part::Whole), "the shortest");
    }

    #[test]
    fn the_longest_text_says_most() {
        let image = scene(&["sh", "-c", "ls /srv; id -u"]).image;
        let all =
            [said(Place::Query, "ls"), said(Place::Content, "ls /srv; id -u"), said(Place::Field, "id")];
        assert_eq!(order(&all, &image).map(|order| order.place), Some(Place::Content));
    }
}
