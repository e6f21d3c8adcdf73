//! A document with a few spans replaced; all else stays byte for byte.

use std::ops::Range;

/// A document that is being copied to the output. Spans are replaced in ascending order.
pub(super) struct Rewriting<'a> {
    document: &'a [u8],
    /// How much of the document is in the output.
    copied: usize,
    output: &'a mut Vec<u8>,
}

impl<'a> Rewriting<'a> {
    pub(super) fn new(document: &'a [u8], output: &'a mut Vec<u8>) -> Self {
        Self {
            document,
            copied: 0,
            output,
        }
    }

    /// Copies what stands before the span, then writes the replacement in place of the span.
    pub(super) fn replace(&mut self, span: Range<usize>, replacement: &str) {
        self.remove(span).extend_from_slice(replacement.as_bytes());
    }

    /// Copies what stands before the span. What is written to the output now stands in place of the span.
    pub(super) fn remove(&mut self, span: Range<usize>) -> &mut Vec<u8> {
        self.output.extend_from_slice(
            self.document
                .get(self.copied..span.start)
                .unwrap_or_default(),
        );
        self.copied = span.end;
        self.output
    }

    /// Copies the rest.
    pub(super) fn finish(self) {
        self.output
            .extend_from_slice(self.document.get(self.copied..).unwrap_or_default());
    }
}
