//! Where a program stands below a server, and whether anyone told the one above it to run it.

use crate::launch::Image;

/// Where a process stands below the one that has read requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// It is that one, which becomes another program.
    Same,
    /// Its child.
    Child,
    /// A child of another program that it launched.
    Deeper {
        /// Whether that was told to run it: by its arguments, as a shell is, or `timeout`, `sudo`, `find`; or by what
        /// nobody sees, code or its input.
        ordered: bool,
    },
}

impl Below {
    /// The same, of a program below one that has these arguments. A shell also runs what nobody told it to: a login
    /// shell its profile.
    pub fn told(self, above: Option<&str>, program: &str) -> Self {
        match self {
            Self::Deeper { ordered } => {
                Self::Deeper { ordered: ordered || above.is_some_and(|above| has_word(above, program)) }
            }
            _ => self,
        }
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
        let cases = [
            (&["timeout", "5", "id"], "id", true),
            (&["sh", "-c", "cd /;id"], "id", true),
            (&["sh", "-c", "x `id`"], "id", true),
            (&["tar", "-c", "--checkpoint-action=exec=id"], "id", true),
            (&["soffice", "--convert-to", "id.pdf"], "id", false),
            (&["bash", "-lc", "convert a"], "id", false),
            (&["git", "upload-pack", "."], "uname", false),
        ];
        for (args, program, told) in cases {
            let words = words(&scene(args).image);
            let below = Below::Deeper { ordered: false }.told(Some(&words), program);
            assert_eq!(below, Below::Deeper { ordered: told }, "{args:?} {program}");
        }
        assert_eq!(Below::Child.told(Some("id"), "id"), Below::Child);
    }
}
