//! The shape of a command line: what stays the same from one launch to the next.
//!
//! The program and its options stay, values become `{}`. Of a command string for a shell the programs and the
//! characters that mean something to a shell stay as well, so that `convert {} {}` and `convert {} ; id` differ. Of an
//! interpreter it stays which script it runs, or which code, by a hash; and files stay that open accounts, or lie where
//! no application has its own.

use super::process::{self, Told};
use twox_hash::XxHash3_64;

/// Most words that are kept.
const MAX_WORDS: usize = 32;
/// Longest name of a file that stays.
const MAX_NAME: usize = 96;
/// Longest word that may be an option.
const MAX_OPTION: usize = 32;
/// What separates commands or words to a shell, or lets it put something in their place (POSIX.1-2017, XCU 2).
const META: &[char] = &[';', '&', '|', '<', '>', '(', ')', '`', '$', '\n'];

/// The shape of `args`, the program itself first.
pub fn shape(args: &[String]) -> String {
    let mut shape = Vec::new();
    let told = process::told(args);
    let mut command = false;
    for (n, arg) in args.iter().take(MAX_WORDS).enumerate() {
        match n {
            0 => shape.push(name(arg).to_owned()),
            _ if told == Some(Told::File(arg)) => shape.push(script(arg)),
            _ if told == Some(Told::Text(arg)) => {
                command = false;
                shape.push(code(arg));
            }
            _ if process::is_telling(arg) => shape.push(arg[..arg.floor_char_boundary(MAX_NAME)].to_owned()),
            _ if std::mem::take(&mut command) => shape.push(format!("'{}'", command_shape(arg))),
            _ => {
                // The option of every shell that takes its command as an argument, alone or with others.
                command = is_option(arg) && !arg.starts_with("--") && arg.ends_with('c');
                shape.push(word(arg));
            }
        }
    }
    if args.len() > MAX_WORDS {
        shape.push("…".into());
    }
    shape.join(" ")
}

/// A script: its path without numbers; of one where applications put those that they make, the folder.
fn script(file: &str) -> String {
    if process::is_anyones(file) {
        return format!("{}/{{}}", file.rsplit_once('/').map_or("", |(folder, _)| folder));
    }
    let mut shape = String::new();
    for c in file.chars().take(MAX_NAME) {
        match c.is_ascii_digit() {
            true if shape.ends_with("{n}") => {}
            true => shape.push_str("{n}"),
            false => shape.push(c),
        }
    }
    shape
}

/// Code, by 32 bits of a hash.
fn code(text: &str) -> String {
    format!("{{code {:08x}}}", XxHash3_64::oneshot(text.as_bytes()) as u32)
}

/// A command string: the first word of each command, and what stands between commands.
fn command_shape(text: &str) -> String {
    let mut words = Vec::new();
    let mut first = true;
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| !c.is_whitespace() || c == '\n') {
        if words.len() >= MAX_WORDS {
            words.push("…".to_owned());
            break;
        }
        rest = &rest[begin..];
        let meta = rest.find(|c: char| !META.contains(&c)).unwrap_or(rest.len());
        let end = rest.find(|c: char| c.is_whitespace() || META.contains(&c)).unwrap_or(rest.len());
        let taken = &rest[..meta.max(end)];
        rest = &rest[taken.len()..];
        if meta > 0 {
            words.push(taken.replace('\n', ";"));
            first = !matches!(taken, ">" | ">>" | "<" | "$" | "&>" | ">&");
        } else if std::mem::take(&mut first) {
            words.push(name(taken).to_owned());
        } else {
            words.push(word(taken));
        }
    }
    words.join(" ")
}

/// An option stays, without its value.
fn word(arg: &str) -> String {
    match arg.split_once('=') {
        Some((option, _)) if is_option(option) => format!("{option}={{}}"),
        None if is_option(arg) => arg.to_owned(),
        _ => "{}".into(),
    }
}

fn is_option(arg: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    arg.len() > 1 && arg.len() <= MAX_OPTION && arg.starts_with('-') && arg.chars().all(plain)
}

/// A program without its folder.
fn name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> String {
        shape(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_stay_and_values_go() {
        assert_eq!(
            of(&["/usr/bin/convert", "a.png", "-resize", "10x10", "b.png"]),
            "convert {} -resize {} {}"
        );
        assert_eq!(of(&["git", "-C", "/srv", "log", "--format=%H", "-n5"]), "git -C {} {} --format={} -n5");
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["x", ""]), "x {}");
        assert_eq!(of(&["cat", "/etc/hosts"]), "cat {}");
    }

    #[test]
    fn of_a_shell_command_the_programs_and_what_joins_them_stay() {
        let convert = of(&["sh", "-c", "convert 'a.png' -resize 10x10 /tmp/b.png"]);
        assert_eq!(convert, "sh -c 'convert {} -resize {} {}'");
        assert_eq!(of(&["sh", "-c", "/usr/sbin/sendmail -t -i"]), "sh -c 'sendmail -t -i'");
        assert_eq!(of(&["bash", "-lc", "convert a b; id"]), "bash -lc 'convert {} {} ; id'");
        assert_eq!(
            of(&["sh", "-c", "ping $(id) > x && curl h|sh"]),
            "sh -c 'ping $( id ) > {} && curl {} | sh'"
        );
        assert_eq!(of(&["sh", "-c", "a\nb"]), "sh -c 'a ; b'");
    }

    #[test]
    fn what_an_interpreter_runs_stays() {
        let cases: &[(&[&str], &str)] = &[
            (&["python3", "-u", "/srv/jobs/day17.py", "x"], "python3 -u /srv/jobs/day{n}.py {}"),
            (&["node", "/tmp/execjs20240517-1-a.js"], "node /tmp/{}"),
            (&["sh", "/dev/shm/x"], "sh /dev/shm/x"),
            (&["cat", "/etc/shadow"], "cat /etc/shadow"),
            (&["git", "log", "main"], "git {} {}"),
        ];
        for (args, shape) in cases {
            assert_eq!(of(args), *shape);
        }
        assert_ne!(of(&["php", "-r", "echo 1;"]), of(&["php", "-r", "system($x);"]));
        assert_eq!(of(&["php", "-r", "echo 1;"]), of(&["php", "-r", "echo 1;"]));
        assert!(of(&["python3", "-c", "import x; x()"]).starts_with("python3 -c {code "));
    }

    #[test]
    fn length_has_a_bound() {
        let many: Vec<_> = (0..1000).map(|_| "-x").collect();
        assert!(of(&many).len() < 4 * (MAX_WORDS + 2));
        assert!(of(&["sh", &"x".repeat(10_000)]).len() < 2 * MAX_NAME);
        assert!(of(&["sh", "-c", &";a ".repeat(10_000)]).len() < 8 * (MAX_WORDS + 2));
    }
}
