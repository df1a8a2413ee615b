//! Keeps the memory of a process that breaks, and with it keys and requests, off the disk.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Too small for a core file; and for a core that is piped to a program, to which no other limit
/// applies, Linux takes just this number for "none" (core(5), `do_coredump`).
const NONE: u64 = 1;

/// Lets the kernel write no core dump of this process. `PR_SET_DUMPABLE` would do that too, and
/// hide the process from its own user; but that user can read the configuration anyway, and whoever
/// looks for a fault needs `strace` and `ss`.
pub(crate) fn forbid() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let current = Some(maximum.map_or(NONE, |maximum| maximum.min(NONE)));
    // It cannot fail: everybody may lower the limit.
    let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
}
