//! `process.shell_in_request`: a request makes a server run a shell, or an interpreter with code for it.
//!
//! `system` of C and PHP, `exec` of Node, backticks go through a shell whatever they run: one plain command in it
//! is no more than a launch of that program. What makes a shell of it is what only a shell can do, and what one
//! types at its prompt.

use super::{
    launched::{Below, Hit, Launched, When},
    program::{Kind, Told, is_dropped, is_of_a_session},
    shell::Script,
};
use crate::{Confidence, Severity, detect::Seen};
use tracer_common::exec_flag;

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let When::InFlight(_) = launched.when else { return None };
    if launched.below == Below::Same || launched.is_server_again() || launched.is_helper() {
        return None;
    }
    let dropped = is_dropped(&launched.image.file);
    // RFC 3875: what a server is there to run.
    if launched.flags & exec_flag::CGI != 0 && !launched.program.takes_orders() && !dropped {
        return None;
    }
    let kind = match launched.program.kind {
        Kind::Shell(_) => "a shell",
        Kind::Interpreter(_) => "an interpreter",
        Kind::Other => "a program from memory",
    };
    let (severity, why) = match dropped {
        true => (Severity::High, "its file lies in memory"),
        false => told(launched.program.kind)?,
    };
    let severity = match launched.seen {
        Seen::Known => Severity::Low.min(severity),
        Seen::Cold | Seen::New => severity,
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

/// How bad what a shell or an interpreter is told to run is when nothing in a request explains it.
pub fn told(kind: Kind<'_>) -> Option<(Severity, &'static str)> {
    Some(match kind {
        Kind::Other => return None,
        Kind::Shell(Told::Text(text)) => command(text),
        Kind::Interpreter(Told::Text(_)) => (Severity::High, "its code is an argument"),
        Kind::Shell(Told::Input) | Kind::Interpreter(Told::Input) => {
            (Severity::High, "it takes commands from its standard input")
        }
        Kind::Shell(Told::File(file)) | Kind::Interpreter(Told::File(file)) => {
            if is_dropped(file) {
                (Severity::High, "it runs a file that lies in memory")
            } else {
                (Severity::Medium, "it runs a file")
            }
        }
    })
}

fn command(text: &str) -> (Severity, &'static str) {
    let script = Script::of(text);
    if script.elaborate {
        (Severity::High, "its text is more than commands in a row")
    } else if script.programs().any(|(program, args)| is_of_a_session(program, args)) {
        (Severity::High, "it runs what one types at a prompt")
    } else {
        (Severity::Medium, "it runs a plain command")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::launched::tests::scene, *};

    #[test]
    fn cases() {
        use Severity::{High, Low, Medium};
        let cases = [
            (scene(&["sh", "-c", "id"]), Some(High)),
            (scene(&["sh", "-c", "cd /srv; ./x"]), Some(High)),
            (scene(&["sh", "-c", "x `y`"]), Some(High)),
            (scene(&["bash"]), Some(High)),
            (scene(&["python3", "-c", "import pty"]), Some(High)),
            (scene(&["python3", "/dev/shm/x.py"]), Some(High)),
            (scene(&["/dev/shm/x", "-q"]), Some(High)),
            (scene(&["/dev/fd/5"]).with(|l| l.flags = exec_flag::CGI), Some(High)),
            (scene(&["/proc/self/exe", "worker"]), None),
            (scene(&["sh", "-c", "sh -i"]), Some(High)),
            (scene(&["sh", "-c", "convert a b"]), Some(Medium)),
            (scene(&["sh", "-c", "convert a b 2>&1"]), Some(Medium)),
            (scene(&["sh", "-c", "/usr/sbin/sendmail -t -i"]), Some(Medium)),
            (scene(&["python3", "/srv/report.py"]), Some(Medium)),
            (scene(&["sh", "-c", "id"]).with(|l| l.seen = Seen::Known), Some(Low)),
            (scene(&["sh", "-c", "id"]).with(|l| l.when = When::Idle(None)), None),
            (scene(&["sh", "/srv/cgi/x.sh"]).with(|l| l.flags = exec_flag::CGI), None),
            (scene(&["convert", "a"]), None),
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
