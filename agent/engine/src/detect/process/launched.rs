//! A launch as the rules see it, and what they say of it.

pub use super::below::Below;
use super::{
    asked::Order,
    orders::Grade,
    program::{
        OWN_IMAGE, Program, asks_about_host, is_dropped, is_intrusion, is_reconnaissance, reads_secrets,
    },
};
use crate::{Confidence, ProcessFacts, Severity, Time, detect::Seen, launch::Image, tasks::Stamp};
use tracer_common::{AF_INET, AF_INET6, Descriptor, exec_flag};

const S_IFMT: u16 = 0o170_000;
const S_IFIFO: u16 = 0o010_000;
const S_IFSOCK: u16 = 0o140_000;
const S_IFCHR: u16 = 0o020_000;
/// Device numbers of terminals, as the kernel keeps them: 20 bits of minor number.
const MINOR_BITS: u32 = 20;
/// Major numbers of the ends of pseudo-terminals that programs have (Linux, `devices.txt`: 136 to 143).
const PTS: std::ops::RangeInclusive<u32> = 136..=143;

/// When a process was launched, for the one that has read requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While so many requests were open.
    InFlight(u32),
    /// While none was; milliseconds since the last one was answered, if any was.
    Idle(Option<u64>),
}

/// What is known of the connections on descriptors 0, 1 and 2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    /// Which of them this side began.
    pub outbound: [bool; 3],
    /// Which of them it accepted, and a request came on.
    pub serving: [bool; 3],
}

/// Bytes of the longest value in requests that may say what cannot be read; nothing of requests that are not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// Of those that it may be for; when it is for none, of those that the server has read.
    pub open: Option<usize>,
    /// The same of values that cannot be read, in those that it may be for.
    pub opaque: usize,
}

impl Room {
    /// Whether so many bytes have room for an order of `len`. Code and long lines may have been packed.
    fn holds(room: usize, len: usize) -> bool {
        const SHORTEST: usize = 2;
        const PLAIN: usize = 16;
        room >= (len / 2).max(len.min(PLAIN)).max(SHORTEST)
    }
}

/// A launch.
#[derive(Clone, Debug)]
pub struct Launched<'a> {
    /// The image.
    pub image: &'a Image,
    /// What kind of program it is.
    pub program: Program<'a>,
    /// Bits of [`exec_flag`](tracer_common::exec_flag).
    pub flags: u32,
    /// Descriptors 0, 1 and 2.
    pub descriptors: [Descriptor; 3],
    /// Which of them are connections.
    pub streams: Streams,
    /// When the first record came.
    pub began: Time,
    /// What to add to a time to get nanoseconds since the epoch.
    pub boot_to_unix_ns: u64,
    /// Whether the same process had this command line before.
    pub itself: bool,
    /// What is known of the process that has read requests.
    pub server: &'a ProcessFacts,
    /// What that was launched with, where it was seen.
    pub stamp: Option<Stamp>,
    /// Where it stands.
    pub below: Below,
    /// Bytes of the arguments of the one that forked it, if that was launched too.
    pub above: usize,
    /// When it was launched.
    pub when: When,
    /// How a request says the same.
    pub order: Option<&'a Order>,
    /// What the requests had room for that may have told the server to launch it.
    pub room: Room,
    /// Whether its service usually launches it for that route.
    pub seen: Seen,
    /// Whether a thread forked it that is older than the first request, and reads none: a timer's.
    pub timer: bool,
    /// Whether the same process was a program before that is no shell and was told of no library.
    pub wrapped: bool,
    /// Whether the program that forked it has the same file.
    pub beside: bool,
    /// Whether a program below the server was just told to make its file.
    pub made: bool,
    /// Whether the server launched the same before it had read any request.
    pub since_start: bool,
    /// Whether requests come to the server that cannot be read.
    pub unreadable: bool,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Name of the rule.
    pub rule: &'static str,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What happened, after "service: ".
    pub title: String,
    /// What was seen that says so.
    pub fact: String,
    /// MITRE ATT&CK techniques.
    pub techniques: &'static [&'static str],
}

