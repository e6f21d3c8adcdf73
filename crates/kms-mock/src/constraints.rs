//! Constraints on the members of a request, collected as KMS does: one `ValidationException` names all violations.

use std::fmt::Display;

use crate::error::KmsError;

/// Longest value that a message repeats.
const MAX_ECHO: usize = 256;

/// The violations found so far.
#[derive(Debug, Default)]
pub(crate) struct Constraints(Vec<String>);

impl Constraints {
    /// A member must be present.
    pub(crate) fn required<T>(&mut self, member: &str, value: Option<&T>) -> &mut Self {
        if value.is_none() {
            self.violated("Value null", member, "Member must not be null");
        }
        self
    }

    /// A string has a shortest and a longest length in characters.
    pub(crate) fn text(
        &mut self,
        member: &str,
        value: Option<&str>,
        min: usize,
        max: usize,
    ) -> &mut Self {
        if let Some(value) = value {
            self.length(&echo(value), member, value.chars().count(), min, max);
        }
        self
    }

    /// A blob has a shortest and a longest length in bytes. Its bytes are never repeated.
    pub(crate) fn blob(
        &mut self,
        member: &str,
        length: Option<usize>,
        min: usize,
        max: usize,
    ) -> &mut Self {
        if let Some(length) = length {
            self.length("Value", member, length, min, max);
        }
        self
    }

    /// A list has a longest length.
    pub(crate) fn list<T>(&mut self, member: &str, values: &[T], max: usize) -> &mut Self {
        self.length("Value", member, values.len(), 0, max);
        self
    }

    /// A number has a range.
    pub(crate) fn range(
        &mut self,
        member: &str,
        value: Option<i64>,
        min: i64,
        max: i64,
    ) -> &mut Self {
        match value {
            Some(value) if value < min => {
                self.violated(
                    &echo(value),
                    member,
                    format!("Member must have value greater than or equal to {min}"),
                );
            }
            Some(value) if value > max => {
                self.violated(
                    &echo(value),
                    member,
                    format!("Member must have value less than or equal to {max}"),
                );
            }
            _ => {}
        }
        self
    }

    /// A string is one of a set.
    pub(crate) fn one_of(&mut self, member: &str, value: Option<&str>, set: &[&str]) -> &mut Self {
        if let Some(value) = value.filter(|value| !set.contains(value)) {
            let set = set.join(", ");
            self.violated(
                &echo(value),
                member,
                format!("Member must satisfy enum value set: [{set}]"),
            );
        }
        self
    }

    /// The characters of a string satisfy a pattern, which is repeated in the message.
    pub(crate) fn pattern(
        &mut self,
        member: &str,
        value: Option<&str>,
        pattern: &str,
        accepts: impl Fn(char) -> bool,
    ) -> &mut Self {
        if let Some(value) = value.filter(|value| !value.chars().all(accepts)) {
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            self.violated(&echo(value), member, constraint);
        }
        self
    }

    /// Any other violation.
    pub(crate) fn violated(
        &mut self,
        value: &str,
        member: &str,
        constraint: impl Display,
    ) -> &mut Self {
        self.0.push(format!(
            "{value} at '{member}' failed to satisfy constraint: {constraint}"
        ));
        self
    }

    /// The verdict.
    ///
    /// # Errors
    ///
    /// `ValidationException` with every violation.
    pub(crate) fn check(&self) -> Result<(), KmsError> {
        let violations = self.0.join("; ");
        match self.0.len() {
            0 => Ok(()),
            1 => Err(KmsError::validation(format!(
                "1 validation error detected: {violations}"
            ))),
            count => Err(KmsError::validation(format!(
                "{count} validation errors detected: {violations}"
            ))),
        }
    }

    fn length(&mut self, value: &str, member: &str, length: usize, min: usize, max: usize) {
        if length < min {
            self.violated(
                value,
                member,
                format!("Member must have length greater than or equal to {min}"),
            );
        } else if length > max {
            self.violated(
                value,
                member,
                format!("Member must have length less than or equal to {max}"),
            );
        }
    }
}

fn echo(value: impl Display) -> String {
    let text = value.to_string();
    if text.len() > MAX_ECHO {
        "Value".to_owned()
    } else {
        format!("Value '{text}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_are_named() {
        let mut constraints = Constraints::default();
        constraints
            .range("numberOfBytes", Some(1025), 1, 1024)
            .one_of("keySpec", Some("AES_512"), &["AES_256", "AES_128"])
            .required::<()>("keyId", None);
        assert_eq!(
            constraints.check().unwrap_err().message().unwrap(),
            "3 validation errors detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have \
             value less than or equal to 1024; Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must \
             satisfy enum value set: [AES_256, AES_128]; Value null at 'keyId' failed to satisfy constraint: Member must \
             not be null"
        );
    }

    #[test]
    fn bounds_are_inclusive() {
        let verdict = |length| {
            Constraints::default()
                .blob("plaintext", Some(length), 1, 4096)
                .check()
                .is_ok()
        };
        assert_eq!([0, 1, 4096, 4097].map(verdict), [false, true, true, false]);
        let verdict = |value| {
            Constraints::default()
                .range("limit", Some(value), 1, 1000)
                .check()
                .is_ok()
        };
        assert_eq!([0, 1, 1000, 1001].map(verdict), [false, true, true, false]);
    }

    #[test]
    fn long_values_are_not_repeated() {
        let long = "x".repeat(3000);
        let error = Constraints::default()
            .text("keyId", Some(&long), 1, 2048)
            .check()
            .unwrap_err();
        assert!(error.message().unwrap().len() < 200);
    }
}
