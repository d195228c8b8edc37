//! What kind of program an image is, by its file and arguments.

use super::names::{
    ASKED_BY_RUNTIMES, INTERPRETERS, MANY_IN_ONE, RECONNAISSANCE, SESSION, SHELL_VALUES, SHELLS,
};
use crate::launch::Image;

/// Folders that hold no file of an application: memory, and descriptors.
const DROPS: &[&str] = &["/dev/shm/", "/run/shm/", "/dev/fd/", "/proc/"];
/// What the kernel calls the image of whoever asks: what runtimes execute to run another of themselves.
pub const OWN_IMAGE: &str = "/proc/self/exe";

/// What a program is told to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// This text, an argument.
    Text(&'a str),
    /// What this file holds.
    File(&'a str),
    /// What comes in on its standard input.
    Input,
}

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
        let shell = [own, called].into_iter().find(|name| SHELLS.contains(name));
        if let Some(shell) = shell.filter(|shell| *shell == own || !file.contains(&format!("/{shell}."))) {
            // Of a script, `called` is the interpreter of its first line, and the script the first argument.
            let by_own_name = shell != own && rest.iter().any(|arg| arg == file) && !is_dropped(file);
            if !by_own_name {
                return Self { name: shell, kind: Kind::Shell(shell_told(rest)) };
            }
        }
        if let Some((_, options)) = INTERPRETERS.iter().find(|(known, _)| is_version_of(own, known)) {
            return Self { name: own, kind: Kind::Interpreter(interpreter_told(rest, options)) };
        }
        Self { name: own, kind: Kind::Other }
    }

    /// Whether it does what it is told by whoever launched it, other than by a file of the application.
    pub fn takes_orders(&self) -> bool {
        matches!(
            self.kind,
            Kind::Shell(Told::Text(_) | Told::Input) | Kind::Interpreter(Told::Text(_) | Told::Input)
        )
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

/// Whether a command tells who runs it, and where.
pub fn is_reconnaissance(command: &str, args: &[String]) -> bool {
    let command = name(command);
    let asked =
        |form: &&&[&str]| form[0] == command && args.iter().map(String::as_str).eq(form[1..].iter().copied());
    RECONNAISSANCE.contains(&command) && !ASKED_BY_RUNTIMES.iter().any(|form| asked(&form))
}

/// Whether a command is one that people type, rather than one that applications need a shell for.
pub fn is_of_a_session(command: &str, args: &[String]) -> bool {
    SESSION.contains(&name(command)) || RECONNAISSANCE.contains(&name(command)) || {
        let told = [&[command.to_owned()], args].concat();
        Program::told(command, &told).interprets()
    }
}

/// The form in which Python's `multiprocessing` runs its own helpers: code that is the same but for numbers and
/// what they are handed (`get_command_line` in `spawn.py`, `resource_tracker.py`, `forkserver.py`).
pub fn is_multiprocessing(text: &str) -> bool {
    const FORMS: &[(&str, &str)] = &[
        ("spawn", "spawn_main"),
        ("forkserver", "main"),
        ("resource_tracker", "main"),
        ("semaphore_tracker", "main"),
    ];
    FORMS.iter().any(|(module, function)| {
        let rest = text
            .strip_prefix("from multiprocessing.")
            .and_then(|rest| rest.strip_prefix(module))
            .and_then(|rest| rest.strip_prefix(" import "))
            .and_then(|rest| rest.strip_prefix(function))
            .and_then(|rest| rest.strip_prefix(';'))
            .and_then(|rest| rest.trim_start().strip_prefix(function))
            .and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
        // Values only: nothing is called in them.
        rest.is_some_and(|values| !values.contains(['(', ')', ';', '\n']))
    })
}

/// Whether a file lies where no application has its own.
pub fn is_dropped(file: &str) -> bool {
    file != OWN_IMAGE && DROPS.iter().any(|drop| file.starts_with(drop))
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

fn shell_told(args: &[String]) -> Told<'_> {
    let mut command = false;
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--" => {
                return match args.next() {
                    Some(text) if command => Told::Text(text),
                    Some(file) => Told::File(file),
                    None => Told::Input,
                };
            }
            _ if SHELL_VALUES.contains(&arg) => drop(args.next()),
            "-" | "-s" => return Told::Input,
            "--command" | "-Command" | "-EncodedCommand" => command = true,
            _ if arg.starts_with("--") => {}
            _ if arg.starts_with(['-', '+']) && arg.len() > 1 => {
                command |= arg.starts_with('-') && arg.contains('c');
                if arg.starts_with('-') && arg.contains('s') && !command {
                    return Told::Input;
                }
            }
            text if command => return Told::Text(text),
            file => return Told::File(file),
        }
    }
    Told::Input
}

fn interpreter_told<'a>(args: &'a [String], code: &[&str]) -> Told<'a> {
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        // Short options may stand together, the one with the code last: `-ne`, `-Ic`.
        let joined = |option: &&&str| {
            option.len() == 2 && !arg.starts_with("--") && arg.starts_with('-') && arg.ends_with(&option[1..])
        };
        match arg {
            "-" => return Told::Input,
            _ if code.contains(&arg) || code.iter().any(|option| joined(&option)) => {
                return args.next().map_or(Told::Input, Told::Text);
            }
            "-m" | "-f" | "-jar" => return args.next().map_or(Told::Input, Told::File),
            "-W" | "-X" | "-I" | "-d" | "-c" | "--require" | "--import" | "--loader" => drop(args.next()),
            // It only says something of itself.
            "-v" | "-V" | "--version" | "-h" | "--help" | "-i" => return Told::File(arg),
            _ if arg.starts_with('-') => {}
            file => return Told::File(file),
        }
    }
    Told::Input
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
        assert!(is_reconnaissance("uname", &args(&["-a"])));
        assert!(is_reconnaissance("uname", &[]));
        assert!(!is_reconnaissance("uname", &args(&["-p"])));
        assert!(!is_reconnaissance("/sbin/ip", &args(&["link"])));
        assert!(is_reconnaissance("ip", &args(&["addr"])));
        assert!(!is_reconnaissance("convert", &[]));
    }

    #[test]
    fn helpers_of_multiprocessing_are_known_by_their_whole_form() {
        let spawn = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)";
        let tracker = "from multiprocessing.resource_tracker import main;main(4)";
        let server =
            "from multiprocessing.forkserver import main; main(5, 6, ['__main__'], **{'sys_path': ['/a']})";
        for form in [spawn, tracker, server] {
            assert!(is_multiprocessing(form), "{form}");
        }
        for other in [
            "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=__import__('os').system('id'))",
            "from multiprocessing.spawn import spawn_main; import os; os.system('id')",
            "from multiprocessing.resource_tracker import main;main(4);main(5)",
            "import os",
        ] {
            assert!(!is_multiprocessing(other), "{other}");
        }
    }
}
