//! The clocks of a live run.

use rustix::time::{ClockId, Timespec, clock_gettime};
use tracer_engine::Time;

/// Nanoseconds since boot, suspend included: the clock of the kernel's records.
pub fn now() -> Time {
    Time(nanoseconds(clock_gettime(ClockId::Boottime)))
}

/// What to add to [`now`] to get nanoseconds since the Unix epoch.
pub fn boot_to_unix_ns() -> u64 {
    // Half way between two readings of one clock, what the other showed in between is least wrong.
    let before = now().0;
    let unix = nanoseconds(clock_gettime(ClockId::Realtime));
    let after = now().0;
    unix.saturating_sub(before.midpoint(after))
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn boot_time_and_offset_give_the_time_of_day() {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert!(now().0.saturating_add(boot_to_unix_ns()).abs_diff(unix) < 1_000_000_000);
    }
}
