//! `process.pty_shell`: a shell with a terminal of its own, below a server.

use super::launched::{Hit, Launched};
use crate::{Confidence, Severity};

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let terminals = launched.terminals();
    if terminals.is_empty() || !launched.program.interprets() || launched.is_server_again() {
        return None;
    }
    // A server that someone started at a prompt has a terminal too, and gives it to its children.
    let (severity, confidence) = match launched.knows_server() {
        true => (Severity::High, Confidence::Probable),
        false => (Severity::Medium, Confidence::Suspicious),
    };
    Some(Hit {
        rule: "process.pty_shell",
        severity,
        confidence,
        title: format!("ran `{}` on a terminal", launched.line()),
        fact: format!(
            "its standard {}: a pseudo-terminal that the server does not have",
            Launched::standard(&terminals)
        ),
        techniques: &["T1059.004"],
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::launched::tests::{Scene, inet, pts, scene},
        *,
    };
    use crate::{Given, tasks::Stamp};

    /// Below a server that is older than the tracer, with this on its standard input.
    fn older(terminal: u32) -> Scene {
        let mut scene = scene(&["bash"]).with(|l| (l.descriptors, l.stamp) = ([pts(3); 3], None));
        scene.server.given = Some(Given { preload: false, terminals: [terminal, 0, 0] });
        scene
    }

    #[test]
    fn cases() {
        use Severity::{High, Medium};
        let cases = [
            (scene(&["bash"]).with(|l| l.descriptors = [pts(3), pts(3), pts(3)]), Some(High)),
            (scene(&["bash"]).with(|l| (l.descriptors, l.stamp) = ([pts(3); 3], None)), Some(Medium)),
            (
                scene(&["bash"]).with(|l| {
                    let own = Stamp { devices: [0, pts(3).rdev, 0], ..Stamp::default() };
                    (l.descriptors, l.stamp) = ([pts(3); 3], Some(own));
                }),
                None,
            ),
            (older(0), Some(High)),
            (older(pts(3).rdev), None),
            (scene(&["bash"]).with(|l| l.descriptors = [inet(); 3]), None),
            (scene(&["convert"]).with(|l| l.descriptors = [pts(3); 3]), None),
        ];
        for (case, severity) in cases {
            assert_eq!(case.severity(judge), severity);
        }
    }
}
