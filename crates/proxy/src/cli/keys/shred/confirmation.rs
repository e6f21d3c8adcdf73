//! The name of the domain, typed once more before its keys go.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{bail, ensure};

/// That a confirmation can be had at all: what was given is right, or there is a terminal to ask.
///
/// # Errors
///
/// Where nobody could confirm it: then nothing needs to be looked at.
pub(super) fn check(given: Option<&str>, domain: &str) -> anyhow::Result<()> {
    match given {
        Some(given) => compare(given, domain),
        None if io::stdin().is_terminal() => Ok(()),
        None => bail!(
            "nothing was done: confirm it with --confirm {domain}, since there is no terminal to ask"
        ),
    }
}

/// Asks, unless it was given beforehand. What is destroyed was shown before.
///
/// # Errors
///
/// Where something else is typed.
pub(super) fn ask(given: Option<&str>, domain: &str) -> anyhow::Result<()> {
    if let Some(given) = given {
        return compare(given, domain);
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "Type the domain's name to go on: ")?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    compare(line.trim_end_matches(['\r', '\n']), domain)
}

fn compare(typed: &str, domain: &str) -> anyhow::Result<()> {
    ensure!(
        typed == domain,
        "nothing was done: {typed:?} is not the name of the domain, {domain:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_itself_confirms() {
        check(Some("acme/alice"), "acme/alice").unwrap();
        for wrong in ["", "acme/bob", "acme/alice ", "ACME/ALICE"] {
            let refused = check(Some(wrong), "acme/alice").unwrap_err().to_string();
            assert!(refused.contains("nothing was done"), "{refused}");
            assert!(ask(Some(wrong), "acme/alice").is_err());
        }
    }
}
