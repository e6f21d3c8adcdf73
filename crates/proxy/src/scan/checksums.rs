//! The checksums that are kept with an object, compared with what its bytes have.

use std::collections::VecDeque;

use sealgate_envelope::{checksum as sealed, commit::CommitRecord};

use crate::{
    body::{Checksum, Hasher},
    object::SealedObject,
    operation::checksum_from_sealed,
};

/// Checksums in the making, of the parts and of the whole.
pub(super) struct Comparison {
    parts: VecDeque<Part>,
    whole: Option<(Checksum, Hasher)>,
    /// That of the checksums of the parts.
    composite: Option<(Checksum, Hasher)>,
    wrong: Vec<String>,
}

struct Part {
    ordinal: usize,
    missing: u64,
    expected: Option<(Checksum, Hasher)>,
}

fn begin(expected: Option<&sealed::Checksum>) -> Option<(Checksum, Hasher)> {
    let expected = checksum_from_sealed(expected?)?;
    Some((expected, Hasher::new(expected.algorithm())))
}

impl Comparison {
    /// For an object, with the commit record if it has one that counts.
    pub(super) fn new(object: &SealedObject, record: Option<&CommitRecord>) -> Self {
        let mut comparison = Self {
            parts: VecDeque::new(),
            whole: None,
            composite: None,
            wrong: Vec::new(),
        };
        let Some(record) = record else {
            let kept = object.opened.metadata().checksums().next();
            comparison.whole = begin(kept.as_ref());
            return comparison;
        };
        let parts = record.parts().iter().enumerate();
        comparison.parts = parts
            .map(|(index, part)| Part {
                ordinal: index + 1,
                missing: part.plaintext_length,
                expected: begin(part.checksum.as_ref()),
            })
            .collect();
        if let Some(kept) = record.checksum() {
            let begun = begin(Some(&kept.checksum));
            match kept.r#type {
                sealed::ChecksumType::FullObject => comparison.whole = begun,
                sealed::ChecksumType::Composite => comparison.composite = begun,
            }
        }
        comparison
    }

    /// Takes in the next piece of plaintext.
    pub(super) fn update(&mut self, mut piece: &[u8]) {
        if let Some((_, hasher)) = &mut self.whole {
            hasher.update(piece);
        }
        while !piece.is_empty() {
            let Some(part) = self.parts.front_mut() else {
                return;
            };
            let missing = usize::try_from(part.missing).unwrap_or(usize::MAX);
            let (of_part, rest) = piece.split_at(missing.min(piece.len()));
            if let Some((_, hasher)) = &mut part.expected {
                hasher.update(of_part);
            }
            part.missing -= of_part.len() as u64;
            piece = rest;
            if part.missing == 0 {
                self.finish_part();
            }
        }
    }

    fn finish_part(&mut self) {
        let Some(Part {
            ordinal,
            expected: Some((expected, hasher)),
            ..
        }) = self.parts.pop_front()
        else {
            return;
        };
        let found = hasher.finish();
        if let Some((_, composite)) = &mut self.composite {
            composite.update(found.value());
        }
        self.compare(&format!("part {ordinal}"), &expected, &found);
    }

    fn compare(&mut self, what: &str, expected: &Checksum, found: &Checksum) {
        if expected.value() != found.value() {
            let name = expected.algorithm().name();
            self.wrong.push(format!(
                "the {name} of {what} is kept as {}, and its bytes have {}",
                expected.to_base64(),
                found.to_base64()
            ));
        }
    }

    /// What does not agree, once everything was taken in.
    pub(super) fn finish(mut self) -> Vec<String> {
        while !self.parts.is_empty() {
            self.finish_part();
        }
        for (what, begun) in [
            ("the whole object", self.whole.take()),
            ("the checksums of the parts", self.composite.take()),
        ] {
            if let Some((expected, hasher)) = begun {
                self.compare(what, &expected, &hasher.finish());
            }
        }
        self.wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Algorithm;

    fn checksum(bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    fn expecting(checksum: Checksum) -> (Checksum, Hasher) {
        (checksum, Hasher::new(checksum.algorithm()))
    }

    /// Two parts, `abc` and `de`, with their checksums and those of the whole.
    fn comparison() -> Comparison {
        let (first, second) = (checksum(b"abc"), checksum(b"de"));
        let part = |ordinal, missing, expected| Part {
            ordinal,
            missing,
            expected: Some(expecting(expected)),
        };
        let composite = checksum(&[first.value(), second.value()].concat());
        Comparison {
            parts: VecDeque::from([part(1, 3, first), part(2, 2, second)]),
            whole: Some(expecting(checksum(b"abcde"))),
            composite: Some(expecting(composite)),
            wrong: Vec::new(),
        }
    }

    #[test]
    fn bytes_are_compared_however_they_are_cut() {
        for pieces in [&["abcde"][..], &["a", "bcd", "e"], &["", "abc", "de"]] {
            let mut comparison = comparison();
            for piece in pieces {
                comparison.update(piece.as_bytes());
            }
            assert_eq!(comparison.finish(), Vec::<String>::new(), "{pieces:?}");
        }
    }

    #[test]
    fn each_checksum_that_differs_is_named() {
        let mut comparison = comparison();
        comparison.update(b"abcdX");
        let wrong = comparison.finish();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("part 2") && wrong[1].contains("the whole"));
    }
}
