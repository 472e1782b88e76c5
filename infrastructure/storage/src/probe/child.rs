//! The child: takes its limits, shuts its doors, and only then opens the file.

use std::io::{Read, Write};

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::setsid;

use super::{Answer, Refusal, Request, decode};

/// Longest request that is read.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// Files that the child and its decoders may have open.
const FILES_MAX: u64 = 64;

/// The whole life of the child: reads one request from standard input, answers one line, ends.
/// Call it first thing in `main`, before any thread is started. Exits with 2 where the request is none.
pub fn probe_child_main() {
    let mut text = String::new();
    let read = std::io::stdin().take(REQUEST_BYTES_MAX).read_to_string(&mut text);
    let request: Request = match read.map(|_| serde_json::from_str(&text)) {
        Ok(Ok(request)) => request,
        Ok(Err(_)) | Err(_) => std::process::exit(2),
    };
    let answer = match close_doors(&request) {
        Ok(network_off) => match decode::look_at(&request) {
            Ok(mut facts) => {
                facts.network_off = network_off;
                Answer::Facts(facts)
            }
            Err(refusal) => Answer::Refused(refusal),
        },
        Err(error) => Answer::Refused(Refusal::Unreadable(format!("the sandbox could not be made: {error}"))),
    };
    let line = serde_json::to_vec(&answer).unwrap_or_default();
    if std::io::stdout().write_all(&line).is_err() {
        std::process::exit(2);
    }
}

/// Gives up what the child does not need; what a decoder starts inherits it. Whether the network could be
/// cut off is answered: not every kernel lets an ordinary user do so.
fn close_doors(request: &Request) -> nix::Result<bool> {
    let limit = |resource, value| setrlimit(resource, value, value);
    limit(Resource::RLIMIT_CORE, 0)?;
    limit(Resource::RLIMIT_CPU, request.cpu_s)?;
    limit(Resource::RLIMIT_AS, request.memory_bytes)?;
    // Not one byte into any file: the answer leaves through a pipe.
    limit(Resource::RLIMIT_FSIZE, 0)?;
    limit(Resource::RLIMIT_NOFILE, FILES_MAX)?;
    set_no_new_privs()?;
    // The parent has made it the leader of a group already where this fails.
    let _ = setsid();
    let network_off = unshare(CloneFlags::CLONE_NEWNET).is_ok()
        || unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).is_ok();
    Ok(network_off)
}
