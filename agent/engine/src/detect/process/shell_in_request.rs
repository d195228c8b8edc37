//! `process.shell_in_request`: a request makes a server run a shell, or an interpreter with code for it.
//!
//! How bad that is depends on what it is told: see `orders`.

use super::{
    launched::{Below, Hit, Launched, When},
    orders::told,
    program::Kind,
};
use crate::{Confidence, Severity, detect::Seen};
use tracer_common::exec_flag;

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let When::InFlight(_) = launched.when else { return None };
    if launched.below == Below::Same || launched.is_server_again() || launched.is_helper() {
        return None;
    }
    let (severity, why) = told(launched)?;
    // RFC 3875: what a server is there to run.
    if launched.flags & exec_flag::CGI != 0 && !launched.program.takes_orders() && severity < Severity::High {
        return None;
    }
    let kind = match launched.program.kind {
        Kind::Shell(_) => "a shell",
        _ => "an interpreter",
    };
    let severity = match launched.seen {
        // What lets someone in is normal only where people have said so.
        Seen::Known if !launched.enters() => Severity::Low.min(severity),
        _ => severity,
    };
    Some(Hit {
        rule: "process.shell_in_request",
        severity,
        confidence: if severity >= Severity::High { Confidence::Probable } else { Confidence::Suspicious },
        title: format!("ran {kind} for a request: `{}`", launched.line()),
        fact: format!("{kind} was launched while a request was open; {why}"),
        techniques: &["T1505.003", "T1059.004"],
    })
}

#[cfg(test)]
mod tests {
    use super::{super::launched::tests::scene, *};

    #[test]
    fn cases() {
        use Severity::{High, Low, Medium};
        let cases = [
            (scene(&["sh", "-c", "id"]), Some(High)),
            (scene(&["bash"]), Some(High)),
            (scene(&["python3", "-c", "import pty"]), Some(High)),
            (scene(&["python3", "/dev/shm/x.py"]), Some(High)),
            (scene(&["sh", "/dev/fd/5"]).with(|l| l.flags = exec_flag::CGI), Some(High)),
            (scene(&["/dev/shm/x", "-q"]), None),
            (scene(&["sh", "-c", "sh -i"]), Some(High)),
            (scene(&["sh", "-c", "convert a b"]), Some(Medium)),
            (scene(&["sh", "-c", "convert a b"]).with(|l| l.flags = exec_flag::ARGS_CUT), Some(High)),
            (scene(&["python3", "/srv/report.py"]).with(|l| l.flags = exec_flag::ARGS_CUT), Some(Medium)),
            (scene(&["python3", "/srv/report.py"]), Some(Medium)),
            (scene(&["sh", "-c", "id"]).with(|l| l.seen = Seen::Known), Some(Low)),
            (scene(&["sh", "-c", "id"]).with(|l| l.when = When::Idle(None)), None),
            (scene(&["sh", "/srv/cgi/x.sh"]).with(|l| l.flags = exec_flag::CGI), None),
            (scene(&["convert", "a"]), None),
            (
                scene(&["sh", "-c", "id"])
                    .with(|l| (l.below, l.flags) = (Below::Deeper { ordered: false }, exec_flag::CGI)),
                Some(Medium),
            ),
            (scene(&["sh", "-c", "ls -la"]), Some(High)),
            (scene(&["sh", "-c", "ls -la"]).with(|l| l.room.open = Some(0)), Some(Medium)),
            (scene(&["sh", "-c", "id"]).with(|l| l.below = Below::Deeper { ordered: false }), Some(Medium)),
            (scene(&["/usr/bin/python3", "/usr/bin/gunicorn", "app:app"]), None),
            (
                scene(&[
                    "/usr/bin/python3",
                    "-c",
                    "from multiprocessing.resource_tracker import main;main(4)",
                ]),
                None,
            ),
        ];
        for (case, severity) in cases {
            assert_eq!(case.severity(judge), severity, "{:?}", case.image.args);
        }
    }
}
