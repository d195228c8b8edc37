//! How a text of a request says what is run.
//!
//! Data of a request as an argument of a program is everyday. As the text that a shell runs, as a command in it
//! or as the program itself it is an order, whoever meant to take it.

use super::{
    names::{AROUND, STATE},
    program::{Kind, Program, Told, is_dropped},
    said::{Place, Said},
    sealed::Sealed,
    shell::Script,
    standing::{
        MIN_TEXT, is_command_in, is_listed_in, is_quoted_in, is_typed, is_word_in, may_be_command_in,
        stands_in,
    },
};
use crate::launch::Image;
use memchr::memmem::Finder;
use std::{
    cell::{Cell, OnceCell},
    cmp::Reverse,
};

/// Most words of a command line that are looked for one by one, places of one text in it that are looked at, and bytes of
/// the texts of one request that are read as a shell reads them: what a launch costs is bounded, whatever strangers say.
const MAX_WORDS: usize = 64;
const MAX_PLACES: usize = 64;
const MAX_PARSED: usize = 32 * 1024;
/// Where a system has its programs, rather than an application its own (FHS 3.0, 3.4, 3.16, 4.4 and 4.10).
const SYSTEM: &[&str] = &["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"];
/// Fewest bytes of a command that may have been cut, less than are kept of arguments.
const MIN_CUT: usize = 1024;
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

impl Order {
    /// Whether it is an order, rather than a name.
    pub fn is_one(&self) -> bool {
        self.part != Part::Name
    }
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
    /// It is the command once a short key is taken off.
    Sealed,
    /// It is the name of a program of the application's, which it may choose by that.
    Name,
}

/// The text of a request that says most of what an image runs.
pub fn order(said: &Said, image: &Image) -> Option<Order> {
    let mut ordered = Ordered::of(image);
    said.iter().for_each(|(place, text)| ordered.compare(place, text));
    ordered.unseal(&said.sealed);
    ordered.decided()
}

/// An image, and the text that says most of what it runs.
struct Ordered<'a> {
    image: &'a Image,
    program: Program<'a>,
    /// Bytes of its arguments.
    len: usize,
    /// The text that it runs, as it is looked for, and whether that is more than a word.
    text: Option<(Finder<'a>, &'a str, bool)>,
    script: OnceCell<Script>,
    /// Its arguments in one line.
    line: OnceCell<String>,
    /// Bytes of texts that were read as a shell reads them.
    parsed: Cell<usize>,
    best: Option<Order>,
    /// Which of its words are values of the request, a bit for each of the first.
    words: u32,
}

impl<'a> Ordered<'a> {
    fn of(image: &'a Image) -> Self {
        let len = image.args.iter().map(String::len).sum();
        let program = Program::of(image);
        let text = program.text().map(str::trim).map(|text| {
            let elaborate = text.contains(|c: char| c.is_whitespace() || ";|&$`<>(){}".contains(c));
            (Finder::new(text.as_bytes()), text, elaborate)
        });
        let (script, line, parsed) = (OnceCell::new(), OnceCell::new(), Cell::new(0));
        Self { image, program, len, text, script, line, parsed, best: None, words: 0 }
    }

    /// Of several that say the same the shortest: least is around it. A name says less than any order.
    fn compare(&mut self, place: Place, text: &str) {
        if !place.names() {
            let all = self.image.args.iter().take(32).enumerate();
            self.words |= all.filter(|(_, word)| *word == text).fold(0, |bits, (n, _)| bits | 1 << n);
        }
        if text.len() < MIN_TEXT {
            return;
        }
        let bits = (BITS.0 + BITS.1 * text.len().min(self.len) as f64).min(BITS.2);
        let rank = |part: Part, bits: f64, text: &str| (part != Part::Name, bits, Reverse(text.len()));
        let best = self.best.as_ref().map(|best| rank(best.part, best.bits, &best.text));
        // Most texts need not be looked for.
        if best.is_some_and(|best| rank(Part::Whole, bits, text) <= best) {
            return;
        }
        if let Some(part) = self.part(place, text)
            && best.is_none_or(|best| rank(part, bits, text) > best)
        {
            self.best = Some(Order { place, part, text: text.to_owned(), bits });
        }
    }

