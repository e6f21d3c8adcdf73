//! Bytes on their way: plaintext in, segments out, and the reverse. Everything here is pulled by the side that receives, so memory stays flat
//! and no task or channel stands between a client and its storage.
//!
//! ```text
//! upload    client ─▶ Plaintext ─▶ SealingStream ─▶ upstream      (last segment withheld until the body verified)
//! download  upstream ─▶ OpeningStream ─▶ client                  (each segment verified before it is released)
//! copy      upstream ─▶ OpeningStream ─▶ Plaintext ─▶ SealingStream ─▶ upstream
//! ```

mod opening;
mod plaintext;
mod sealing;

pub use opening::{OpeningStream, RegionCheck};
pub use plaintext::{Plaintext, VerifiedPlaintext};
pub use sealing::{SealedBody, SealingStream, Trailing};
