//! Who gives an order, or carries it out.

use anyhow::ensure;

use crate::cli::operator::{on_this_machine, user_name};

/// The longest text that says who does it.
const OPERATOR_LIMIT: usize = 200;

/// The name that was given, or user and machine.
///
/// # Errors
///
/// For a text that is none.
pub(super) fn operator(named: Option<&str>) -> anyhow::Result<String> {
    let text = named.map_or_else(user_and_machine, str::to_owned);
    ensure!(
        !text.is_empty() && text.len() <= OPERATOR_LIMIT && !text.contains(char::is_control),
        "--operator: write at most {OPERATOR_LIMIT} bytes of text"
    );
    Ok(text)
}

fn user_and_machine() -> String {
    on_this_machine(user(user_name(), rustix::process::getuid().as_raw()))
}

/// A timer has no name in its environment, and a number all the same.
fn user(name: Option<String>, number: u32) -> String {
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("user {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_name_has_a_number() {
        assert_eq!(user(Some("ann".to_owned()), 7), "ann");
        assert_eq!(user(Some(String::new()), 7), "user 7");
        assert_eq!(user(None, 0), "user 0");
        assert!(operator(None).unwrap().len() > 2);
    }

    #[test]
    fn a_name_is_one_line_of_a_bounded_length() {
        assert_eq!(operator(Some("me")).unwrap(), "me");
        for wrong in [String::new(), "a\nb".to_owned(), "x".repeat(201)] {
            assert!(operator(Some(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
