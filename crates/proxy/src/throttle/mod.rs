//! Bounds for one of many clients: by identity, once a signature was verified, and by address, before anything is.
//!
//! ```text
//! address: failed signatures ─ requests a second ─ requests at once
//!                                                       │ signature
//! identity:                    requests a second ─ requests at once
//!                                                       │
//! both:                        bytes a second, of bodies in both directions
//! ```
//!
//! Too many requests are answered 503 SlowDown with Retry-After, at once; too many bytes go slower. Identities are as many as the configuration
//! has; addresses are kept in a table of fixed size, from which those that were not seen for longest go.

mod addresses;
mod pace;
mod share;

pub(crate) use self::addresses::{Addresses, client};
pub(crate) use self::pace::{Pace, Paced};
pub(crate) use self::share::{Excess, Share};
