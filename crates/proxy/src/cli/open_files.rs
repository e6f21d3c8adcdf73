//! How many files and connections this process may have at once.
//!
//! Services and shells often start with a soft limit of 1,024, far below the hard one, for the sake of old programs that can't handle more. The
//! default of `limits.connections` alone is as many, and each request needs connections of its own to the storage and to key services.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::LimitsConfig;

/// What neither clients nor their requests need: listeners, logs, probes, key services, idle connections to the storage.
const OTHERS: u64 = 256;

/// Takes as many as the system lets this process have, and warns where that is too few for these limits.
pub(super) fn allow(limits: &LimitsConfig) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
    let needed = needed(limits);
    if let Some(current) = getrlimit(Resource::Nofile).current
        && current < needed
    {
        tracing::warn!(
            current,
            needed,
            "the system allows too few open files for limits.connections and limits.concurrent_requests; raise the limit (LimitNOFILE= of the service, --ulimit nofile= of the container), or lower these"
        );
    }
}

/// A connection of each client, and two to the storage for each request: a copy that is sealed anew reads and writes.
fn needed(limits: &LimitsConfig) -> u64 {
    let requests = limits.concurrent_requests + 3 * limits.unsigned_requests;
    (limits.connections + 2 * requests) as u64 + OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let before = getrlimit(Resource::Nofile);
        let mut lower = before;
        // One less is lower, and no other test misses it.
        lower.current = Some(before.maximum.map_or(1 << 20, |most| most - 1));
        setrlimit(Resource::Nofile, lower).unwrap();
        allow(&LimitsConfig::default());
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }

    #[test]
    fn what_is_needed_follows_from_the_limits() {
        let limits = LimitsConfig {
            connections: 1_000,
            concurrent_requests: 100,
            unsigned_requests: 10,
            ..LimitsConfig::default()
        };
        assert_eq!(needed(&limits), 1_260 + OTHERS);
    }
}
