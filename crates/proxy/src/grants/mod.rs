//! Break-glass grants in a running gateway: verified on every request that is made with one, and while its answer is sent.
//!
//! ```text
//! list of revocations ─ Source ─▶ Authority ─ verify ─▶ Granted ─ allows? ─▶ rights of the request
//!                                     ▲                    └ still_counts? ─▶ each piece of a body
//!                       Clock ────────┘
//! ```

mod age;
mod authority;
mod clock;
mod source;
mod watched;

pub(crate) use age::aging;
pub(crate) use authority::{Authority, Granted};
pub(crate) use clock::{Clock, last_written};
pub(crate) use source::{Source, read_file};
pub(crate) use watched::{watched_answer, watched_upload};
