//! What a shell or an interpreter is told to run, by its command line.

use super::names::{Interpreter, SHELL_VALUES};

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

impl<'a> Told<'a> {
    /// What a file is: standard input has names, too.
    fn file(file: &'a str) -> Self {
        match file {
            "-" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0" => Self::Input,
            _ => Self::File(file),
        }
    }
}

/// Of a shell (POSIX.1-2017, `sh`).
pub fn shell(args: &[String]) -> Told<'_> {
    let mut command = false;
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--" => {
                return match args.next() {
                    Some(text) if command => Told::Text(text),
                    Some(file) => Told::file(file),
                    None => Told::Input,
                };
            }
            _ if SHELL_VALUES.contains(&arg) => drop(args.next()),
            "-" | "-s" => return Told::Input,
            "--command" => command = true,
            _ if arg.starts_with("--command=") => return Told::Text(&arg["--command=".len()..]),
            _ if arg.starts_with("--") => {}
            _ if arg.starts_with(['-', '+']) && arg.len() > 1 => {
                command |= arg.starts_with('-') && arg.contains('c');
                if arg.starts_with('-') && arg.contains('s') && !command {
                    return Told::Input;
                }
            }
            text if command => return Told::Text(text),
            file => return Told::file(file),
        }
    }
    Told::Input
}

/// Of an interpreter: options that stand together (`-Ic`), with their value in the same argument (`-eCODE`) or in
/// the next, words with a value behind `=`.
pub fn interpreter<'a>(args: &'a [String], of: &Interpreter) -> Told<'a> {
    let mut about = None;
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let (word, value) = arg.split_once('=').map_or((arg, None), |(word, value)| (word, Some(value)));
        let is_one_of = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
        match arg {
            "-" => return Told::Input,
            "--" => return args.next().map_or(Told::Input, Told::file),
            _ if is_one_of(of.code_words) => {
                return value.or_else(|| args.next()).map_or(Told::Input, Told::Text);
            }
            _ if is_one_of(of.value_words) => drop(value.or_else(|| args.next())),
            "--version" | "--help" => about = Some(arg),
            _ if arg.starts_with("--") => {}
            _ if arg.starts_with('-') => match letters(&arg[1..], of) {
                Letters::Flags => {}
                Letters::About => about = Some(arg),
                Letters::Value(value) => drop(value.or_else(|| args.next())),
                Letters::File(file) => return file.or_else(|| args.next()).map_or(Told::Input, Told::file),
                Letters::Code(code) => return code.or_else(|| args.next()).map_or(Told::Input, Told::Text),
            },
            file => return Told::file(file),
        }
    }
    about.map_or(Told::Input, Told::File)
}

/// What letters say that stand together; a value may follow them at once.
enum Letters<'a> {
    Flags,
    About,
    Value(Option<&'a str>),
    File(Option<&'a str>),
    Code(Option<&'a str>),
}

fn letters<'a>(together: &'a str, of: &Interpreter) -> Letters<'a> {
    let mut found = Letters::Flags;
    for (at, letter) in together.char_indices() {
        let rest = &together[at + letter.len_utf8()..];
        let value = (!rest.is_empty()).then_some(rest);
        if of.code.contains(letter) {
            // `node -pe CODE`
            return Letters::Code(value.filter(|rest| !rest.chars().all(|c| of.code.contains(c))));
        } else if of.file.contains(letter) {
            return Letters::File(value);
        } else if of.values.contains(letter) {
            return Letters::Value(value);
        } else if of.glued.contains(letter) {
            return found;
        } else if of.about.contains(letter) {
            found = Letters::About;
        }
    }
    found
}
