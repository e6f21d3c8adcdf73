//! Break-glass grants: somebody may do something for a limited time, because others have signed that.
//!
//! ```text
//! GrantRequest ──sign──▶ Approval ─┐
//!                        Approval ─┼─▶ Grant ──verify(Rules, Revocations, now)──▶ VerifiedGrant ──allows──▶ yes or no
//!                        Approval ─┘
//! ```
//!
//! Everything is verified on every use; nothing that is stored anywhere can be edited to make a grant.

mod request;
mod revocation;
#[cfg(test)]
mod tests;
mod verification;

pub use request::{Approval, GRANT_NAMESPACE, Grant, GrantRequest, Scope};
pub use revocation::{
    REVOCATIONS_NAMESPACE, RevocationError, RevocationList, Revocations, SignedRevocationList,
};
pub use verification::{Approver, GrantError, Rules, VerifiedGrant};
