//! `process.command_from_request`: a request says what is run.

use super::{
    asked::Part,
    launched::{Below, Hit, Launched},
};
use crate::{Confidence, Severity};

/// Its name.
pub const RULE: &str = "process.command_from_request";

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let order = launched.order.filter(|order| order.is_one())?;
    // What a program of the application chooses among its own, it was not told: a message that names a step of a build
    // is not why that is made.
    if matches!(order.part, Part::Program | Part::Whole)
        && launched.below == (Below::Deeper { ordered: false })
    {
        return None;
    }
    let what = match order.part {
        Part::Whole => "is the command",
        Part::Within => "holds the command",
        Part::Joint => "ends the server's command and begins another",
        Part::Sealed => "cannot be read, but with a short key it is the command",
        Part::Program | Part::Name => "is the program",
    };
    let line = launched.line();
    // What stands around the command is none of the command: the rest of a form may hold passwords.
    let said = match (order.part, launched.program.text()) {
        (Part::Within, Some(text)) => text.trim(),
        (Part::Within, None) => &line,
        _ => &order.text,
    };
    let said = crate::span::redact(said);
    let shown = &said[..said.floor_char_boundary(200)];
    Some(Hit {
        rule: RULE,
        severity: Severity::Critical,
        confidence: match order.part {
            Part::Within if order.text.len() > 4096 => Confidence::Probable,
            Part::Sealed => Confidence::Probable,
            _ => Confidence::Confirmed,
        },
        title: format!("ran `{line}` because a request said so"),
        fact: format!("the request's {} {what}: `{shown}`", order.place.name()),
        techniques: &["T1190", "T1059", "T1505.003"],
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{asked::tests::order, launched::tests::scene, said::Place},
        *,
    };

    #[test]
    fn what_stands_around_a_command_is_not_told() {
        let cases = [
            ("cmd='ls -la'&password=hunter2", "content holds the command: `ls -la`"),
            ("ls -la", "content is the command: `ls -la`"),
        ];
        for (text, fact) in cases {
            let mut scene = scene(&["sh", "-c", "ls -la"]);
            scene.order = order(&[(Place::Content, text)], &scene.image);
            let hit = scene.judge(judge).expect("it fires");
            assert!(hit.fact.ends_with(fact), "{}", hit.fact);
        }
        let both = ["{{popen(['ls', '-la'])}}&password=hunter2", "ls -la"].map(|text| (Place::Content, text));
        let image = scene(&["ls", "-la"]).image;
        assert_eq!(order(&both, &image).map(|order| order.part), Some(Part::Whole), "the shortest");
    }

    #[test]
    fn a_program_of_the_application_chooses_among_its_own() {
        let mut scene = scene(&["/srv/bin/x", "."]);
        scene.order = order(&[(Place::Query, "/srv/bin/x")], &scene.image);
        assert!(scene.order.is_some());
        let deeper = |l: &mut Launched<'_>| l.below = Below::Deeper { ordered: false };
        assert_eq!(scene.clone().with(deeper).judge(judge), None);
        assert!(scene.judge(judge).is_some());
    }
}
