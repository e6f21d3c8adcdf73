//! Where a secret goes, once: to the terminal, or into a file for its owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::files::is_stream;
use super::super::output;
use super::store::Made;

/// How and where the new access key is handed out.
#[derive(Debug, Args)]
pub(super) struct HandOutArguments {
    /// A file for the secret, which must not exist; `-` for standard output also where that is no terminal
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How to write it: for people, as variables for a shell, as a profile for ~/.aws/credentials, or as JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Print one JSON document instead of text; with --output FILE, the secret is in the file alone
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Env,
    Aws,
    Json,
}

/// A place for the secret, which is there before the access key is made: what cannot be handed out must not be made.
pub(super) struct HandOut {
    format: Format,
    json: bool,
    file: Option<(PathBuf, File)>,
    done: bool,
}

impl HandOutArguments {
    pub(super) fn prepare(self) -> anyhow::Result<HandOut> {
        let format = if self.json { Format::Json } else { self.format };
        let file = match self.output {
            Some(path) if !is_stream(&path) => {
                let file = create(&path)?;
                Some((path, file))
            }
            Some(_) => None,
            None => {
                ensure!(
                    io::stdout().is_terminal(),
                    "standard output is no terminal, and what is written there may be kept in a log: name --output FILE for the secret, or --output - if it is meant"
                );
                None
            }
        };
        Ok(HandOut {
            format,
            json: self.json,
            file,
            done: false,
        })
    }
}

fn create(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} can't be made for the secret", path.display()))
}

impl HandOut {
    /// Writes the secret where it goes, durably. Before the access key is in effect: if this fails there is none.
    pub(super) fn keep(&mut self, made: &Made) -> anyhow::Result<()> {
        let text = self.format.render(made);
        if let Some((path, file)) = &mut self.file {
            let mut write = || {
                file.write_all(text.as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()
            };
            write().with_context(|| format!("{} can't be written", path.display()))?;
        }
        Ok(())
    }

    /// Says what was made, now that it is in effect; shows the secret if no file has it.
    pub(super) fn finish(mut self, made: &Made, also: &[(&str, Value)]) -> anyhow::Result<()> {
        self.done = true;
        let Some((path, _)) = &self.file else {
            let mut stdout = io::stdout().lock();
            let text = self.format.render(made);
            return writeln!(stdout, "{}", text.as_str())
                .and_then(|()| stdout.flush())
                .with_context(|| {
                    format!(
                        "standard output can't be written, and nobody has the secret: revoke the access key that was made, with `sealgate credentials revoke {}`",
                        made.file.access_key_id
                    )
                });
        };
        if !self.json {
            let identity = &made.file.identity;
            let how = match self.format {
                Format::Aws => format!(
                    "; with its content in ~/.aws/credentials, clients take --profile {identity}, or AWS_PROFILE={identity}"
                ),
                Format::Text | Format::Env | Format::Json => String::new(),
            };
            return output::line(&format!(
                "{} of {identity} was made, and its secret is in {}{how}",
                made.file.access_key_id,
                path.display()
            ));
        }
        let mut document = public(made);
        if let Some(document) = document.as_object_mut() {
            document.insert("output".to_owned(), json!(path));
            for (name, value) in also {
                document.insert((*name).to_owned(), value.clone());
            }
        }
        output::line(&serde_json::to_string_pretty(&document)?)
    }
}

impl Drop for HandOut {
    /// A secret of an access key that does not work is of no use to anybody.
    fn drop(&mut self) {
        if let (false, Some((path, _))) = (self.done, &self.file) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn public(made: &Made) -> Value {
    json!({
        "identity": made.file.identity,
        "access_key_id": made.file.access_key_id,
        "created": made.file.created,
        "expires": made.file.expires,
        "rotated_from": made.file.rotated_from,
    })
}

impl Format {
    fn render(self, made: &Made) -> Zeroizing<String> {
        let id = &made.file.access_key_id;
        let secret = made.secret.as_str();
        let identity = &made.file.identity;
        Zeroizing::new(match self {
            Self::Text => {
                let expires = made.file.expires.map_or_else(String::new, |expires| {
                    format!("\nexpires            {expires}")
                });
                format!(
                    "identity           {identity}\naccess key id      {id}\nsecret access key  {secret}{expires}\nThis secret is shown once."
                )
            }
            Self::Env => format!("AWS_ACCESS_KEY_ID={id}\nAWS_SECRET_ACCESS_KEY={secret}"),
            Self::Aws => {
                format!("[{identity}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}")
            }
            Self::Json => {
                let mut document = public(made);
                if let Some(document) = document.as_object_mut() {
                    document.insert("secret_access_key".to_owned(), json!(secret));
                }
                format!("{document:#}")
            }
        })
    }
}
