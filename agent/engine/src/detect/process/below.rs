//! Where a program stands below a server, and whether anyone told the one above it to run it.

use super::{
    names::AROUND,
    program::{Kind, Program, Told, name},
    shell::Script,
};
use crate::launch::Image;

/// Where a process stands below the one that has read requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// It is that one, which becomes another program.
    Same,
    /// Its child, or that of a script which it is there to run (RFC 3875).
    Child,
    /// A child of another program that it launched.
    Deeper {
        /// Whether that was told to run it: by its arguments, as a shell is, or `timeout`, `sudo`, `find`; or by what
        /// nobody sees, code or its input.
        ordered: bool,
    },
}

impl Below {
    /// The same, of a program below one that has these arguments: they name it, or what runs in it when it is a shell
    /// (`tar --checkpoint-action=exec=id`). A shell also runs what nobody told it to: a login shell its profile.
    pub fn told(self, above: Option<&str>, program: &Program<'_>) -> Self {
        let Self::Deeper { ordered: false } = self else { return self };
        let Some(above) = above else { return self };
        // Words of the shell's own language are words of any other, too: `make test`.
        let named = |program: &str| !AROUND.contains(&program) && has_word(above, program);
        let within = || match program.kind {
            Kind::Shell(Told::Text(text)) => {
                Script::of(text).programs().any(|(program, _)| named(name(program)))
            }
            _ => false,
        };
        // What of its arguments was not kept may have told it.
        let cut = above.len() + 3 >= MAX_WORDS;
        Self::Deeper { ordered: cut || has_word(above, program.name) || within() }
    }
}

/// Whether a word stands in a text.
fn has_word(text: &str, word: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            edge(text[..at].chars().next_back()) && edge(text[at + word.len()..].chars().next())
        })
}

/// Most bytes of a program's arguments that are kept for the sake of its children.
const MAX_WORDS: usize = 1024;

/// The arguments of an image, as its children are looked for in them.
pub fn words(image: &Image) -> String {
    let mut words = image.args.get(1..).unwrap_or_default().join(" ");
    words.truncate(words.floor_char_boundary(MAX_WORDS));
    words.shrink_to_fit();
    words
}

#[cfg(test)]
mod tests {
    use super::{super::launched::tests::scene, *};

    #[test]
    fn who_was_told_to_run_a_program() {
        let cases: &[(&[&str], &[&str], bool)] = &[
            (&["timeout", "5", "id"], &["id"], true),
            (&["sh", "-c", "cd /;id"], &["id"], true),
            (&["sh", "-c", "x `id`"], &["id"], true),
            (&["tar", "-c", "--checkpoint-action=exec=id"], &["id"], true),
            (&["tar", "-c", "--checkpoint-action=exec=touch x"], &["sh", "-c", "touch x"], true),
            (&["git", "-c", "core.pager=id", "log"], &["sh", "-c", "LESS=FRX id"], true),
            (&["soffice", "--convert-to", "id.pdf"], &["id"], false),
            (&["bash", "-lc", "convert a"], &["id"], false),
            (&["git", "upload-pack", "."], &["uname"], false),
            (&["make", "-C", "/srv", "all"], &["sh", "-c", "ls -la; cc x.c"], false),
            (&["make", "test"], &["sh", "-c", "test \"`uname`\" = Linux"], false),
            (&["npm", "run", "build"], &["sh", "-c", "vite build"], false),
        ];
        for (args, program, told) in cases {
            let words = words(&scene(args).image);
            let image = scene(program).image;
            let below = Below::Deeper { ordered: false }.told(Some(&words), &Program::of(&image));
            assert_eq!(below, Below::Deeper { ordered: *told }, "{args:?} {program:?}");
        }
        let image = scene(&["id"]).image;
        assert_eq!(Below::Child.told(Some("id"), &Program::of(&image)), Below::Child);
    }
}
