//! `process.fileless`: an image that has no name in any directory.

use super::launched::{Hit, Launched};
use crate::{Confidence, Severity};

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let kind = launched.image.fileless?;
    // A server whose own file was replaced by an upgrade goes on as it was called.
    if kind == "unlinked" && launched.is_server_again() && launched.is_server_file() {
        return None;
    }
    // So do a runtime that executes a sealed copy of itself, and a program whose helpers are itself; but whoever executes
    // anything may call it so.
    let again = launched.itself || kind == "unlinked" && launched.beside;
    let (severity, confidence) = match again {
        true => (Severity::Medium, Confidence::Suspicious),
        false => (Severity::Critical, Confidence::Confirmed),
    };
    let what = match kind {
        "memfd" => "an image that lies in memory only (memfd)",
        _ => "an image whose file was deleted before it ran",
    };
    Some(Hit {
        rule: "process.fileless",
        severity,
        confidence,
        title: format!("ran {what} as `{}`", launched.line()),
        fact: format!("the image's inode has no link; it was executed as `{}`", launched.image.file),
        techniques: &["T1620", "T1036"],
    })
}

#[cfg(test)]
mod tests {
    use super::{super::launched::tests::scene, *};

    #[test]
    fn fires_and_stays_quiet() {
        let fileless = |args: &[&str], kind| {
            let mut scene = scene(args);
            scene.image.fileless = kind;
            scene
        };
        for kind in ["memfd", "unlinked"] {
            assert!(fileless(&["[kworker/0:1]"], Some(kind)).judge(judge).is_some(), "{kind}");
        }
        assert_eq!(fileless(&["id"], None).judge(judge), None);
        let own = ["/usr/bin/python3", "/usr/bin/gunicorn", "app:app"];
        let executed = |file: &str, kind| {
            let mut scene = fileless(&own, Some(kind));
            scene.image.file = file.into();
            scene.severity(judge)
        };
        for file in ["/usr/bin/python3.11", "/proc/self/exe"] {
            assert_eq!(executed(file, "unlinked"), None, "an upgrade");
        }
        assert_eq!(executed("/tmp/x", "unlinked"), Some(Severity::Critical), "in the server's name");
        assert_eq!(executed("/usr/bin/python3.11", "memfd"), Some(Severity::Critical), "no server is one");
        let clone = fileless(&["runc", "init"], Some("memfd")).with(|l| l.itself = true);
        assert_eq!(clone.severity(judge), Some(Severity::Medium), "a sealed copy of itself");
    }
}