impl Launched<'_> {
    /// The command line, as one would type it.
    pub fn line(&self) -> String {
        line(self.image)
    }

    /// Which of the descriptors 0, 1 and 2 lead to the network.
    pub fn network(&self) -> Vec<usize> {
        self.which(|d| d.mode & S_IFMT == S_IFSOCK && matches!(d.family, AF_INET | AF_INET6))
    }

    /// Which of them lead to a terminal that the server does not have itself.
    pub fn terminals(&self) -> Vec<usize> {
        // The server may be older than the tracer.
        let given = self.server.given.unwrap_or_default().terminals;
        let own = self.stamp.map_or(given, |stamp| stamp.devices);
        self.which(|d| {
            d.mode & S_IFMT == S_IFCHR && PTS.contains(&(d.rdev >> MINOR_BITS)) && !own.contains(&d.rdev)
        })
    }

    /// Whether it is known what the server was launched with.
    pub fn knows_server(&self) -> bool {
        self.stamp.is_some() || self.server.given.is_some()
    }

    /// Whether descriptor 0 is a pipe, or a socket on this node, that someone can type commands into.
    pub fn is_fed(&self) -> bool {
        let input = self.descriptors[0];
        input.mode & S_IFMT == S_IFIFO
            || input.mode & S_IFMT == S_IFSOCK && !matches!(input.family, AF_INET | AF_INET6)
    }

    fn which(&self, wanted: impl Fn(&Descriptor) -> bool) -> Vec<usize> {
        self.descriptors.iter().enumerate().filter(|(_, d)| wanted(d)).map(|(n, _)| n).collect()
    }

    /// Whether a shell or interpreter was told what to run, by an argument or on its standard input.
    pub fn takes_orders(&self) -> bool {
        self.program.takes_orders() && !self.is_helper()
    }

    /// Whether a request that it may be for had room to say all of it: one that had none has not.
    pub fn could_be_told(&self) -> bool {
        let named = self.order.is_some_and(|order| order.text.len() >= self.len());
        named || self.room.open.is_none_or(|room| Room::holds(room, self.len()))
    }

    /// Whether a request that it may be for says what cannot be read, and had room there to say all of it.
    pub fn could_be_hidden(&self) -> bool {
        self.order.is_none() && Room::holds(self.room.opaque, self.len())
    }

    /// Bytes of what it was told to run; of what tells it, when that was told itself.
    fn len(&self) -> usize {
        if let Below::Deeper { ordered: true } = self.below
            && self.above > 0
        {
            return self.above;
        }
        let words = || self.image.args.iter().map(|arg| arg.len() + 1).sum::<usize>().saturating_sub(1);
        match self.program.text() {
            Some(text) => text.len(),
            None if self.program.takes_orders() => 0,
            None => words(),
        }
    }

    /// Whether it was launched at the will of whoever speaks to the server: what a program of the application runs by
    /// itself, no request told it to; nor a timer that is older than the first request. What lets someone in does so
    /// below either; only what a program of the application builds, it may run.
    pub fn is_near(&self, grade: Grade) -> bool {
        let chosen = self.below == Below::Deeper { ordered: false };
        match grade {
            Grade::Enters => !chosen || !self.is_new(),
            _ => !chosen && !self.timer,
        }
    }

    /// Whether what only an intruder runs says that there is one.
    pub fn blames(&self, grade: Grade) -> bool {
        self.is_near(grade) && (grade > Grade::Anyones || self.could_be_told())
    }

    /// Whether it lets an intruder in or on.
    pub fn enters(&self) -> bool {
        super::orders::grade_of(&self.program) == Grade::Enters
            || self.is_intruders().is_some_and(|(grade, _)| grade == Grade::Enters)
    }

    /// Why nobody but an intruder runs it, whatever told it to.
    pub fn is_intruders(&self) -> Option<(Grade, &'static str)> {
        let Program { name, args, .. } = self.program;
        if is_reconnaissance(name, args) {
            Some((Grade::Looks, "it asks who it is, and who is there"))
        } else if reads_secrets(name, args) {
            Some((Grade::Looks, "it reads what opens accounts"))
        } else if asks_about_host(name, args) {
            Some((Grade::Anyones, "it asks where it is"))
        } else if is_intrusion(name, args) {
            Some((Grade::Enters, "it brings an intruder in"))
        } else if is_dropped(&self.image.file) && !self.itself {
            Some((Grade::Enters, "its file lies where no application has its own"))
        } else if self.is_new() {
            Some((Grade::Enters, "its file was written after the server was launched"))
        } else {
            None
        }
    }

    /// Whether the server has become another program, without a fork; one that serves a connection may become the
    /// script that it was asked for.
    pub fn has_become(&self) -> bool {
        let same = self.is_server_file() || self.is_called_as_server();
        let known = !self.server_file().is_empty();
        self.below == Below::Same && known && !same && self.flags & exec_flag::CGI == 0
    }

    /// Whether its file was written after the server was launched. A package keeps the times that its files were made
    /// with, so that an upgrade does not count; what was uploaded, fetched or compiled does.
    fn is_new(&self) -> bool {
        // One that is older than the tracer was launched before anything was seen.
        let since = self.stamp.map_or(self.began, |stamp| stamp.at);
        let since = since.0.saturating_add(self.boot_to_unix_ns) / 1_000_000_000;
        let known = self.made || self.is_server_file() || self.is_called_as_server();
        !known && self.image.written.is_some_and(|written| u64::from(written) > since)
    }

    /// Whether it is the server's own file and command line again: a worker, a reload, an upgrade. Whoever launches
    /// something chooses its arguments, so that they alone say nothing.
    pub fn is_server_again(&self) -> bool {
        let seen = self.stamp.is_some_and(|stamp| stamp.itself == self.image.itself());
        // What it is called is no argument of it (execve(2)).
        let known = !self.server.args.is_empty() && self.image.args.get(1..) == self.server.args.get(1..);
        (seen || known) && (self.is_server_file() || self.is_called_as_server())
    }

    /// Whether its file is the image of the server, by that path or by what the kernel calls it.
    pub fn is_server_file(&self) -> bool {
        let own = self.image.file == OWN_IMAGE && !matches!(self.below, Below::Deeper { .. });
        own || !self.image.file.is_empty() && self.image.file == self.server_file()
    }

    /// Whether its file has the name that the server was launched by: a link to its image, or a script that the
    /// kernel gave to an interpreter.
    fn is_called_as_server(&self) -> bool {
        let file = &self.image.file;
        let seen = self.stamp.is_some_and(|stamp| stamp.file == self.image.file_itself());
        // Of a script its arguments begin with the interpreter, and one option at most (execve(2)).
        let told = file.starts_with('/') && self.server.args.iter().take(3).any(|arg| arg == file);
        // `/usr/bin/python3` is a link to the `/usr/bin/python3.11` beside it.
        let beside = folder(file).is_some_and(|own| Some(own) == folder(self.server_file()))
            && alike(super::program::name(file), super::program::name(self.server_file()));
        seen || told || beside
    }

    /// Path of the server's image.
    fn server_file(&self) -> &str {
        self.server.exe.trim_end_matches(" (deleted)")
    }

    /// Whether it is what the server's own runtime runs as a helper.
    pub fn is_helper(&self) -> bool {
        let server = super::program::name(self.server_file());
        let own = super::program::name(&self.image.file);
        // The form says it all where the server is not known yet.
        let same = server.is_empty() || alike(server, own);
        same && self.program.text().is_some_and(super::program::is_multiprocessing)
    }

    /// Which of the descriptors, in words.
    pub fn standard(which: &[usize]) -> String {
        const NAMES: [&str; 3] = ["input", "output", "error"];
        which.iter().filter_map(|n| NAMES.get(*n).copied()).collect::<Vec<_>>().join(", ")
    }
}

