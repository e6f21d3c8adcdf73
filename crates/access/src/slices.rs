//! Slices: of all policies, those that can speak about one principal and one action.
//!
//! What a policy's scope rules out for a principal and an action is ruled out whatever the resource and the circumstances are, so leaving it
//! away changes no decision (Cutler et al., "Cedar", 2024, section 5.3: policy slicing). What remains is a handful, and each request evaluates
//! only these.

use std::sync::OnceLock;

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint,
};

use crate::{action::Action, dependence::Dependence};

/// Policies, and what they look at.
pub(crate) struct Slice {
    pub(crate) policies: PolicySet,
    pub(crate) dependence: Dependence,
}

impl Slice {
    fn new(policies: PolicySet) -> Self {
        Self {
            dependence: Dependence::of(&policies),
            policies,
        }
    }
}

/// Whether the scope of a policy lets it speak about an action.
pub(crate) fn may_speak_of(policy: &Policy, action: &EntityUid) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::In(actions) => actions.contains(action),
        ActionConstraint::Eq(only) => only == *action,
    }
}

/// One principal, with the slices that were needed so far: of most principals, few are.
pub(crate) struct Slices {
    number: u32,
    principal: EntityUid,
    groups: Vec<EntityUid>,
    by_action: Box<[OnceLock<Box<Slice>>]>,
}

impl Slices {
    /// `number` is of no other principal.
    pub(crate) fn new(number: u32, principal: EntityUid, groups: Vec<EntityUid>) -> Self {
        Self {
            number,
            principal,
            groups,
            by_action: (0..Action::count()).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The policies that can speak about this principal and this action; none for an action that there is not.
    pub(crate) fn get(
        &self,
        action: Action,
        action_uid: &EntityUid,
        policies: &PolicySet,
    ) -> Option<&Slice> {
        let slice = self.by_action.get(action.index())?;
        Some(slice.get_or_init(|| {
            let relevant = policies
                .policies()
                .filter(|policy| self.concerns(policy, action_uid));
            // The ids are those of a set, so none occurs twice.
            let relevant = PolicySet::from_policies(relevant.cloned());
            Box::new(Slice::new(relevant.unwrap_or_else(|_| policies.clone())))
        }))
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The principal itself and its groups.
    pub(crate) fn entities(&self) -> impl Iterator<Item = &EntityUid> {
        std::iter::once(&self.principal).chain(&self.groups)
    }

    fn concerns(&self, policy: &Policy, action: &EntityUid) -> bool {
        may_speak_of(policy, action)
            && match policy.principal_constraint() {
                PrincipalConstraint::Any => true,
                PrincipalConstraint::In(group) => self.is_in(&group),
                PrincipalConstraint::Eq(only) => only == self.principal,
                PrincipalConstraint::Is(kind) => self.is_a(&kind),
                PrincipalConstraint::IsIn(kind, group) => self.is_a(&kind) && self.is_in(&group),
            }
    }

    fn is_a(&self, kind: &EntityTypeName) -> bool {
        self.principal.type_name() == kind
    }

    /// `in` holds of oneself too. Groups have no groups, as the schema says.
    fn is_in(&self, entity: &EntityUid) -> bool {
        self.principal == *entity || self.groups.contains(entity)
    }
}
