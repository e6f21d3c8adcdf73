//! Upper bounds for what a client can make the body reader hold in memory.

/// Bytes of a chunk header line: 16 hexadecimal digits, `;chunk-signature=`, 64 digits, and as much again.
pub const MAX_CHUNK_HEADER_LENGTH: usize = 256;

/// Bytes of data that every chunk but the last has at least (Amazon S3 API Reference, "Signature Calculations: Transferring Payload in
/// Multiple Chunks"). Smaller ones cost more to verify than they carry.
pub const MIN_CHUNK_LENGTH: u64 = 8_192;

/// Digits of a chunk size: what fits 64 bits.
pub const MAX_CHUNK_SIZE_DIGITS: usize = 16;

/// Bytes of one trailer line. The longest real one, the trailer signature, has 88.
pub const MAX_TRAILER_LINE_LENGTH: usize = 512;

/// Trailers of one body. S3 defines a checksum and the trailer's signature.
pub const MAX_TRAILERS: usize = 8;

/// Bytes of a body that a client has to send within `limits.idle_timeout`, again and again, unless it ends before: about a kilobyte a second by
/// default, which is less than any network that objects are sent over.
pub const MIN_BODY_PROGRESS: usize = 64 * 1024;

/// The same of a document, all of whose memory is set aside from the beginning, so that the longest one keeps it for minutes and not for hours.
pub const MIN_DOCUMENT_PROGRESS: usize = 512 * 1024;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Sees to it that operators read this row.
    pub(crate) fn operators_read(row: &str) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(row), "docs/operations.md lacks: {row}");
    }

    #[test]
    fn operators_read_how_much_has_to_come() {
        operators_read(&format!(
            "| a trickling body | {} KiB, of a document {} KiB, within",
            MIN_BODY_PROGRESS >> 10,
            MIN_DOCUMENT_PROGRESS >> 10
        ));
    }
}