    /// What cannot be read, where nothing that can says as much.
    fn unseal(&mut self, sealed: &Sealed) {
        if self.best.as_ref().is_some_and(Order::is_one) {
            return;
        }
        let command = match self.text {
            Some((_, text, _)) => text.to_owned(),
            None => self.image.args.join(" "),
        };
        if let Some(place) = sealed.holds(&command) {
            let bits = (BITS.0 + BITS.1 * command.len() as f64).min(BITS.2);
            self.best = Some(Order { place, part: Part::Sealed, text: command, bits });
        }
    }

    /// The order, if it is one. Who types says each word, too.
    fn decided(mut self) -> Option<Order> {
        let (name, args) = (self.program.name, self.program.args);
        let all = self.image.args.len() <= 32 && self.words.count_ones() as usize == self.image.args.len();
        if let Some(best) = self.best.as_mut().filter(|best| all && !best.is_one())
            && is_typed(name, args)
        {
            best.part = Part::Program;
        }
        self.best
    }

    fn part(&self, place: Place, said: &str) -> Option<Part> {
        let part = match &self.text {
            Some((finder, text, elaborate)) => self.in_text(place, said, finder, text, *elaborate),
            None => self.in_arguments(place, said),
        };
        part.filter(|_| said.contains(|c: char| c.is_alphanumeric()))
    }

    /// Of a shell or interpreter with a text to run.
    fn in_text(
        &self,
        place: Place,
        said: &str,
        finder: &Finder<'_>,
        text: &str,
        elaborate: bool,
    ) -> Option<Part> {
        if text.len() < MIN_TEXT {
            return None;
        }
        // A request names a route whatever that does: `/convert` runs `convert`.
        if said == text {
            let chosen = place.names() || is_choice(text, None);
            return Some(if elaborate || !chosen { Part::Whole } else { Part::Name });
        }
        // One that was cut is as much of it as the kernel side keeps.
        if text.len() >= MIN_CUT && said.starts_with(text) {
            return Some(Part::Whole);
        }
        if said.len() >= text.len() {
            let found = finder.find(said.as_bytes()).is_some() && stands_in(text, said);
            return found.then_some(Part::Within);
        }
        if !matches!(self.program.kind, Kind::Shell(_)) {
            return None;
        }
        let places = text.match_indices(said).take(MAX_PLACES);
        let mut places = places.map(|(at, _)| at..at + said.len()).peekable();
        places.peek()?;
        let script = self.script.get_or_init(|| Script::of(text));
        places.find_map(|within| {
            let next = script.joints.partition_point(|joint| *joint < within.start);
            let joint = script.joints.get(next).is_some_and(|joint| within.contains(joint));
            let first = !place.names()
                && script.commands.iter().any(|command| command.at == within.start)
                && !text[within.end..].starts_with(|c: char| c.is_alphanumeric() || "-_./".contains(c));
            let command = || script.commands.iter().find(|command| command.at == within.start);
            match (joint, first) {
                (true, _) => Some(Part::Joint),
                (_, true) => {
                    let alone = script.commands.len() == 1 && place != Place::Field;
                    Some(command().map_or(Part::Program, |command| named(said, &command.words, alone, None)))
                }
                _ => None,
            }
        })
    }

