//! `process.remote_shell`: someone elsewhere types into a shell.

use super::{
    launched::{Below, Hit, Launched},
    program::{Kind, Told},
};
use crate::{Confidence, Severity};
use tracer_common::exec_flag;

/// Judges a launch: a shell or an interpreter whose standard streams are a network connection, or that a server
/// became; any program that takes its input from a connection which this side began, and answers on it.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    if launched.is_server_again() {
        return None;
    }
    let network = launched.network();
    let line = launched.line();
    // The number of a socket may have been that of a connection before.
    let outbound = |n: usize| launched.streams.outbound[n] && network.contains(&n);
    let called_home = outbound(0) && outbound(1);
    if !launched.program.interprets() {
        // What it is called says nothing: a shell may have been copied.
        return called_home.then(|| Hit {
            severity: Severity::High,
            ..hit(
                format!("ran `{line}` on a connection to elsewhere"),
                format!(
                    "its standard {}: a TCP socket that this side connected",
                    Launched::standard(&network)
                ),
                Confidence::Probable,
            )
        });
    }
    // FastCGI gives a program its listener as standard input, and nothing else of the network; some servers give a
    // CGI script the request's own connection (RFC 3875, 6.2 leaves how).
    let script = launched.flags & exec_flag::CGI != 0 && !launched.takes_orders() && !called_home;
    // Who serves a request may give its connection to what it runs for that, as inetd does; a shell that takes its
    // commands there takes them from whoever sent it.
    let reads = matches!(launched.program.kind, Kind::Shell(Told::Input) | Kind::Interpreter(Told::Input));
    let network: Vec<_> = network.into_iter().filter(|n| reads || !launched.streams.serving[*n]).collect();
    let connected = !script && network.iter().any(|n| *n > 0) || network == [0] && launched.takes_orders();
    let (title, fact) = if connected {
        let which = Launched::standard(&network);
        (format!("ran `{line}` on a network connection"), format!("its standard {which}: a TCP socket"))
    } else if launched.below == Below::Same && launched.takes_orders() {
        (format!("became `{line}`"), "the process that read requests executed it without a fork".to_owned())
    } else {
        return None;
    };
    Some(hit(title, fact, Confidence::Confirmed))
}

/// What is said of one, however it was found.
pub fn hit(title: String, fact: String, confidence: Confidence) -> Hit {
    Hit {
        rule: "process.remote_shell",
        severity: Severity::Critical,
        confidence,
        title,
        fact,
        techniques: &["T1059.004", "T1571"],
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::launched::tests::{inet, null, pipe, scene, unix},
        *,
    };

    #[test]
    fn fires() {
        let cases = [
            scene(&["sh", "-i"]).with(|l| l.descriptors = [inet(), inet(), inet()]),
            scene(&["bash"]).with(|l| l.descriptors = [inet(), pipe(), pipe()]),
            scene(&["bash", "-i"]).with(|l| l.descriptors = [null(), inet(), null()]),
            scene(&["python3", "-c", "x"]).with(|l| l.descriptors = [inet(), inet(), pipe()]),
            scene(&["sh", "-c", "id"]).with(|l| l.below = Below::Same),
            scene(&["sh"]).with(|l| l.below = Below::Same),
            scene(&["sh", "/srv/x.sh"]).with(|l| (l.descriptors, l.flags) = ([inet(); 3], 0)),
            scene(&["sh", "-i"]).with(|l| (l.descriptors, l.streams.serving) = ([inet(); 3], [true; 3])),
        ];
        for case in cases {
            assert_eq!(case.severity(judge), Some(Severity::Critical), "{:?}", case.image.args);
        }
    }

    #[test]
    fn a_program_under_any_name_that_was_connected_to_elsewhere() {
        let case = scene(&["/tmp/a/kworker"])
            .with(|l| (l.descriptors, l.streams.outbound) = ([inet(); 3], [true; 3]));
        assert_eq!(case.severity(judge), Some(Severity::High));
    }

    #[test]
    fn stays_quiet() {
        let cases = [
            // Node and mod_cgid give every child unix sockets.
            scene(&["sh", "-c", "id"]).with(|l| l.descriptors = [unix(), unix(), unix()]),
            // A FastCGI application with its listener.
            scene(&["php", "-f", "/srv/x.php"]).with(|l| l.descriptors = [inet(), null(), null()]),
            // Whom the server hands the request's own connection to.
            scene(&["convert", "a"]).with(|l| l.descriptors = [inet(), inet(), inet()]),
            scene(&["perl", "/srv/x.cgi"]).with(|l| {
                (l.descriptors, l.flags) = ([null(), inet(), null()], exec_flag::CGI);
            }),
            scene(&["convert", "a"]).with(|l| {
                (l.descriptors, l.streams.outbound) = ([null(), inet(), null()], [false, true, false])
            }),
            // What inetd does.
            scene(&["sh", "/srv/x.sh"])
                .with(|l| (l.descriptors, l.streams.serving) = ([inet(); 3], [true; 3])),
            scene(&["sh", "-c", "date"])
                .with(|l| (l.descriptors, l.streams.serving) = ([inet(); 3], [true; 3])),
            // A reload in place.
            scene(&["/usr/bin/python3", "/usr/bin/gunicorn", "app:app"]).with(|l| l.below = Below::Same),
            scene(&["python3", "/srv/other.py"]).with(|l| l.below = Below::Same),
        ];
        for case in cases {
            assert_eq!(case.judge(judge), None, "{:?}", case.image.args);
        }
    }
}
