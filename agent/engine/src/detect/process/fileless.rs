//! `process.fileless`: an image that has no name in any directory.

use super::launched::{Hit, Launched};
use crate::{Confidence, Severity};

/// Judges a launch.
pub fn judge(launched: &Launched<'_>) -> Option<Hit> {
    let kind = launched.image.fileless?;
    // A runtime that executes a sealed copy of itself goes on as it was called; so does a server whose own file
    // was replaced by an upgrade.
    if launched.itself || launched.is_server_again() {
        return None;
    }
    let what = match kind {
        "memfd" => "an image that lies in memory only (memfd)",
        _ => "an image whose file was deleted before it ran",
    };
    Some(Hit {
        rule: "process.fileless",
        severity: Severity::Critical,
        confidence: Confidence::Confirmed,
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
        assert_eq!(fileless(&own, Some("unlinked")).judge(judge), None, "an upgrade");
        let clone = fileless(&["runc", "init"], Some("memfd")).with(|l| l.itself = true);
        assert_eq!(clone.judge(judge), None, "a sealed copy of itself");
    }
}