    /// Of a program with its arguments.
    fn in_arguments(&self, place: Place, said: &str) -> Option<Part> {
        let args = &self.image.args;
        if args.len() > 1 && said.split_whitespace().eq(args.iter().map(String::as_str)) {
            return Some(Part::Whole);
        }
        let is_it = match self.program.kind {
            // `node server.js`, `python3 jobs/daily.py` may well be said somewhere: a place in the file system is no
            // name that an application gives to its own.
            Kind::Shell(Told::File(file)) | Kind::Interpreter(Told::File(file)) => {
                said == file && file.starts_with('/')
            }
            _ => said == self.image.file || args.first().is_some_and(|arg| arg == said),
        };
        if is_it {
            let part = match self.program.interprets() {
                true => Part::Program,
                false => named(said, args, place != Place::Field, Some(&self.image.file)),
            };
            return (!place.names()).then_some(part);
        }
        if said.starts_with('-') && is_word_in(self.line.get_or_init(|| args.join(" ")), said) {
            return Some(Part::Within);
        }
        if args.len() > MAX_WORDS {
            return None;
        }
        if args.len() > 1 && is_listed_in(args, said) {
            return Some(Part::Within);
        }
        if self.parsed.get() < MAX_PARSED && may_be_command_in(self.program.name, args, said) {
            self.parsed.set(self.parsed.get() + said.len());
            if is_command_in(args, said) {
                return Some(Part::Within);
            }
        }
        // `['ls', '-la']` in a template or a piece of code.
        let quoted = |arg: &String| arg.len() >= MIN_TEXT && is_quoted_in(arg, said);
        // In JSON every word is quoted.
        let json = said.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"'));
        (!args.is_empty() && !json && args.iter().all(quoted)).then_some(Part::Within)
    }
}

/// Whether a word chooses among the application's programs, rather than to bring a command: it is neither a place in the
/// file system nor what one types at a prompt, and no program of the system's has that name, as far as its `file` is
/// known. Of what a shell is told, the shell's own launch shows that.
fn is_choice(said: &str, file: Option<&str>) -> bool {
    let systems = |file: &str| SYSTEM.iter().any(|folder| file.strip_prefix(folder) == Some(said));
    let typed = is_typed(said, &[]) || AROUND.contains(&said) || STATE.contains(&said);
    !typed
        && !said.contains(|c: char| c == '/' || c.is_whitespace())
        && file.is_none_or(|file| !systems(file) && !is_dropped(file))
}

/// What a text says that is the program of a command with these words. `?tool=convert` chooses among the programs of
/// an application, which gives it arguments; all of a command, or a place in the file system, is chosen by nobody else.
/// Fields of every request have such names, too (`Accept-Encoding: gzip`);
/// `alone` says that no other command stands beside it, and that it is none of these; `file` is what it turned out to be.
fn named(said: &str, words: &[String], alone: bool, file: Option<&str>) -> Part {
    let args = words.get(1..).unwrap_or_default();
    match said {
        _ if args.is_empty() && is_choice(said, file) => Part::Name,
        _ if args.is_empty() && alone => Part::Whole,
        _ if said.contains(|c: char| c == '/' || c.is_whitespace()) => Part::Program,
        _ => Part::Name,
    }
}

#[cfg(test)]
pub mod tests {
    use super::{
        super::{command_from_request::judge, launched::tests::scene},
        *,
    };

