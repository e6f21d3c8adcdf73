//! Answers of a gateway to requests for credentials, for the command that asks for them.

use super::XmlError;
use super::elements::{ElementReader, set_once};
use super::upstream_answers::{UpstreamError, read_error_content};
use zeroize::Zeroizing;

/// Credentials of an answer. Absent from `Debug`: they are secrets.
pub struct AssumedRole {
    /// The access key id.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: Zeroizing<String>,
    /// The token that goes with every request.
    pub session_token: Zeroizing<String>,
    /// Until when, as it stands there.
    pub expiration: String,
}

/// Reads the answer of AssumeRole.
///
/// # Errors
/// [`XmlError`] where it holds no credentials.
pub fn parse_assumed_role(document: &[u8]) -> Result<AssumedRole, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("AssumeRoleResponse")?;
    let [mut id, mut secret, mut token, mut expiration] = [None, None, None, None];
    while let Some(child) = reader.child()? {
        if child != "AssumeRoleResult" {
            reader.skip()?;
            continue;
        }
        while let Some(child) = reader.child()? {
            if child != "Credentials" {
                reader.skip()?;
                continue;
            }
            while let Some(child) = reader.child()? {
                let (place, name) = match child {
                    "AccessKeyId" => (&mut id, "AccessKeyId"),
                    "SecretAccessKey" => (&mut secret, "SecretAccessKey"),
                    "SessionToken" => (&mut token, "SessionToken"),
                    "Expiration" => (&mut expiration, "Expiration"),
                    _ => {
                        reader.skip()?;
                        continue;
                    }
                };
                set_once(place, reader.text(name)?, name)?;
            }
        }
    }
    reader.finish()?;
    let present = |value: Option<String>, element| {
        value.ok_or(XmlError::MissingElement {
            element,
            parent: "Credentials",
        })
    };
    Ok(AssumedRole {
        access_key_id: present(id, "AccessKeyId")?,
        secret_access_key: present(secret, "SecretAccessKey")?.into(),
        session_token: present(token, "SessionToken")?.into(),
        expiration: present(expiration, "Expiration")?,
    })
}

/// Reads a refusal.
///
/// # Errors
/// [`XmlError`] where it is none.
pub fn parse_refusal(document: &[u8]) -> Result<UpstreamError, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("ErrorResponse")?;
    while let Some(child) = reader.child()? {
        if child == "Error" {
            return read_error_content(&mut reader);
        }
        reader.skip()?;
    }
    Err(XmlError::MissingElement {
        element: "Error",
        parent: "ErrorResponse",
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::{
        error::S3Error,
        sts::{Answer, Credentials, error_document},
    };

    #[test]
    fn what_the_gateway_writes_is_read() {
        let answer = Answer::Role {
            credentials: Credentials {
                access_key_id: "SGT",
                secret_access_key: "s&cret",
                session_token: "token",
                expiration: datetime!(2026-11-26 12:00 UTC),
            },
            role: "grant/A",
            session: "oscar",
        };
        let read = parse_assumed_role(&answer.to_document("R1").into_bytes()).unwrap();
        assert_eq!(read.access_key_id, "SGT");
        assert_eq!(*read.secret_access_key, "s&cret");
        assert_eq!(*read.session_token, "token");
        assert_eq!(read.expiration, "2026-11-26T12:00:00.000Z");
        let refusal = error_document(&S3Error::access_denied("no <role>"), "R1").into_bytes();
        let read = parse_refusal(&refusal).unwrap();
        assert_eq!((&*read.code, &*read.message), ("AccessDenied", "no <role>"));
        assert!(parse_assumed_role(&refusal).is_err());
        assert!(parse_refusal(b"<html/>").is_err());
    }
}
