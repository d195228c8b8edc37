//! Everything that enters the engine.

use crate::Usual;
use serde::{Deserialize, Serialize};

/// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`): the clock of the kernel's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// This time plus `ms` milliseconds.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms * 1_000_000))
    }

    /// Nanoseconds from `earlier` to this time; 0 when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the engine must know before the first input; part of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Nanoseconds to add to a [`Time`] to get nanoseconds since the Unix epoch.
    pub boot_to_unix_ns: u64,
    /// `host.name` of the observed node.
    pub host_name: String,
    /// `host.id` of the observed node (`/etc/machine-id`), when it has one.
    pub host_id: Option<String>,
}

/// One thing that entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A record of [`tracer_common`], as the kernel wrote it. What cannot be decoded is counted.
    Record(&'a [u8]),
    /// Records that the kernel side could not deliver since the last such input, one number for each
    /// cause of [`tracer_common::lost`].
    Lost([u64; tracer_common::lost::CAUSES as usize]),
    /// The answer to [`Output::DescribeProcess`](crate::Output::DescribeProcess).
    Process(ProcessFacts),
    /// What is usual for a service from now on: learned before, or said by someone. With nothing in it the
    /// service is forgotten.
    Baseline(Usual),
    /// Only time has passed.
    Tick,
}

/// What `/proc` said of a process. Empty where it could not be read, or the process was gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// The process that was asked about, in the initial pid namespace.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// `readlink /proc/PID/exe`.
    pub exe: String,
    /// `/proc/PID/cmdline`, at most 64 arguments of at most 1 KiB.
    pub args: Vec<String>,
    /// `/proc/PID/comm`.
    pub comm: String,
    /// Variables of its environment that name it: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`.
    pub environment: Vec<(String, String)>,
    /// The path of its cgroup, v2 where there is one, else that of systemd's hierarchy.
    pub cgroup: String,
    /// Real user id.
    pub uid: u32,
    /// Working directory.
    pub cwd: String,
    /// What its image was launched with, where that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
}

/// What an image was launched with, of what its children may have from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Whether `LD_PRELOAD` or `LD_AUDIT` is in its environment.
    pub preload: bool,
    /// Devices of the pseudo-terminals on descriptors 0, 1 and 2, as the kernel numbers them; 0 for anything else.
    pub terminals: [u32; 3],
}
