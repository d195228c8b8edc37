//! `process.in_request`: a request makes a server launch a program for the first time.

use super::{
    launched::{Below, Hit, Launched, When},
    names::{AROUND, SESSION, STATE},
    orders::Grade,
    program::is_reconnaissance,
};
use crate::{Confidence, Severity, detect::Seen};

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let When::InFlight(_) = launched.when else { return None };
    if launched.seen == Seen::Known && !launched.enters()
        || launched.below == Below::Same && !launched.has_become()
    {
        return None;
    }
    let lists = [SESSION, AROUND, STATE];
    let typed = lists.iter().any(|list| list.contains(&launched.program.name));
    let typed = typed && launched.is_near(Grade::Anyones);
    let (severity, why) =
        match launched.is_intruders().and_then(|(grade, why)| launched.blames(grade).then_some(why)) {
            None if typed && launched.could_be_hidden() => {
                (Severity::High, "; its request says what cannot be read, and nothing of this".to_owned())
            }
            Some(why) => (Severity::High, format!("; {why}")),
            None if launched.has_become() => (Severity::High, "; the server itself became it".to_owned()),
            None => (Severity::Low, String::new()),
        };
    Some(Hit {
        rule: "process.in_request",
        severity,
        confidence: if severity == Severity::High { Confidence::Probable } else { Confidence::Suspicious },
        title: format!("ran `{}` for a request", launched.line()),
        fact: format!("a program was launched while a request was open{why}"),
        techniques: match severity {
            Severity::High if is_reconnaissance(launched.program.name, launched.program.args) => {
                &["T1505.003", "T1033", "T1082"]
            }
            _ => &["T1505.003"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{super::launched::tests::scene, *};
    use crate::{Time, tasks::Stamp};
    use tracer_common::exec_flag;

    #[test]
    fn a_file_that_is_newer_than_the_server() {
        // The server was launched 500 seconds after the node, that 1000 seconds after the epoch.
        let written = |args: &[&str], at| {
            let mut scene = scene(args).with(|l| {
                l.stamp = Some(Stamp { at: Time(500_000_000_000), ..Stamp::default() });
            });
            scene.image.written = at;
            scene.severity(judge)
        };
        assert_eq!(written(&["/srv/up/x"], Some(1501)), Some(Severity::High));
        assert_eq!(written(&["/srv/up/x"], Some(1499)), Some(Severity::Low));
        assert_eq!(written(&["/srv/up/x"], None), Some(Severity::Low));
        let mut made = scene(&["/srv/up/x"]).with(|l| (l.stamp, l.made) = (None, true));
        made.image.written = Some(1700);
        assert_eq!(made.severity(judge), Some(Severity::Low), "it was just compiled");
        assert_eq!(written(&["/usr/bin/python3.11", "-V"], Some(1501)), Some(Severity::Low), "an upgrade");
    }

    #[test]
    fn of_a_server_that_is_older_than_the_tracer_what_was_written_since_is_newer() {
        for (at, severity) in [(1601, Severity::High), (1599, Severity::Low)] {
            let mut scene = scene(&["/srv/up/x"]).with(|l| l.stamp = None);
            scene.image.written = Some(at);
            assert_eq!(scene.severity(judge), Some(severity));
        }
    }

    #[test]
    fn cases() {
        use Severity::{High, Low};
        let cases = [
            (scene(&["uname", "-a"]).with(|l| l.room.open = Some(0)), Some(Low)),
            (scene(&["uname", "-a"]).with(|l| l.room.open = Some(9)), Some(High)),
            (
                scene(&["ss", "-tln"]).with(|l| {
                    (l.below, l.above, l.room.open) = (Below::Deeper { ordered: true }, 17, Some(9));
                }),
                Some(Low),
            ),
            (scene(&["id"]).with(|l| l.room.open = Some(0)), Some(High)),
            (scene(&["cat", "/etc/shadow"]).with(|l| l.room.open = Some(0)), Some(High)),
            (scene(&["/dev/shm/x"]).with(|l| l.room.open = Some(0)), Some(High)),
            (scene(&["ls", "-la", "/"]).with(|l| l.room.opaque = 24), Some(High)),
            (scene(&["ps", "-ef"]).with(|l| l.room.opaque = 6), Some(High)),
            (scene(&["df", "-h"]).with(|l| l.room.opaque = 3), Some(Low)),
            (scene(&["convert", "a"]).with(|l| l.room.opaque = 24), Some(Low)),
            (scene(&["ls", "-la", "/"]), Some(Low)),
            (scene(&["id"]), Some(High)),
            (scene(&["uname", "-a"]), Some(High)),
            (scene(&["id"]).with(|l| l.below = Below::Deeper { ordered: true }), Some(High)),
            (scene(&["id"]).with(|l| l.below = Below::Deeper { ordered: false }), Some(Low)),
            (scene(&["uname", "-p"]), Some(Low)),
            (scene(&["cat", "/etc/passwd"]), Some(High)),
            (scene(&["nc", "-e", "sh", "h", "1"]), Some(High)),
            (scene(&["/dev/shm/x", "-q"]), Some(High)),
            (scene(&["/tmp/x"]), Some(High)),
            (scene(&["/tmp/app/x"]), Some(Low)),
            (scene(&["convert", "a"]).with(|l| l.below = Below::Same), Some(High)),
            (scene(&["convert", "a"]).with(|l| (l.below, l.flags) = (Below::Same, exec_flag::CGI)), None),
            (scene(&["/usr/bin/python3", "other.py"]).with(|l| l.below = Below::Same), None),
            (scene(&["/dev/fd/5"]), Some(High)),
            (scene(&["/proc/self/exe", "worker"]), Some(Low)),
            (scene(&["/proc/self/fd/6", "init"]).with(|l| l.itself = true), Some(Low)),
            (scene(&["convert", "a"]), Some(Low)),
            (scene(&["convert", "a"]).with(|l| l.seen = Seen::Known), None),
            (scene(&["id"]).with(|l| l.when = When::Idle(None)), None),
        ];
        for (case, severity) in cases {
            assert_eq!(case.severity(judge), severity, "{:?}", case.image.args);
        }
    }
}
