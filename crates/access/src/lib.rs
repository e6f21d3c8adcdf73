//! Who may do what. No input and no output: time and randomness are parameters.
//!
//! ```text
//! short rules ──┐                        ┌ slices: the policies that can speak about one identity and one action
//!               ├─▶ Cedar, checked ──────┤
//! .cedar files ─┘   against the schema   └▶ decide(question) ─▶ allowed or not, by which policies, and why
//! ```
//!
//! Default deny; what forbids beats what permits; a policy that cannot be evaluated denies.

mod action;
mod decision;
mod engine;
mod question;
mod role;
mod rule;
mod schema;
mod slices;

pub use action::{Action, Level};
pub use decision::Decision;
pub use engine::{Engine, PolicyError, PolicyFile, Principals};
pub use question::{Circumstances, Principal, Question, Resource};
pub use role::Role;
pub use rule::{Rule, RuleError};
pub use schema::schema_text;
