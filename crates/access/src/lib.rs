//! Who may do what. No input and no output: time and randomness are parameters.
//!
//! ```text
//! short rules ──┐                        ┌ slices: the policies that can speak about one identity and one action
//!               ├─▶ Cedar, checked ──────┤
//! .cedar files ─┘   against the schema   └▶ decide(question) ─▶ allowed or not, by which policies, and why
//! ```
//!
//! Default deny; what forbids beats what permits; a policy that cannot be evaluated denies. Decisions that depend on no more than the bucket and the
//! beginning of the key are remembered.
//!
//! Beside policies: [`token`], session tokens that any replica verifies without shared state; [`web_identity`], tokens of identity providers;
//! and [`grant`], break-glass grants, which approvers sign with Ed25519 keys ([`PrivateKey`], [`PublicKey`]), also those of OpenSSH.

mod action;
mod audience;
mod canonical;
mod decision;
mod dependence;
mod engine;
pub mod grant;
mod moment;
mod question;
mod remembered;
mod role;
mod rule;
mod schema;
mod signature;
mod slices;
pub mod token;
pub mod web_identity;

pub use action::{Action, Level};
pub use canonical::CanonicalError;
pub use decision::Decision;
pub use engine::{Engine, PolicyError, PolicyFile, Principals};
pub use moment::rfc3339;
pub use question::{Circumstances, Principal, Question, Resource, SessionFacts};
pub use role::Role;
pub use rule::{Rule, RuleError};
pub use schema::schema_text;
pub use signature::{PrivateKey, PublicKey, Signature, SignatureError};
