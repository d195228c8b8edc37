//! What kind of program an image is, by its file and arguments.

use super::names::{
    ASKED_BY_RUNTIMES, AWK_ORDERS, AWKS, HOST, INTERPRETERS, INTRUSION, MANY_IN_ONE, RECONNAISSANCE, SECRETS,
    SHELLS,
};
pub use super::told::Told;
use super::told::{interpreter, shell};
use crate::launch::Image;

/// Folders that hold no file of an application: memory, and descriptors.
const DROPS: &[&str] = &["/dev/shm/", "/run/shm/", "/dev/fd/", "/proc/"];
/// Folders in which anyone may put a file (FHS 3.0, 3.18 and 5.15); one below them belongs to who made it.
const ANYONES: &[&str] = &["/tmp/", "/var/tmp/"];
/// What the kernel calls the image of whoever asks: what runtimes execute to run another of themselves.
pub const OWN_IMAGE: &str = "/proc/self/exe";

/// What kind of program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A shell.
    Shell(Told<'a>),
    /// An interpreter of a language.
    Interpreter(Told<'a>),
    /// Any other.
    Other,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What kind it is.
    pub kind: Kind<'a>,
    /// Its arguments.
    pub args: &'a [String],
}

impl<'a> Program<'a> {
    /// What an image is. A script that is run by its own name is a program like any other, whatever its first
    /// line says: nobody tells it what to run.
    pub fn of(image: &'a Image) -> Self {
        Self::told(&image.file, &image.args)
    }

    /// The same of a file, with its arguments.
    pub fn told(file: &'a str, args: &'a [String]) -> Self {
        let called = args.first().map_or("", |arg| name(arg).trim_start_matches('-'));
        let (mut own, mut rest) = (name(file), args.get(1..).unwrap_or_default());
        if MANY_IN_ONE.contains(&own) {
            match rest.split_first() {
                Some((applet, behind)) if MANY_IN_ONE.contains(&called) => {
                    (own, rest) = (name(applet), behind)
                }
                _ => own = called,
            }
        }
        // A copy of a shell under another name, or one that has none.
        let known = [own, called].into_iter().find(|name| SHELLS.contains(name));
        if let Some(called) = known.filter(|known| *known == own || !file.contains(&format!("/{known}."))) {
            // Of a script, `called` is the interpreter of its first line, and the script the first argument.
            let by_own_name = called != own && rest.iter().any(|arg| arg == file) && !is_dropped(file);
            if !by_own_name {
                return Self { name: called, kind: Kind::Shell(shell(rest)), args: rest };
            }
        }
        let kind = match INTERPRETERS.iter().find(|known| is_version_of(own, known.name)) {
            Some(known) => Kind::Interpreter(interpreter(rest, known)),
            None if AWKS.contains(&own) => awk(rest),
            None => Kind::Other,
        };
        Self { name: own, kind, args: rest }
    }

    /// Whether it does what it is told by whoever launched it, other than by a file of the application.
    pub fn takes_orders(&self) -> bool {
        matches!(
            self.kind,
            Kind::Shell(Told::Text(_) | Told::Input) | Kind::Interpreter(Told::Text(_) | Told::Input)
        )
    }

    /// Whether it may run anything, and nothing in its arguments says what.
    pub fn is_free(&self) -> bool {
        self.takes_orders() && !matches!(self.kind, Kind::Shell(Told::Text(_)))
    }

    /// Whether it is a shell or an interpreter.
    pub fn interprets(&self) -> bool {
        self.kind != Kind::Other
    }

    /// The text that it runs.
    pub fn text(&self) -> Option<&'a str> {
        match self.kind {
            Kind::Shell(Told::Text(text)) | Kind::Interpreter(Told::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it is a shell that reads its commands from its standard input.
    pub fn reads_commands(&self) -> bool {
        self.kind == Kind::Shell(Told::Input)
    }
}

/// Whether a program tells who runs it, or who else is there.
pub fn is_reconnaissance(command: &str, args: &[String]) -> bool {
    let command = name(command);
    RECONNAISSANCE.contains(&command) && !is_asked_by_runtimes(command, args)
}

/// Whether a program shows what opens accounts, its own environment included; applications have no use for that.
pub fn reads_secrets(command: &str, args: &[String]) -> bool {
    // With a program, `env` runs that.
    name(command) == "env" && args.is_empty() || args.iter().any(|arg| is_secret(arg))
}

/// Whether a file names the accounts of a host or what opens them, or holds a process's secrets.
pub fn is_secret(file: &str) -> bool {
    file.starts_with('/') && SECRETS.iter().any(|secret| file.ends_with(secret))
}

/// Whether a program tells about its host, other than a runtime asks.
pub fn asks_about_host(command: &str, args: &[String]) -> bool {
    let command = name(command);
    HOST.contains(&command) && !is_asked_by_runtimes(command, args)
}

fn is_asked_by_runtimes(command: &str, args: &[String]) -> bool {
    ASKED_BY_RUNTIMES
        .iter()
        .any(|form| form[0] == command && args.iter().map(String::as_str).eq(form[1..].iter().copied()))
}

/// Whether a program brings an intruder in or on. To ask whether a port is open (`nc -z`) does not; to let others in
/// behind it, or all through it, does (`ssh -R`, `-D`, `-w`).
pub fn is_intrusion(command: &str, args: &[String]) -> bool {
    // Letters of options, up to the first that takes a file or a word of its own.
    let has = |wanted: &[char]| {
        args.iter().any(|arg| {
            let letters = arg.strip_prefix('-').unwrap_or_default();
            letters
                .chars()
                .take_while(|c| c.is_alphabetic() && !"oiFlp".contains(*c))
                .any(|c| wanted.contains(&c))
        })
    };
    match name(command) {
        "ssh" => has(&['R', 'D', 'w']),
        // To list what there is plants nothing.
        "crontab" => args.iter().any(|arg| arg == "-" || !arg.starts_with('-')),
        command => INTRUSION.contains(&command) && !has(&['z']),
    }
}

/// The form in which Python's `multiprocessing`, and what is made after it (`billiard`, `loky`, `multiprocess`),
/// runs its own helpers: code that is the same but for numbers and what they are handed (`get_command_line` in
/// `spawn.py`, `resource_tracker.py`, `forkserver.py`).
pub fn is_multiprocessing(text: &str) -> bool {
    const FORMS: &[(&str, &str)] = &[
        ("spawn", "spawn_main"),
        ("forkserver", "main"),
        ("resource_tracker", "main"),
        ("semaphore_tracker", "main"),
    ];
    let Some((path, rest)) = text.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) else {
        return false;
    };
    let Some((package, module)) = path.rsplit_once('.') else { return false };
    if !package.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_')) {
        return false;
    }
    FORMS.iter().filter(|(known, _)| *known == module).any(|(_, function)| {
        let values = rest
            .strip_prefix(function)
            .and_then(|rest| rest.strip_prefix(';'))
            .and_then(|rest| rest.trim_start().strip_prefix(function))
            .and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
        // Values only: nothing is called in them.
        values.is_some_and(|values| !values.contains(['(', ')', ';', '\n']))
    })
}

/// Whether a file lies where no application has its own.
pub fn is_dropped(file: &str) -> bool {
    file != OWN_IMAGE && DROPS.iter().any(|drop| file.starts_with(drop)) || is_anyones(file)
}

/// Whether a file lies where anyone may put one. Applications put scripts there that they make, but no programs.
pub fn is_anyones(file: &str) -> bool {
    ANYONES.iter().any(|folder| file.strip_prefix(folder).is_some_and(|rest| !rest.contains('/')))
}

/// A path's last part.
pub fn name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// `python3.11` is a version of `python`.
fn is_version_of(name: &str, known: &str) -> bool {
    name.strip_prefix(known)
        .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-')))
}

/// Of an awk, what its program says. Most say nothing that another program would not.
fn awk(args: &[String]) -> Kind<'_> {
    let orders = |arg: &&String| AWK_ORDERS.iter().any(|order| arg.contains(order));
    args.iter().find(orders).map_or(Kind::Other, |text| Kind::Interpreter(Told::Text(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn who_runs_what() {
        use Kind::{Interpreter, Other, Shell};
        use Told::{File, Input, Text};
        let cases: &[(&str, &[&str], Kind<'_>)] = &[
            ("/bin/sh", &["sh", "-c", "id"], Shell(Text("id"))),
            ("/bin/sh", &["sh", "-c", "--", "id"], Shell(Text("id"))),
            ("/bin/bash", &["-bash"], Shell(Input)),
            ("/bin/bash", &["bash", "-i"], Shell(Input)),
            ("/bin/bash", &["bash", "--norc", "-o", "pipefail", "-lec", "id"], Shell(Text("id"))),
            ("/bin/sh", &["sh", "-s", "x"], Shell(Input)),
            ("/bin/sh", &["sh", "/srv/job.sh", "-c"], Shell(File("/srv/job.sh"))),
            ("/tmp/kworker", &["sh", "-c", "id"], Shell(Text("id"))),
            ("/bin/busybox", &["busybox", "sh", "-c", "id"], Shell(Text("id"))),
            ("/bin/busybox", &["ash"], Shell(Input)),
            ("/bin/busybox", &["ls", "-c"], Other),
            // A script by its own name: the kernel puts the interpreter of its first line before it.
            ("/srv/cgi/hello.sh", &["/bin/sh", "/srv/cgi/hello.sh"], Other),
            ("/dev/shm/x", &["/bin/sh", "/dev/shm/x"], Shell(File("/dev/shm/x"))),
            ("/usr/bin/env", &["env", "bash"], Other),
            ("/usr/bin/python3.11", &["python3", "-c", "x"], Interpreter(Text("x"))),
            ("/usr/bin/python3", &["python3", "-W", "ignore", "-Ic", "x"], Interpreter(Text("x"))),
            ("/usr/bin/python3", &["python3", "-m", "http.server"], Interpreter(File("http.server"))),
            ("/usr/bin/python3", &["python3"], Interpreter(Input)),
            ("/usr/bin/python3-config", &["python3-config"], Other),
            ("/usr/bin/perl", &["perl", "-MSocket", "-e", "x"], Interpreter(Text("x"))),
            ("/usr/bin/perl", &["perl", "-ne", "x"], Interpreter(Text("x"))),
            ("/usr/bin/node", &["node", "--eval", "x"], Interpreter(Text("x"))),
            ("/usr/bin/node", &["node", "--version"], Interpreter(File("--version"))),
            ("/usr/bin/php8.2", &["php8.2", "-r", "x"], Interpreter(Text("x"))),
            ("/usr/bin/python3", &["python3", "-i", "-c", "x"], Interpreter(Text("x"))),
            ("/usr/bin/python3", &["python3", "-cx"], Interpreter(Text("x"))),
            ("/usr/bin/python3", &["python3", "-Wignore", "-c", "x"], Interpreter(Text("x"))),
            ("/usr/bin/python3", &["python3", "-V"], Interpreter(File("-V"))),
            ("/usr/bin/python3", &["python3", "/dev/stdin"], Interpreter(Input)),
            ("/usr/bin/perl", &["perl", "-MIO::Socket::INET", "-e", "x"], Interpreter(Text("x"))),
            ("/usr/bin/perl", &["perl", "-Mstrict", "-ex"], Interpreter(Text("x"))),
            ("/usr/bin/perl", &["perl", "-v", "-e", "x"], Interpreter(Text("x"))),
            ("/usr/bin/ruby", &["ruby", "-rsocket", "-e", "x"], Interpreter(Text("x"))),
            ("/usr/bin/ruby", &["ruby", "-rtime", "x.rb"], Interpreter(File("x.rb"))),
            ("/usr/bin/node", &["node", "--eval=x=1"], Interpreter(Text("x=1"))),
            ("/usr/bin/node", &["node", "--input-type=module", "-e", "x"], Interpreter(Text("x"))),
            ("/usr/bin/node", &["node", "--input-type", "module", "-pe", "x"], Interpreter(Text("x"))),
            ("/usr/bin/node", &["node", "-r", "./a.js", "b.js"], Interpreter(File("b.js"))),
            ("/usr/bin/php", &["php", "-d", "x=1", "-r", "y"], Interpreter(Text("y"))),
            ("/usr/bin/php", &["php", "-dx=1", "-f", "/a.php"], Interpreter(File("/a.php"))),
            ("/usr/bin/lua5.4", &["lua", "-lsocket", "-e", "x"], Interpreter(Text("x"))),
            ("/usr/bin/deno", &["deno", "eval", "x"], Interpreter(Text("x"))),
            (
                "/opt/pwsh",
                &["pwsh", "-NoProfile", "-ExecutionPolicy", "x", "-Enc", "y"],
                Interpreter(Text("y")),
            ),
            ("/usr/bin/mawk", &["awk", "BEGIN{system(\"id\")}"], Interpreter(Text("BEGIN{system(\"id\")}"))),
            ("/usr/bin/mawk", &["awk", "{print $1}", "x"], Other),
            ("/bin/busybox", &["busybox", "nc", "-e", "sh"], Other),
            ("/usr/sbin/php-fpm", &["php-fpm"], Other),
            ("/usr/bin/convert", &["convert", "-c"], Other),
            ("", &[], Other),
        ];
        for (file, words, kind) in cases {
            assert_eq!(Program::told(file, &args(words)).kind, *kind, "{file} {words:?}");
        }
    }

    #[test]
    fn what_runtimes_ask_of_themselves_is_no_reconnaissance() {
        assert!(is_reconnaissance("/usr/bin/id", &[]));
        assert!(asks_about_host("uname", &args(&["-a"])));
        assert!(asks_about_host("uname", &[]));
        assert!(!asks_about_host("uname", &args(&["-p"])));
        assert!(!asks_about_host("/sbin/ip", &args(&["link"])));
        assert!(asks_about_host("ip", &args(&["addr"])));
        assert!(!is_reconnaissance("id", &args(&["-u"])));
        assert!(reads_secrets("env", &[]));
        assert!(!reads_secrets("env", &args(&["x"])));
        assert!(reads_secrets("cat", &args(&["/etc/passwd"])));
        assert!(reads_secrets("cat", &args(&["/proc/1/environ"])));
        assert!(!is_reconnaissance("convert", &[]));
        assert!(is_intrusion("/bin/nc", &args(&["-e", "/bin/sh", "h", "1"])));
        assert!(!is_intrusion("nc", &args(&["-vz", "h", "1"])));
        assert!(is_intrusion("ssh", &args(&["-fNR", "1:h:2", "x"])));
        assert!(!is_intrusion("ssh", &args(&["-i/srv/KeyR", "-oControlPersist=no", "x", "ls -R"])));
    }

    #[test]
    fn helpers_of_multiprocessing_are_known_by_their_whole_form() {
        let spawn = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)";
        let tracker = "from multiprocessing.resource_tracker import main;main(4)";
        let server =
            "from multiprocessing.forkserver import main; main(5, 6, ['__main__'], **{'sys_path': ['/a']})";
        let loky = "from joblib.externals.loky.backend.resource_tracker import main; main(14, False)";
        for form in [spawn, tracker, server, loky] {
            assert!(is_multiprocessing(form), "{form}");
        }
        for other in [
            "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=__import__('os').system('id'))",
            "from multiprocessing.spawn import spawn_main; import os; os.system('id')",
            "from multiprocessing.resource_tracker import main;main(4);main(5)",
            "from os;import x.spawn import spawn_main; spawn_main()",
            "from os import system; system('id')",
            "import os",
        ] {
            assert!(!is_multiprocessing(other), "{other}");
        }
    }
}
