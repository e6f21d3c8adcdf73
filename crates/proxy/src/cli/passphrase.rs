//! Where a passphrase comes from: a prompt, a file or the environment, never the command line itself.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use sealgate_envelope::secret_file::Passphrase;
use zeroize::Zeroizing;

use crate::config::{Secret, secret_of_reference};

/// Names the place of a passphrase. Other processes see command lines, so the passphrase itself never stands in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PassphrasePlace {
    /// The terminal, without echo.
    Prompt,
    /// `env:NAME` or `file:PATH`.
    Reference(String),
}

impl FromStr for PassphrasePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "prompt" => Ok(Self::Prompt),
            _ if text.starts_with("env:") || text.starts_with("file:") => {
                Ok(Self::Reference(text.to_owned()))
            }
            _ => Err(
                "write prompt, env:NAME or file:PATH; a passphrase on the command line could be seen by others"
                    .to_owned(),
            ),
        }
    }
}

impl PassphrasePlace {
    /// The passphrase of something that is sealed with it.
    pub(super) fn ask(&self, for_what: &str) -> anyhow::Result<Secret> {
        match self {
            Self::Prompt => prompt(&format!("Passphrase of {for_what}: ")),
            Self::Reference(place) => {
                secret_of_reference(place).map_err(|cause| anyhow!("--passphrase: {cause}"))
            }
        }
    }

    /// A new one: a person types it twice.
    pub(super) fn ask_new(&self, for_what: &str) -> anyhow::Result<Passphrase> {
        let secret = match self {
            Self::Prompt => {
                let first = prompt(&format!("New passphrase of {for_what}: "))?;
                let again = prompt("The same again: ")?;
                ensure!(
                    first.expose() == again.expose(),
                    "the two passphrases differ; nothing was written"
                );
                first
            }
            Self::Reference(place) => {
                secret_of_reference(place).map_err(|cause| anyhow!("{place}: {cause}"))?
            }
        };
        checked(&secret)
    }
}

/// `--passphrase`, for commands that open a file which may be sealed with one.
#[derive(Clone, Debug, Args)]
pub(super) struct PassphraseArgument {
    /// Where the passphrase is: prompt, env:NAME or file:PATH [default: a prompt, if the file is sealed]
    #[arg(long, value_name = "PLACE")]
    passphrase: Option<PassphrasePlace>,
}

impl PassphraseArgument {
    /// The passphrase of `file`; none where it is not sealed.
    pub(super) fn for_file(&self, file: &Path, is_sealed: bool) -> anyhow::Result<Option<Secret>> {
        let name = file.display();
        match &self.passphrase {
            Some(PassphrasePlace::Prompt) | None if !is_sealed => Ok(None),
            Some(_) if !is_sealed => bail!(
                "{name} is not sealed with a passphrase, although --passphrase is given; leave it out, or seal the file"
            ),
            Some(place) => place.ask(&name.to_string()).map(Some),
            None if io::stdin().is_terminal() => {
                PassphrasePlace::Prompt.ask(&name.to_string()).map(Some)
            }
            None => bail!(
                "{name} is sealed with a passphrase, and there is no terminal to ask for it; name its place with --passphrase env:NAME or file:PATH"
            ),
        }
    }

    /// As [`for_file`](Self::for_file), checked for use.
    pub(super) fn of_file(
        &self,
        file: &Path,
        is_sealed: bool,
    ) -> anyhow::Result<Option<Passphrase>> {
        self.for_file(file, is_sealed)?
            .as_ref()
            .map(checked)
            .transpose()
    }
}

fn checked(secret: &Secret) -> anyhow::Result<Passphrase> {
    Ok(Passphrase::new(Zeroizing::new(secret.expose().to_owned()))?)
}

/// Asks at the terminal, without echo. Standard input and output stay free for data.
fn prompt(text: &str) -> anyhow::Result<Secret> {
    rpassword::prompt_password(text)
        .map(Secret::new)
        .context("no passphrase could be asked for; name its place with env:NAME or file:PATH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_itself_is_no_argument() {
        assert_eq!("prompt".parse(), Ok(PassphrasePlace::Prompt));
        assert_eq!(
            "env:P".parse(),
            Ok(PassphrasePlace::Reference("env:P".to_owned()))
        );
        let refused = "correct horse battery".parse::<PassphrasePlace>();
        assert!(refused.unwrap_err().contains("seen by others"));
    }

    #[test]
    fn what_is_not_sealed_needs_none_and_gets_none() {
        let file = Path::new("k");
        let none = PassphraseArgument { passphrase: None };
        assert!(none.for_file(file, false).unwrap().is_none());
        let named = PassphraseArgument {
            passphrase: Some(PassphrasePlace::Reference("env:P".to_owned())),
        };
        let error = named.for_file(file, false).unwrap_err();
        assert!(error.to_string().contains("not sealed"), "{error}");
    }
}
