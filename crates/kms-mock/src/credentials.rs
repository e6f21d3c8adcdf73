//! Principals from the command line and from the credentials file.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use aws_lc_rs::rand;
use data_encoding::{BASE32_NOPAD, BASE64};
use sealgate_kms_mock::{Permissions, Principal, read_principals};
use zeroize::Zeroizing;

use crate::arguments::Arguments;

/// Random bytes of a secret that is made here: 40 characters, as AWS's.
const SECRET_BYTES: usize = 30;
/// Random bytes of an access key id that is made here: 16 characters after the prefix, as AWS's.
const ACCESS_KEY_BYTES: usize = 10;

/// The principals that the arguments name.
pub(crate) fn principals(arguments: &Arguments) -> Result<Vec<Principal>> {
    let mut principals = Vec::new();
    for text in &arguments.principal {
        principals.push(parse_principal(text).with_context(|| {
            "--principal must be name=NAME,access-key-id=ID,secret=env:VARIABLE|file:PATH,operations=*|A+B"
        })?);
    }
    if let Some(path) = &arguments.credentials {
        if arguments.create_credentials && !path.exists() {
            create_file(path).with_context(|| {
                format!("cannot create the credentials file {}", path.display())
            })?;
            tracing::info!(path = %path.display(), "credentials made");
        }
        principals.extend(read_file(path)?);
    }
    if principals.is_empty() {
        bail!(
            "no principal: nobody could sign a request; give --credentials FILE (with --create-credentials to make it) or \
             --principal"
        );
    }
    Ok(principals)
}

fn read_file(path: &Path) -> Result<Vec<Principal>> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read the credentials file {}; --create-credentials makes one",
            path.display()
        )
    })?;
    let text = Zeroizing::new(text);
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!(
            "others may read the credentials file {} (mode {mode:o}); run chmod 600 on it",
            path.display()
        );
    }
    read_principals(&text).with_context(|| format!("credentials file {}", path.display()))
}

fn create_file(path: &Path) -> Result<()> {
    let random = |length| -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; length]);
        rand::fill(&mut bytes).map_err(|_| anyhow!("the random generator failed"))?;
        Ok(bytes)
    };
    let access_key_id = format!("AKIA{}", BASE32_NOPAD.encode(&random(ACCESS_KEY_BYTES)?));
    let secret = Zeroizing::new(BASE64.encode(&random(SECRET_BYTES)?));
    let text = Zeroizing::new(format!(
        "{{\n  \"principals\": [\n    {{\n      \"name\": \"dev\",\n      \"access_key_id\": \"{access_key_id}\",\n      \
         \"secret_access_key\": \"{}\",\n      \"operations\": [\"*\"]\n    }}\n  ]\n}}\n",
        secret.as_str()
    ));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

fn parse_principal(text: &str) -> Result<Principal> {
    let (mut name, mut access_key_id, mut secret, mut operations) = (None, None, None, None);
    for part in text.split(',') {
        let (setting, value) = part
            .split_once('=')
            .ok_or_else(|| anyhow!("{part:?} is not setting=value"))?;
        let slot = match setting {
            "name" => &mut name,
            "access-key-id" => &mut access_key_id,
            "secret" => &mut secret,
            "operations" => &mut operations,
            _ => bail!("{setting:?} is not a setting of a principal"),
        };
        if slot.replace(value).is_some() {
            bail!("{setting} stands twice");
        }
    }
    let needed = |value: Option<&str>, setting: &str| {
        value
            .map(str::to_owned)
            .ok_or_else(|| anyhow!("the principal has no {setting}"))
    };
    let secret = read_secret(&needed(secret, "secret")?)?;
    let permissions = Permissions::from_names(needed(operations, "operations")?.split('+'))?;
    let (name, access_key_id) = (
        needed(name, "name")?,
        needed(access_key_id, "access-key-id")?,
    );
    Ok(Principal::new(
        name,
        access_key_id,
        secret.as_str(),
        permissions,
    )?)
}

/// Secrets on the command line would be read by anyone who lists processes, so only their places are given there.
fn read_secret(source: &str) -> Result<Zeroizing<String>> {
    if let Some(variable) = source.strip_prefix("env:") {
        let value = std::env::var(variable)
            .map_err(|_| anyhow!("the environment variable {variable} is not set"))?;
        return Ok(Zeroizing::new(value));
    }
    let Some(path) = source.strip_prefix("file:") else {
        bail!("the secret must be env:VARIABLE or file:PATH");
    };
    let text = Zeroizing::new(
        std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?,
    );
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use sealgate_kms_mock::Operation;

    use super::*;

    #[test]
    fn principal_of_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "secret-of-a\n").unwrap();
        let text = |operations: &str| {
            format!(
                "name=a,access-key-id=AKIA1,secret=file:{},operations={operations}",
                path.display()
            )
        };
        let principal = parse_principal(&text("Decrypt+DescribeKey")).unwrap();
        assert!(principal.permissions().allow(Operation::DescribeKey));
        assert!(!principal.permissions().allow(Operation::Encrypt));
        assert!(parse_principal(&text("Sign")).is_err());
        assert!(
            parse_principal("name=a,access-key-id=AKIA1,operations=*").is_err(),
            "no secret"
        );
        assert!(parse_principal("name=a,name=b").is_err(), "twice");
        let error = parse_principal("name=a,access-key-id=AKIA1,secret=hush-hush,operations=*")
            .unwrap_err();
        assert!(!format!("{error:#}").contains("hush"), "{error:#}");
    }

    #[test]
    fn created_credentials_are_private_and_usable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.json");
        create_file(&path).unwrap();
        let principals = read_file(&path).unwrap();
        assert_eq!(principals[0].access_key_id().len(), 20);
        assert!(
            create_file(&path).is_err(),
            "an existing file is not overwritten"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            read_file(&path)
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );
    }
}
