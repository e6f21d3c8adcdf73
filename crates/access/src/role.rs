//! The ready-made roles: lists of actions under a name, to be given by short rules.

use crate::action::{Action, Kind};

/// A ready-made role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Lists, and reads what is there.
    Reader,
    /// Lists, writes and deletes; does not read.
    Writer,
    /// Writes, and sees nothing of what is there, not even names.
    WriteOnly,
    /// Lists, copies, deletes, replicates and configures buckets; never sees content.
    Operator,
    /// Sees names, labels and configurations, and changes nothing.
    Auditor,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Reader,
        Self::Writer,
        Self::WriteOnly,
        Self::Operator,
        Self::Auditor,
        Self::Admin,
    ];

    /// Its name in rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::WriteOnly => "write-only",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it may do.
    pub fn actions(self) -> impl Iterator<Item = Action> {
        Action::all().filter(move |action| self.includes(*action))
    }

    fn includes(self, action: Action) -> bool {
        let kind = action.kind();
        match self {
            Self::Reader => matches!(
                kind,
                Kind::See | Kind::List | Kind::Read | Kind::ReadLabel | Kind::Decrypt
            ),
            Self::Writer => matches!(
                kind,
                Kind::See
                    | Kind::List
                    | Kind::ReadLabel
                    | Kind::Write
                    | Kind::WriteLabel
                    | Kind::Delete
                    | Kind::Encrypt
            ),
            Self::WriteOnly => matches!(kind, Kind::See | Kind::Write | Kind::Encrypt),
            Self::Operator => match kind {
                Kind::See
                | Kind::List
                | Kind::ReadLabel
                | Kind::Write
                | Kind::WriteLabel
                | Kind::Delete
                | Kind::ReadConfiguration
                | Kind::Manage
                | Kind::Encrypt
                | Kind::Copy => true,
                Kind::Read | Kind::Decrypt => false,
            },
            Self::Auditor => matches!(
                kind,
                Kind::See | Kind::List | Kind::ReadLabel | Kind::ReadConfiguration
            ),
            Self::Admin => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readers_and_administrators_decrypt() {
        for role in Role::ALL {
            let decrypts = role.actions().any(|action| action == Action::DECRYPT);
            assert_eq!(
                decrypts,
                matches!(role, Role::Reader | Role::Admin),
                "{role:?}"
            );
            assert_eq!(Role::named(role.name()), Some(role));
        }
    }

    #[test]
    fn a_write_only_role_shows_nothing_of_what_is_there() {
        let shown: Vec<_> = Role::WriteOnly
            .actions()
            .filter(|action| {
                let kind = action.kind();
                matches!(
                    kind,
                    Kind::List | Kind::Read | Kind::ReadLabel | Kind::Delete | Kind::Copy
                )
            })
            .collect();
        assert!(shown.is_empty(), "{shown:?}");
    }

    #[test]
    fn an_auditor_changes_nothing() {
        let changes = |action: &Action| {
            let name = action.name();
            [
                "Put", "Delete", "Create", "Update", "Abort", "Restore", "Bypass",
            ]
            .iter()
            .any(|verb| name.starts_with(&format!("s3:{verb}")))
        };
        assert_eq!(Role::Auditor.actions().find(changes), None);
    }
}
