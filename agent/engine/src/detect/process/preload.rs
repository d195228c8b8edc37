//! `process.preload`: a server gives a child a library to load before all others, and has none itself.

use super::launched::{Below, Hit, Launched};
use crate::{Confidence, Severity, tasks::Stamp};
use tracer_common::exec_flag;

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    if launched.flags & exec_flag::PRELOAD == 0 {
        return None;
    }
    // `stdbuf` and its like set it for what they become; who is told to set it, by a shell or by `env`, shows that.
    let wrapped = launched.wrapped || launched.below == Below::Deeper { ordered: false };
    let seen = |stamp: Stamp| stamp.flags & (exec_flag::PRELOAD | exec_flag::ENVIRONMENT_CUT) != 0;
    let has_one = launched.stamp.map(seen).or(launched.server.given.map(|given| given.preload));
    let (severity, confidence) = match has_one {
        Some(true) => return None,
        Some(false) if !wrapped => (Severity::High, Confidence::Probable),
        // The server is older than the tracer, and may well have one.
        None | Some(false) => (Severity::Low, Confidence::Suspicious),
    };
    Some(Hit {
        rule: "process.preload",
        severity,
        confidence,
        title: format!("ran `{}` with a library loaded before all others", launched.line()),
        fact: "LD_PRELOAD or LD_AUDIT is set in its environment".to_owned(),
        techniques: &["T1574.006"],
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::launched::tests::{Scene, scene},
        *,
    };
    use crate::Given;

    /// Below a server that is older than the tracer.
    fn older(preload: bool) -> Scene {
        let mut scene = scene(&["id"]).with(|l| (l.flags, l.stamp) = (exec_flag::PRELOAD, None));
        scene.server.given = Some(Given { preload, ..Given::default() });
        scene
    }

    #[test]
    fn cases() {
        use Severity::{High, Low};
        let cases = [
            (scene(&["id"]).with(|l| l.flags = exec_flag::PRELOAD), Some(High)),
            (scene(&["id"]).with(|l| (l.flags, l.stamp) = (exec_flag::PRELOAD, None)), Some(Low)),
            (
                scene(&["id"]).with(|l| {
                    let stamp = Stamp { flags: exec_flag::PRELOAD, devices: [0; 3], ..Stamp::default() };
                    (l.flags, l.stamp) = (exec_flag::PRELOAD, Some(stamp));
                }),
                None,
            ),
            (older(false), Some(High)),
            (older(true), None),
            (scene(&["id"]), None),
            (scene(&["ffmpeg"]).with(|l| (l.flags, l.wrapped) = (exec_flag::PRELOAD, true)), Some(Low)),
            (
                scene(&["cc1"]).with(|l| {
                    (l.flags, l.below) = (exec_flag::PRELOAD, Below::Deeper { ordered: false });
                }),
                Some(Low),
            ),
        ];
        for (case, severity) in cases {
            assert_eq!(case.severity(judge), severity);
        }
    }
}
