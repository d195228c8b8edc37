//! What errors of other crates say, for people.

use std::error::Error;

/// An error and what caused it, each once: many name their cause in their own words already.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot connect: {0}")]
        Repeats(#[source] io::Error),
        #[error("cannot connect")]
        Leaves(#[source] io::Error),
    }

    #[test]
    fn a_cause_is_named_once() {
        let refused = || io::Error::other("refused");
        assert_eq!(chain(&Outer::Repeats(refused())), "cannot connect: refused");
        assert_eq!(chain(&Outer::Leaves(refused())), "cannot connect: refused");
    }
}