    pub fn order(said: &[(Place, &str)], image: &Image) -> Option<Order> {
        let mut ordered = Ordered::of(image);
        said.iter().for_each(|(place, text)| ordered.compare(*place, text));
        ordered.decided()
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
            (&["sh", "-c", "ls -la"], Place::Content, "<s><string>ls -la</string></s>", Part::Within),
            (&["sh", "-c", "ls -la"], Place::Content, "a=1&c=ls -la", Part::Within),
            (&["sh", "-c", "id"], Place::Content, "<string>id</string>", Part::Within),
            (&["sh", "-c", "id; uname -a"], Place::Content, "x id; uname -a x", Part::Within),
            (&["sh", "-c", "ping -c1 127.0.0.1; id"], Place::Query, "127.0.0.1; id", Part::Joint),
            (&["sh", "-c", "ping -c1 \"$(id)\""], Place::Query, "$(id)", Part::Joint),
            (&["sh", "-c", "nice id -u"], Place::Query, "nice id", Part::Program),
            (&["python3", "-c", "import os"], Place::Content, "import os", Part::Whole),
            (&["sh", "-c", "ls 2>&1"], Place::Query, "ls", Part::Whole),
            (&["sh", "-c", "uptime 2>&1"], Place::Query, "uptime", Part::Whole),
            (&["sh", "-c", "ping -c1 x |id"], Place::Query, "|id", Part::Joint),
            (&["sh", "-c", "convert $(id) x"], Place::Query, "$(id)", Part::Joint),
            (&["sh", "-c", "id"], Place::Query, "--checkpoint-action=exec=id", Part::Within),
            (&["id"], Place::Content, "-exec id ;", Part::Within),
            (&["touch", "x"], Place::Query, "-exec touch x ;", Part::Within),
            (&["id"], Place::Query, "id", Part::Whole),
            (&["uptime"], Place::Query, "uptime", Part::Whole),
            (&["/srv/up/x", "-a"], Place::Query, "/srv/up/x", Part::Program),
            (&["ls", "-la", "/"], Place::Query, "ls  -la /", Part::Whole),
            (&["ls", "-la"], Place::Query, "{{popen(['ls', '-la'])}}", Part::Within),
            (&["df", "-h"], Place::Content, "{\"args\": [\"df\", \"-h\"]}", Part::Within),
            (&["df", "-h"], Place::Content, "!!python/object/apply:x [[df, -h]]", Part::Within),
            (&["php", "/srv/up/x.php"], Place::Query, "/srv/up/x.php", Part::Program),
            (&["ps", "aux"], Place::Query, "|ps aux", Part::Within),
            (&["make", "all"], Place::Query, "make all |", Part::Within),
            (&["id"], Place::Content, "#!/bin/sh\nid\n", Part::Within),
            (&["make", "all"], Place::Content, "#!/bin/bash -e\n# all\nmake all # 1\ncat x", Part::Within),
            (&["ps"], Place::Query, "df -h; ps", Part::Within),
            (&["df", "-h"], Place::Path, "df -h; ps", Part::Within),
            (&["ls", "-la"], Place::Content, "IO.popen(%w[ls -la]).read", Part::Within),
        ];
        for (args, place, text, part) in cases {
            let order = order(&[(*place, text)], &scene(args).image);
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
            (&["sh", "-c", "make test"], Place::Content, "fix make test"),
            (&["sh", "-c", "make test"], Place::Content, "make test passes again"),
            (&["sh", "-c", "make test"], Place::Content, "please run make test, then push"),
            (&["make", "test"], Place::Content, "'make' it so"),
            (&["convert", "a", "b"], Place::Path, "convert"),
            (&["git", "log"], Place::Content, "{\"tool\": \"git\", \"verb\": \"log\"}"),
            (&["git", "log"], Place::Query, "git,log"),
            (&["make", "test"], Place::Content, "fix the build; make test"),
            (&["make", "test"], Place::Content, "[make test] is slow"),
            (&["id"], Place::Content, "name\nid\nprice"),
            (&["id"], Place::Content, "#!/bin/sh\n# id\necho id"),
            (&["ps", "aux"], Place::Content, "ps aux is all that it runs"),
            (&["python3", "jobs/daily.py"], Place::Query, "jobs/daily.py"),
            (&["tar", "-x"], Place::Query, "-x"),
            (
                &["sh", "-c", "make test"],
                Place::Content,
                "--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nplease run make test, then push\r\n--b--",
            ),
            (&["sh", "-c", "x"], Place::Query, "x"),
            (&["sh", "-c", "grep ';;' x"], Place::Query, ";;"),
        ];
        for (args, place, text) in cases {
            assert_eq!(order(&[(*place, text)], &scene(args).image), None, "{args:?} {text}");
        }
    }

    #[test]
    fn who_brings_a_command_names_what_the_system_has() {
        let cases = [
            ("/opt/app/reindex", "reindex", Part::Name),
            ("/usr/local/bin/reindex", "reindex", Part::Name),
            ("/usr/bin/reindex", "reindex", Part::Whole),
            ("/opt/busybox/ls", "ls", Part::Whole),
            ("/opt/app/reindex", "/opt/app/reindex", Part::Whole),
            ("/tmp/reindex", "reindex", Part::Whole),
        ];
        for (file, said, part) in cases {
            let mut image = scene(&[said]).image;
            image.file = file.into();
            let found = order(&[(Place::Query, said)], &image).map(|order| order.part);
            assert_eq!(found, Some(part), "{file} {said}");
        }
        for (text, part) in [("reindex", Part::Name), ("uptime", Part::Whole), ("reindex -a", Part::Whole)] {
            let found = order(&[(Place::Query, text)], &scene(&["sh", "-c", text]).image);
            assert_eq!(found.map(|order| order.part), Some(part), "{text}");
        }
    }

    #[test]
    fn what_a_launch_costs_is_bounded() {
        let words: Vec<String> = (0..2000).map(|n| format!("'w{n}'")).collect();
        let all = words.join("|");
        let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = "a;".repeat(2000);
        let image = scene(&["sh", "-c", &text]).image;
        args.insert(0, "x");
        let many = scene(&args).image;
        for n in 0..2000 {
            let said = [all.as_str(), &text[..n + 2]].map(|said| (Place::Content, said));
            order(&said, &image);
            assert_eq!(order(&said, &many).map(|order| order.part), None);
        }
    }

    #[test]
    fn an_application_chooses_its_programs_by_their_names() {
        let cases: &[(&[&str], Place, &str)] = &[
            (&["convert", "a", "b"], Place::Query, "convert"),
            (&["sh", "-c", "convert a b | head"], Place::Query, "convert"),
            (&["git", "log", "-n1"], Place::Content, "git"),
            (&["gzip"], Place::Field, "gzip"),
            (&["sh", "-c", "touch /srv/restart"], Place::Query, "touch"),
            (&["sh", "-c", "ls /tmp && whoami"], Place::Query, "whoami"),
            (&["curl", "-s", "http://upstream/"], Place::Query, "curl"),
            (&["sh", "-c", "tar -c x | gzip"], Place::Query, "gzip"),
        ];
        for (args, place, text) in cases {
            let mut scene = scene(args);
            scene.order = order(&[(*place, text)], &scene.image);
            assert_eq!(scene.order.as_ref().map(|order| order.part), Some(Part::Name), "{args:?} {text}");
            assert_eq!(scene.judge(judge), None, "{args:?} {text}");
        }
        let image = scene(&["cat", "/etc/issue"]).image;
        let both = [(Place::Query, "cat"), (Place::Query, "/etc/issue")];
        assert_eq!(order(&both, &image).map(|order| order.part), Some(Part::Program), "each word");
        let image = scene(&["sh", "-c", "convert a; id"]).image;
        let both = [(Place::Query, "convert"), (Place::Query, "; id")];
        assert_eq!(order(&both, &image).map(|order| order.part), Some(Part::Joint), "an order says more");
    }

    #[test]
    fn a_command_that_was_cut_is_the_begin_of_what_was_said() {
        let cut = format!(": {}", "a".repeat(2000));
        let said = format!("{cut}aaa; cat /etc/hosts");
        let part =
            |args: &[&str]| order(&[(Place::Query, &*said)], &scene(args).image).map(|order| order.part);
        assert_eq!(part(&["sh", "-c", &cut]), Some(Part::Whole));
        assert_eq!(part(&["sh", "-c", ": a"]), None);
    }

    #[test]
    fn the_longest_text_says_most() {
        let image = scene(&["sh", "-c", "ls /srv; id -u"]).image;
        let all = [(Place::Query, "ls"), (Place::Content, "ls /srv; id -u"), (Place::Field, "id")];
        assert_eq!(order(&all, &image).map(|order| order.place), Some(Place::Content));
    }
}