/// Whether two names are versions of one program: `python3`, `python3.11`.
fn alike(a: &str, b: &str) -> bool {
    let bare = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    a[..bare(a)] == b[..bare(b)]
}

/// The folder of an absolute path.
fn folder(path: &str) -> Option<&str> {
    path.starts_with('/').then(|| path.rsplit_once('/'))?.map(|(folder, _)| folder)
}

/// A command line, as one would type it, cut to what a title can hold.
pub fn line(image: &Image) -> String {
    line_of(image, 160)
}

/// The same, cut to as many bytes as one fact can hold beside others.
pub fn long_line(image: &Image) -> String {
    line_of(image, 800)
}

fn line_of(image: &Image, most: usize) -> String {
    let mut line = String::new();
    // A title that a process gave itself leaves its other arguments empty.
    let empty = image.args.iter().rev().take_while(|arg| arg.is_empty()).count();
    for arg in &image.args[..image.args.len() - empty] {
        let quoted =
            arg.is_empty() || arg.contains(|c: char| c.is_whitespace() || "'\"`$;&|<>()".contains(c));
        line.push_str(if line.is_empty() { "" } else { " " });
        match quoted {
            true if arg.contains('\'') => line.push_str(&format!("\"{arg}\"")),
            true => line.push_str(&format!("'{arg}'")),
            false => line.push_str(arg),
        }
        if line.len() > most {
            line.truncate(line.floor_char_boundary(most));
            line.push('…');
            break;
        }
    }
    if line.is_empty() { image.file.clone() } else { line }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A launch for the tables of cases: a child of a gunicorn, with one request open and pipes for its output.
    #[derive(Clone, Debug)]
    pub struct Scene {
        pub image: Image,
        pub server: ProcessFacts,
        pub order: Option<Order>,
        pub launched: fn(&mut Launched<'_>),
    }

    pub fn words(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    pub fn scene(args: &[&str]) -> Scene {
        let file = args.first().map_or(String::new(), |arg| match arg.starts_with('/') {
            true => (*arg).to_owned(),
            false => format!("/usr/bin/{arg}"),
        });
        let image = Image {
            file,
            args: words(args),
            comm: String::new(),
            parent_pid: 20,
            uid: 33,
            euid: 33,
            fileless: None,
            written: None,
        };
        let server = ProcessFacts {
            pid: 20,
            exe: "/usr/bin/python3.11".into(),
            args: words(&["/usr/bin/python3", "/usr/bin/gunicorn", "app:app"]),
            ..ProcessFacts::default()
        };
        Scene { image, server, order: None, launched: |_| {} }
    }

    impl Scene {
        /// Changes what is known of it.
        pub fn with(mut self, launched: fn(&mut Launched<'_>)) -> Self {
            self.launched = launched;
            self
        }

        /// What a rule says of it.
        pub fn judge(&self, judge: fn(&Launched<'_>) -> Option<Hit>) -> Option<Hit> {
            self.ask(judge)
        }

        /// What is asked of it.
        pub fn ask<T>(&self, ask: impl Fn(&Launched<'_>) -> T) -> T {
            let mut launched = Launched {
                image: &self.image,
                program: Program::of(&self.image),
                flags: 0,
                descriptors: [null(), pipe(), pipe()],
                streams: Streams::default(),
                began: Time(600_000_000_000),
                boot_to_unix_ns: 1_000_000_000_000,
                itself: false,
                server: &self.server,
                stamp: Some(Stamp::default()),
                below: Below::Child,
                above: 0,
                when: When::InFlight(1),
                order: self.order.as_ref(),
                room: Room::default(),
                seen: Seen::Cold,
                timer: false,
                wrapped: false,
                beside: false,
                made: false,
                since_start: false,
                unreadable: false,
            };
            (self.launched)(&mut launched);
            ask(&launched)
        }

        pub fn severity(&self, judge: fn(&Launched<'_>) -> Option<Hit>) -> Option<Severity> {
            self.judge(judge).map(|hit| hit.severity)
        }
    }

    pub fn null() -> Descriptor {
        Descriptor { mode: S_IFCHR | 0o666, rdev: 1 << MINOR_BITS | 3, ..Descriptor::default() }
    }

    pub fn pipe() -> Descriptor {
        Descriptor { mode: S_IFIFO | 0o600, inode: 7, ..Descriptor::default() }
    }

    pub fn inet() -> Descriptor {
        Descriptor { mode: S_IFSOCK | 0o777, family: AF_INET, inode: 8, sock: 9, ..Descriptor::default() }
    }

    pub fn unix() -> Descriptor {
        Descriptor { mode: S_IFSOCK | 0o777, family: 1, inode: 8, sock: 9, ..Descriptor::default() }
    }

    pub fn pts(minor: u32) -> Descriptor {
        Descriptor { mode: S_IFCHR | 0o620, rdev: 136 << MINOR_BITS | minor, ..Descriptor::default() }
    }

    #[test]
    fn who_is_the_server_again() {
        let again = |file: &str, launched: fn(&mut Launched<'_>)| {
            let mut scene = scene(&["/usr/bin/python3", "/usr/bin/gunicorn", "app:app"]).with(launched);
            scene.image.file = file.into();
            scene
                .judge(|launched| {
                    launched.is_server_again().then(|| {
                        super::super::remote_shell::hit(String::new(), String::new(), Confidence::Confirmed)
                    })
                })
                .is_some()
        };
        for own in ["/usr/bin/python3.11", "/usr/bin/python3", "/usr/bin/gunicorn", "/proc/self/exe"] {
            assert!(again(own, |_| {}), "{own}");
        }
        for other in ["/tmp/python3", "/dev/shm/x", "/usr/bin/perl", "./python3", "/proc/7/exe", ""] {
            assert!(!again(other, |_| {}), "{other}");
        }
        let deeper = |l: &mut Launched<'_>| l.below = Below::Deeper { ordered: true };
        assert!(!again("/proc/self/exe", deeper), "the image of another program");
    }

    #[test]
    fn a_command_line_as_one_types_it() {
        assert_eq!(line(&scene(&["sh", "-c", "id; ls"]).image), "sh -c 'id; ls'");
        assert_eq!(line(&scene(&["pool www", "", ""]).image), "'pool www'");
        assert_eq!(line(&scene(&["sh", "-c", "echo 'x'"]).image), "sh -c \"echo 'x'\"");
        assert!(line(&scene(&["x", &"é".repeat(500)]).image).len() < 400);
    }
}
