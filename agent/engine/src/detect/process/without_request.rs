//! `process.without_request`: a server launches a program while no request is open.

use super::{
    launched::{Below, Hit, Launched, When},
    orders::told,
};
use crate::{Confidence, Severity, detect::Seen};

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let When::Idle(since) = launched.when else { return None };
    if launched.below == Below::Same && !launched.has_become()
        || launched.is_server_again()
        || launched.is_helper()
    {
        return None;
    }
    let (told, why) = match launched.is_intruders() {
        Some((grade, why)) if launched.blames(grade) => (Severity::High, Some(why)),
        Some((_, why)) => (Severity::Medium, Some(why)),
        None => told(launched).map_or((Severity::Medium, None), |(told, why)| (told, Some(why))),
    };
    // What a server does since before anyone could ask it for anything, nobody asked it for.
    let usual = (launched.seen == Seen::Known || launched.since_start) && !launched.enters();
    let severity = if usual { Severity::Low } else { told };
    let ago = match since {
        Some(ms) => format!("the last one was answered {} before", duration(ms)),
        None => "none was answered yet".to_owned(),
    };
    let unread = if launched.unreadable { "; it also serves connections that cannot be read" } else { "" };
    let why = why.map_or_else(String::new, |why| format!("; {why}"));
    let start = match () {
        () if launched.since_start => "; it did so before its first request, too",
        () if launched.timer => "; the thread that forked it is older than the first request",
        () => "",
    };
    Some(Hit {
        rule: "process.without_request",
        severity,
        confidence: if severity >= Severity::High { Confidence::Probable } else { Confidence::Suspicious },
        title: format!("ran `{}` though no request asked for it", launched.line()),
        fact: format!("no request was open when it was forked; {ago}{why}{start}{unread}"),
        techniques: &["T1505.003", "T1053"],
    })
}

fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..600_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::launched::tests::scene, *};

    #[test]
    fn cases() {
        use Severity::{High, Low, Medium};
        let idle = |l: &mut Launched<'_>| l.when = When::Idle(Some(1200));
        let cases = [
            (scene(&["sh", "-c", "touch x"]).with(idle), Some(High)),
            (scene(&["id"]).with(idle), Some(High)),
            (scene(&["cat", "/etc/passwd"]).with(idle), Some(High)),
            (scene(&["/dev/shm/x"]).with(idle), Some(High)),
            (scene(&["sh", "-c", "/usr/sbin/sendmail -t -i"]).with(idle), Some(Medium)),
            (scene(&["git", "--version"]).with(idle), Some(Medium)),
            (scene(&["python3", "/srv/job.py"]).with(idle), Some(Medium)),
            (
                scene(&["sh", "-c", "id"]).with(|l| {
                    (l.when, l.below) = (When::Idle(None), Below::Deeper { ordered: false });
                }),
                Some(Medium),
            ),
            (
                scene(&["sh", "-c", "x"]).with(|l| (l.when, l.since_start) = (When::Idle(None), true)),
                Some(Low),
            ),
            (
                scene(&["sh", "-c", "x"]).with(|l| (l.when, l.seen) = (When::Idle(None), Seen::Known)),
                Some(Low),
            ),
            (scene(&["sh", "-c", "ls"]).with(|l| (l.when, l.timer) = (When::Idle(None), true)), Some(Medium)),
            (scene(&["id"]).with(|l| (l.when, l.timer) = (When::Idle(None), true)), Some(Medium)),
            (scene(&["/dev/shm/x"]).with(|l| (l.when, l.timer) = (When::Idle(None), true)), Some(High)),
            (
                scene(&["sh", "-c", "ls"]).with(|l| (l.when, l.room.open) = (When::Idle(None), Some(0))),
                Some(Medium),
            ),
            (scene(&["sh", "-c", "x"]), None),
            (scene(&["/usr/bin/python3", "/usr/bin/gunicorn", "app:app"]).with(idle), None),
        ];
        for (case, severity) in cases {
            assert_eq!(case.severity(judge), severity, "{:?}", case.image.args);
        }
        let fact = scene(&["id"]).with(idle).judge(judge).expect("it fires").fact;
        assert!(fact.ends_with("answered 1.2 s before; it asks who it is, and who is there"), "{fact}");
    }
}
