//! What a gateway may do with keys.

use super::table::Value;

/// Whether a gateway opens what was sealed before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It reads and writes.
    #[default]
    ReadWrite,
    /// Its key services let it make working keys and open none, so it reads only what it has sealed since its start.
    WriteOnly,
}

pub(super) fn read(value: Option<Value<'_>>) -> Option<Mode> {
    match value {
        None => Some(Mode::default()),
        Some(value) => value.choice(&[
            ("read-write", Mode::ReadWrite),
            ("write-only", Mode::WriteOnly),
        ]),
    }
}
