//! Break-glass grants: somebody may do something for a limited time, because others have signed that.
//!
//! ```text
//! GrantRequest ──sign──▶ Approval ─┐
//!                        Approval ─┼─▶ Grant ──verify(Rules, Revocations, now)──▶ VerifiedGrant ──allows──▶ yes or no
//!                        Approval ─┘
//! ```
//!
//! Everything is verified on every use; nothing that is stored anywhere can be edited to make a grant.

mod record;
mod request;
mod revocation;
#[cfg(test)]
mod tests;
mod verification;

pub use record::{GrantRecord, RECORD_LIMIT, RecordError, Votes};
pub use request::{
    Approval, DENIAL_NAMESPACE, Denial, GRANT_NAMESPACE, Grant, GrantRequest, NONCE_ENTROPY, Scope,
    is_id, nonce_of,
};
pub use revocation::{
    REVOCATIONS_NAMESPACE, RevocationError, RevocationList, Revocations, SIGNED_LIST_LIMIT,
    SignedRevocationList,
};
pub use verification::{APPROVALS_LIMIT, Approver, GrantError, Rules, User, VerifiedGrant, folded};
