//! Whether a command stands in a text, as something of its own rather than by chance.

use super::{
    names::{AROUND, SESSION, SHELLS, STATE},
    program::{asks_about_host, is_intrusion, is_reconnaissance, reads_secrets},
    shell::Script,
};

/// Fewest bytes that are compared.
pub const MIN_TEXT: usize = 2;
/// Fewest bytes of a command with characters of the shell's that nobody writes by chance.
const MIN_LOUD: usize = 8;

/// Whether a program is one that its user chooses by typing it.
pub fn is_typed(name: &str, args: &[String]) -> bool {
    is_reconnaissance(name, args)
        || reads_secrets(name, args)
        || asks_about_host(name, args)
        || is_intrusion(name, args)
        || SESSION.contains(&name)
        || SHELLS.contains(&name)
}

/// Whether a command is a word of a text, or the value of an option in it: `--checkpoint-action=exec=id`,
/// `-exec id ;`.
pub fn is_word_in(command: &str, text: &str) -> bool {
    // A form of several parts, and a key, begin with dashes, too.
    const MAX_OPTIONS: usize = 256;
    if text.len() > MAX_OPTIONS || text.contains(['\r', '\n']) || text.starts_with("----") {
        return false;
    }
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "=;|'\"".contains(c));
    let mut places = text.match_indices(command).filter(|(at, _)| *at > 0);
    !command.is_empty()
        && places.any(|(at, _)| {
            edge(text[..at].chars().next_back()) && edge(text[at + command.len()..].chars().next())
        })
}

/// Whether a command stands in a text as something of its own: between quotes or tags; between what code and forms
/// have around a value; or, where chance does not write it, anywhere. Prose has spaces around it.
pub fn stands_in(command: &str, text: &str) -> bool {
    let words = command.contains(char::is_whitespace);
    let loud = command.len() >= MIN_LOUD && command.contains(|c: char| ";|&$`<>(){}".contains(c));
    text.match_indices(command).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + command.len()..].chars().next();
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let mark = |c: Option<char>| c.is_none_or(|c| "()[]{}<>;|&=,\r\n\t".contains(c));
        is_quote(before, behind)
            || words && mark(before) && mark(behind) && (before, behind) != (None, None)
            || loud && edge(before) && edge(behind)
    }) || text.starts_with('-') && is_word_in(command, text)
}

/// Whether words may be one simple command of a text that a shell would read as more than that: `|ps aux` and `ps aux|`, which
/// Perl's and Ruby's `open` take for a command, `df -h; ps`, which a script evaluates. In the middle of a text only what
/// one types is a command: others stand in prose, too. A script is nothing but commands (execve(2)).
pub fn may_be_command_in(name: &str, words: &[String], text: &str) -> bool {
    const MAX_LINE: usize = 1024;
    const JOINTS: &[char] = &['|', ';', '&', '`', '$'];
    let args = words.get(1..).unwrap_or_default();
    let script = text.starts_with("#!");
    let may_be = (script || (MIN_TEXT..=MAX_LINE).contains(&text.len()) && text.contains(JOINTS))
        && words.iter().all(|word| text.contains(word.as_str()));
    let typed = || is_typed(name, args) || AROUND.contains(&name) || STATE.contains(&name);
    may_be && (script || text.starts_with(JOINTS) || text.ends_with(JOINTS) || typed())
}

/// Whether they are, as a shell reads it.
pub fn is_command_in(words: &[String], text: &str) -> bool {
    Script::of(text).commands.iter().any(|command| command.words == words)
}

/// Whether words stand in a text as a list: one behind the other in brackets, with commas between them, in quotes or
/// not. So JSON, YAML and code have it.
pub fn is_listed_in(words: &[String], text: &str) -> bool {
    let mark = |c: char| c.is_whitespace() || "'\"`".contains(c);
    let Some((first, others)) = words.split_first().filter(|(first, _)| first.len() >= MIN_TEXT) else {
        return false;
    };
    text.match_indices(first.as_str()).any(|(at, _)| {
        let before = text[..at].trim_end_matches(mark);
        let opened = before.ends_with(['[', '(', '{']);
        // `%w[ls -la]` of Ruby, `qw(ls -la)` of Perl.
        let spaced = opened && before[..before.len() - 1].ends_with(['w', 'W']);
        let behind = others.iter().try_fold(&text[at + first.len()..], |rest, word| {
            let rest = rest.trim_start_matches(mark);
            let next = rest.strip_prefix(',').or(spaced.then_some(rest))?;
            next.trim_start_matches(mark).strip_prefix(word.as_str())
        });
        opened && behind.is_some_and(|rest| rest.trim_start_matches(mark).starts_with([']', ')', '}', ',']))
    })
}

/// Whether a word stands in a text between quotes.
pub fn is_quoted_in(word: &str, text: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| is_quote(text[..at].chars().next_back(), text[at + word.len()..].chars().next()))
}

fn is_quote(before: Option<char>, behind: Option<char>) -> bool {
    let quote = |c: Option<char>| c.is_some_and(|c| "'\"`".contains(c));
    quote(before) && quote(behind) || before == Some('>') && behind == Some('<')
}
