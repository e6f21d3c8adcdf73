//! The bounds of everything that somebody else can make long.

/// The longest line of a log, with its line feed: an object's name of 1,024 bytes that are all escaped takes 6 KiB of it, and the other texts escaped up to 18 KiB.
pub const MAX_LINE: usize = 32 << 10;

/// The longest signed note.
pub const MAX_NOTE: usize = 16 << 10;

/// Signatures under one note (C2SP signed-note: at least 16 must be accepted).
pub const MAX_SIGNATURES: usize = 16;

/// The longest name of a key, and so of a log.
pub const MAX_KEY_NAME: usize = 128;

/// Bytes of an object's name that are kept: as long as S3 lets it be.
pub const MAX_OBJECT_NAME: usize = 1_024;

/// Bytes of any other text of a record that are kept.
pub const MAX_TEXT: usize = 256;

/// Keys that one outcome names.
pub const MAX_KEY_IDS: usize = 4;

/// Events that may be recorded together: a DeleteObjects names up to 1,000 keys.
pub const MAX_EVENTS: usize = 1_024;

/// Findings that one verification reports; more would only bury the first ones.
pub const MAX_FINDINGS: usize = 100;
