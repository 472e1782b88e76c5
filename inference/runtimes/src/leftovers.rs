//! Finds processes by a mark in their environment, which every descendant of a model process inherits, also
//! one that left the process group. A process number alone could name an innocent one by now.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The environment variable that carries the mark.
pub(crate) const MARK: &str = "BACKLOT_PROCESS_MARK";
/// A process may fork while it is being looked for; this many rounds find the children of any sane one.
const ROUNDS_MAX: usize = 8;

/// Kills every process whose mark begins with `prefix`. Returns how many it killed. Blocks for some
/// milliseconds.
pub(crate) fn kill_marked(prefix: &str) -> usize {
    let mut killed = 0;
    for _ in 0..ROUNDS_MAX {
        let found = marked(prefix);
        if found.is_empty() {
            break;
        }
        killed += found.iter().filter(|pid| kill(**pid, Signal::SIGKILL).is_ok()).count();
    }
    killed
}

/// Processes whose mark begins with `prefix`. Ended ones that nobody waited for have no environment any more
/// and are not found.
fn marked(prefix: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={prefix}").into_bytes();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = std::process::id();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && has_variable(*pid, &wanted))
        .filter_map(|pid| i32::try_from(pid).ok().map(Pid::from_raw))
        .collect()
}

fn has_variable(pid: u32, wanted: &[u8]) -> bool {
    // Other users' processes cannot be read, and are none of ours.
    let Ok(environment) = std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ")) else {
        return false;
    };
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(wanted))
}
