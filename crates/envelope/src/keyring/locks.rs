//! What the callers of a keyring meet at: locks and counters of the standard library, or those of shuttle, which tries the orders in which they can
//! meet (`tests/threads`).

#[cfg(not(shuttle))]
pub(super) use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

#[cfg(shuttle)]
pub(super) use shuttle::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
