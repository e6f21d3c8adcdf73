//! Keeps the memory of this process from other processes and from disks: no core dump, no debugger of the same user, no swap.

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Forbids core dumps, and other processes of the same user to look into this one. Called first of all by every command.
///
/// What fails is told on standard error and goes on: a system that cannot do it is no reason to serve nobody.
pub(super) fn keep_from_others() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let outcome = setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = outcome {
        super::output::warning(&format!(
            "core dumps could not be forbidden ({error}), so a crash could write keys to a disk"
        ));
    }
}

/// Keeps all memory of this process out of swap space, where the system lets it: pages are locked as they are first used, so nothing more is used than
/// otherwise.
///
/// Not under a finite limit of locked memory: an allocation beyond it would fail, and with it the process.
pub(super) fn keep_from_swap() {
    match lock() {
        Ok(()) => tracing::info!("memory is locked: no key reaches swap space"),
        Err(error) if has_swap() => tracing::warn!(
            %error,
            "memory is not locked, so keys may reach swap space; allow it (LimitMEMLOCK=infinity, --ulimit memlock=-1 or CAP_IPC_LOCK), or encrypt or turn off swap"
        ),
        Err(error) => {
            tracing::info!(%error, "memory is not locked; this machine has no swap space");
        }
    }
}

fn lock() -> Result<(), Errno> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if getrlimit(Resource::Memlock).current.is_some() {
        setrlimit(Resource::Memlock, unlimited)?;
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

/// Whether the system swaps; true where it does not tell. The first line of the table is its head (proc(5)).
fn has_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").map_or(true, |table| table.lines().count() > 1)
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn no_core_is_dumped_and_no_debugger_attaches() {
        keep_from_others();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
