//! What is answered. The namespace is the API's; SDKs look for elements by their names.

use time::OffsetDateTime;

use super::{ACCOUNT, arn_of_identity, arn_of_session};
use crate::{
    error::S3Error,
    xml::{Document, ElementWriter},
};

/// The namespace of every document of STS.
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Credentials that were made.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The public half.
    pub access_key_id: &'a str,
    /// The secret half.
    pub secret_access_key: &'a str,
    /// The token that goes with every request.
    pub session_token: &'a str,
    /// Until when.
    pub expiration: OffsetDateTime,
}

/// What was asked for.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// A session with one's own rights.
    SessionToken(Credentials<'a>),
    /// A session of a role.
    Role {
        /// The credentials.
        credentials: Credentials<'a>,
        /// The role's name.
        role: &'a str,
        /// The session's name.
        session: &'a str,
    },
    /// A session of a role for a web identity.
    RoleWithWebIdentity {
        /// The credentials.
        credentials: Credentials<'a>,
        /// The role's name.
        role: &'a str,
        /// The session's name.
        session: &'a str,
        /// Whom the provider means.
        subject: &'a str,
        /// The provider.
        issuer: &'a str,
    },
    /// Who somebody is.
    CallerIdentity {
        /// The identity, or the role.
        name: &'a str,
        /// The name of the session of a role; none for an identity.
        session: Option<&'a str>,
    },
}

impl Answer<'_> {
    /// The document.
    pub fn to_document(&self, request_id: &str) -> Document {
        let action = match self {
            Self::SessionToken(_) => "GetSessionToken",
            Self::Role { .. } => "AssumeRole",
            Self::RoleWithWebIdentity { .. } => "AssumeRoleWithWebIdentity",
            Self::CallerIdentity { .. } => "GetCallerIdentity",
        };
        let root = format!("{action}Response");
        ElementWriter::document(&root, Some(NAMESPACE), |writer| {
            writer.element(&format!("{action}Result"), |writer| self.write(writer));
            writer.element("ResponseMetadata", |writer| {
                writer.leaf("RequestId", request_id);
            });
        })
    }

    fn write(&self, writer: &mut ElementWriter) {
        match self {
            Self::SessionToken(credentials) => write_credentials(writer, credentials),
            Self::Role {
                credentials,
                role,
                session,
            } => {
                write_credentials(writer, credentials);
                write_role(writer, role, session);
            }
            Self::RoleWithWebIdentity {
                credentials,
                role,
                session,
                subject,
                issuer,
            } => {
                write_credentials(writer, credentials);
                write_role(writer, role, session);
                writer.leaf("SubjectFromWebIdentityToken", subject);
                writer.leaf("Provider", issuer);
            }
            Self::CallerIdentity { name, session } => {
                let arn = match session {
                    Some(session) => arn_of_session(name, session),
                    None => arn_of_identity(name),
                };
                writer.leaf("Arn", &arn);
                match session {
                    Some(session) => writer.leaf("UserId", &format!("{name}:{session}")),
                    None => writer.leaf("UserId", name),
                }
                writer.leaf("Account", ACCOUNT);
            }
        }
    }
}

fn write_credentials(writer: &mut ElementWriter, credentials: &Credentials<'_>) {
    writer.element("Credentials", |writer| {
        writer.leaf("AccessKeyId", credentials.access_key_id);
        writer.leaf("SecretAccessKey", credentials.secret_access_key);
        writer.leaf("SessionToken", credentials.session_token);
        writer.time("Expiration", credentials.expiration);
    });
}

fn write_role(writer: &mut ElementWriter, role: &str, session: &str) {
    writer.element("AssumedRoleUser", |writer| {
        writer.leaf("Arn", &arn_of_session(role, session));
        writer.leaf("AssumedRoleId", &format!("{role}:{session}"));
    });
}

/// The code by which STS tells an error, where S3 has another one for it (AWS STS API Reference, "Common Error Types").
fn code(error: &S3Error) -> &str {
    match &*error.code {
        "InvalidAccessKeyId" | "InvalidToken" => "InvalidClientTokenId",
        "AuthorizationHeaderMalformed" => "IncompleteSignature",
        "InvalidRequest" | "InvalidArgument" => "ValidationError",
        "SlowDown" => "Throttling",
        code => code,
    }
}

/// A refusal.
pub fn error_document(error: &S3Error, request_id: &str) -> Document {
    ElementWriter::document("ErrorResponse", Some(NAMESPACE), |writer| {
        writer.element("Error", |writer| {
            let is_ours = error.status.is_server_error();
            writer.leaf("Type", if is_ours { "Receiver" } else { "Sender" });
            writer.leaf("Code", code(error));
            writer.leaf("Message", &error.message);
        });
        writer.leaf("RequestId", request_id);
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn text(document: Document) -> String {
        String::from_utf8(document.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn answers_have_the_form_of_the_api_reference() {
        let credentials = Credentials {
            access_key_id: "SGT",
            secret_access_key: "s&cret",
            session_token: "token",
            expiration: datetime!(2026-11-26 12:00:00.5 +1),
        };
        let answer = Answer::Role {
            credentials,
            role: "nightly",
            session: "run-7",
        };
        assert_eq!(
            text(answer.to_document("R1")),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <Credentials><AccessKeyId>SGT</AccessKeyId><SecretAccessKey>s&amp;cret</SecretAccessKey><SessionToken>token</SessionToken>\
             <Expiration>2026-11-26T11:00:00.500Z</Expiration></Credentials>\
             <AssumedRoleUser><Arn>arn:aws:sts::000000000000:assumed-role/nightly/run-7</Arn><AssumedRoleId>nightly:run-7</AssumedRoleId></AssumedRoleUser>\
             </AssumeRoleResult><ResponseMetadata><RequestId>R1</RequestId></ResponseMetadata></AssumeRoleResponse>"
        );
    }

    #[test]
    fn errors_tell_whose_they_are() {
        let error = S3Error::access_denied("no <role>");
        let document = text(error_document(&error, "R1"));
        assert!(document.contains("<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no &lt;role&gt;</Message></Error><RequestId>R1</RequestId></ErrorResponse>"), "{document}");
        let error = S3Error::slow_down("later");
        assert!(
            text(error_document(&error, "R1"))
                .contains("<Type>Receiver</Type><Code>Throttling</Code>")
        );
    }
}
