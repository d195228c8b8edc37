//! `tracer doctor`: what this node allows, and why the rest does not work.

use crate::{
    Unavailable,
    kernel::{
        Options,
        hooks::{self, Attached},
    },
    print,
};
use anyhow::{Result, anyhow};
use serde_json::json;
use std::process::ExitCode;

/// Numbers of capabilities (`linux/capability.h`).
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
/// The smallest ring buffer there is: only to see whether one can be made.
const PROBE_RING: u32 = 64 << 10;

/// One line of the report.
struct Check {
    name: String,
    state: State,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It works.
    Works,
    /// It does not, and the tracer goes on without it.
    Missing,
    /// It does not, and nothing can be traced.
    Blocks,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Works => "ok",
            // Elsewhere, too, what this kernel refused is called missing.
            Self::Missing | Self::Blocks => "missing",
        }
    }
}

/// Reports on stdout.
///
/// # Errors
/// [`Unavailable`] when something is missing without which nothing can be traced.
pub fn run(as_json: bool) -> Result<ExitCode> {
    let checks = checks();
    if as_json {
        let list: Vec<_> = checks
            .iter()
            .map(|c| {
                let blocks = c.state == State::Blocks;
                json!({"name": c.name, "state": c.state.word(), "blocks": blocks, "detail": c.detail})
            })
            .collect();
        print(format!("{}\n", json!({"ready": can_trace(&checks), "checks": list})).as_bytes())?;
    } else {
        print(text(&checks).as_bytes())?;
    }
    if can_trace(&checks) {
        return Ok(ExitCode::SUCCESS);
    }
    let missing: Vec<_> =
        checks.iter().filter(|c| c.state == State::Blocks).map(|c| c.name.as_str()).collect();
    Err(Unavailable(anyhow!("this node cannot be traced, see above: {}", missing.join(", "))).into())
}

fn can_trace(checks: &[Check]) -> bool {
    checks.iter().all(|c| c.state != State::Blocks)
}

fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|c| c.name.len()).max().unwrap_or_default();
    checks.iter().map(|c| format!("{:<7}  {:<width$}  {}\n", c.state.word(), c.name, c.detail)).collect()
}

fn checks() -> Vec<Check> {
    let mut checks = vec![kernel(), privilege(), processes()];
    match hooks::load(Options { snap: 256, ring_bytes: PROBE_RING }) {
        Ok(loaded) => checks.extend(loaded.hooks.iter().map(hook)),
        Err(error) => {
            checks.push(Check {
                name: "programs".into(),
                state: State::Blocks,
                detail: format!("{error:#}"),
            });
        }
    }
    checks
}

fn kernel() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Check { name: "kernel".into(), state: State::Works, detail: release }
}

/// What privilege is missing, and what to do about it.
///
/// # Errors
/// [`Unavailable`] when programs cannot be loaded by this user.
pub fn require_privilege() -> Result<(), Unavailable> {
    let Check { state, detail, .. } = privilege();
    if state == State::Works { Ok(()) } else { Err(Unavailable(anyhow!("tracing this node {detail}"))) }
}

fn privilege() -> Check {
    let (state, detail) = judge_privilege(held());
    Check { name: "privilege".into(), state, detail: detail.into() }
}

/// Whether `/proc` tells of other users' processes who they are (`ptrace_may_access`, `proc_pid_permission`).
fn processes() -> Check {
    let (state, detail) = judge_processes(held());
    Check { name: "processes".into(), state, detail: detail.into() }
}

fn judge_processes(held: u64) -> (State, &'static str) {
    if has(held, CAP_SYS_PTRACE) && has(held, CAP_DAC_READ_SEARCH) {
        (State::Works, "executables, directories and variables of other users' processes")
    } else {
        (
            State::Missing,
            "traced without executables, directories and variables (OTEL_SERVICE_NAME) of other users' processes: \
             needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        )
    }
}

/// Effective capabilities of this process; none when `/proc` does not tell.
fn held() -> u64 {
    procfs::process::Process::myself().and_then(|me| me.status()).map_or(0, |status| status.capeff)
}

const fn has(held: u64, capability: u32) -> bool {
    held & (1 << capability) != 0
}

fn judge_privilege(held: u64) -> (State, &'static str) {
    if has(held, CAP_SYS_ADMIN) || (has(held, CAP_BPF) && has(held, CAP_PERFMON)) {
        (State::Works, "may load and attach programs")
    } else {
        (State::Blocks, "needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN: run it with sudo")
    }
}

fn hook(attached: &Attached) -> Check {
    let hook = attached.hook;
    let (state, detail) = match &attached.problem {
        None => (State::Works, hook.gives.to_owned()),
        Some(problem) => {
            let (state, loss) = if hook.essential {
                (State::Blocks, "nothing can be traced without")
            } else {
                (State::Missing, "traced without")
            };
            (state, format!("{loss} {}: {problem}", hook.gives))
        }
    };
    Check { name: hook.name.into(), state, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::hooks::HOOKS;

    fn check(name: &str, state: State) -> Check {
        Check { name: name.into(), state, detail: "why".into() }
    }

    #[test]
    fn only_what_blocks_makes_a_node_unfit() {
        let mut checks = vec![check("a", State::Works), check("b", State::Missing)];
        assert!(can_trace(&checks));
        checks.push(check("c", State::Blocks));
        assert!(!can_trace(&checks));
    }

    #[test]
    fn the_report_is_a_table() {
        let checks = [check("kernel", State::Works), check("sock_send_length", State::Missing)];
        assert_eq!(text(&checks), "ok       kernel            why\nmissing  sock_send_length  why\n");
    }

    #[test]
    fn a_refused_hook_says_what_that_costs_and_why() {
        for attached in HOOKS {
            let refused = hook(&Attached { hook: attached, problem: Some("refused".into()) });
            let blocks = refused.state == State::Blocks;
            assert_eq!((refused.state.word(), blocks), ("missing", attached.essential));
            assert_eq!(refused.detail.contains("nothing can be traced"), blocks);
            assert!(refused.detail.ends_with(&format!("{}: refused", attached.gives)), "{}", refused.detail);
        }
    }

    #[test]
    fn privileges_are_root_or_both_capabilities() {
        let state = |held| judge_privilege(held).0 == State::Works;
        assert!(state(1 << CAP_SYS_ADMIN));
        assert!(state(1 << CAP_BPF | 1 << CAP_PERFMON));
        assert!(!state(1 << CAP_BPF));
        assert!(!state(0));
    }

    #[test]
    fn without_a_view_of_other_users_processes_less_is_traced() {
        let state = |held| judge_processes(held).0.word();
        assert_eq!(state(1 << CAP_SYS_PTRACE | 1 << CAP_DAC_READ_SEARCH), "ok");
        assert_eq!(state(1 << CAP_SYS_PTRACE), "missing");
        assert!(judge_processes(0).0 != State::Blocks, "spans are told all the same");
    }
}
