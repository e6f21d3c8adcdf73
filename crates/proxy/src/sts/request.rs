//! What somebody asks for.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use zeroize::Zeroizing;

use crate::{error::S3Error, query_string::QueryString};

/// The longest token of a provider, in bytes (AWS STS, AssumeRoleWithWebIdentity, `WebIdentityToken`).
const WEB_IDENTITY_LIMIT: usize = 20_000;

/// 400: something in the request is not what it may be.
pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::new(StatusCode::BAD_REQUEST, "ValidationError", message)
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A session with one's own rights.
    SessionToken,
    /// A session of a role.
    Role {
        /// The role's name.
        role: String,
        /// The session's name.
        session: String,
    },
    /// A session of a role, for whom a provider vouches.
    RoleWithWebIdentity {
        /// The role's name.
        role: String,
        /// The session's name.
        session: String,
        /// The provider's token.
        token: WebIdentityToken,
    },
    /// Who one is.
    CallerIdentity,
}

/// A provider's token. Absent from `Debug`, and wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct WebIdentityToken(Zeroizing<String>);

impl WebIdentityToken {
    /// Its text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for WebIdentityToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("WebIdentityToken(redacted)")
    }
}

/// A request, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What is asked for.
    pub ask: Ask,
    /// How long it is to last, where that was said.
    pub duration: Option<Duration>,
}

impl Action {
    /// The name that operations have in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self.ask {
            Ask::SessionToken => "GetSessionToken",
            Ask::Role { .. } => "AssumeRole",
            Ask::RoleWithWebIdentity { .. } => "AssumeRoleWithWebIdentity",
            Ask::CallerIdentity => "GetCallerIdentity",
        }
    }

    /// Reads the body of a request.
    ///
    /// A parameter that is not known is refused: most of those that STS has narrow what a session may do, and leaving them out would give more
    /// than was asked for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(body: &str) -> Result<Self, S3Error> {
        let form = QueryString::parse(Some(body))
            .map_err(|error| invalid(format!("The body is no form: {error}.")))?;
        let unique = |name: &str| match form.unique(name) {
            Ok(value) => Ok(value.filter(|value| !value.is_empty())),
            Err(error) => Err(invalid(error.to_string())),
        };
        let required = |name: &str| {
            unique(name)?.ok_or_else(|| {
                S3Error::new(
                    StatusCode::BAD_REQUEST,
                    "MissingParameter",
                    format!("The request must contain the parameter {name}."),
                )
            })
        };
        let name = required("Action")?;
        let known: &[&str] = match name {
            "GetSessionToken" => &["DurationSeconds"],
            "AssumeRole" => &["DurationSeconds", "RoleArn", "RoleSessionName"],
            "AssumeRoleWithWebIdentity" => &[
                "DurationSeconds",
                "RoleArn",
                "RoleSessionName",
                "WebIdentityToken",
            ],
            "GetCallerIdentity" => &[],
            _ => {
                return Err(S3Error::new(
                    StatusCode::BAD_REQUEST,
                    "InvalidAction",
                    format!(
                        "The action {name:.64} is not valid for this endpoint: it knows GetSessionToken, AssumeRole, AssumeRoleWithWebIdentity and GetCallerIdentity."
                    ),
                ));
            }
        };
        for parameter in form.parameters() {
            let parameter = parameter.name.as_str();
            if !["Action", "Version"].contains(&parameter) && !known.contains(&parameter) {
                return Err(invalid(format!(
                    "The parameter {parameter:.64} of {name} is not supported: what a session may do is for the gateway's policies to say. Leave it out."
                )));
            }
        }
        let duration = unique("DurationSeconds")?
            .map(|text| {
                text.parse()
                    .map(Duration::from_secs)
                    .map_err(|_| invalid("DurationSeconds must be a whole number of seconds."))
            })
            .transpose()?;
        let role = || required("RoleArn").and_then(role_of_arn);
        let session = || required("RoleSessionName").and_then(session_name);
        let ask = match name {
            "GetSessionToken" => Ask::SessionToken,
            "AssumeRole" => Ask::Role {
                role: role()?,
                session: session()?,
            },
            "AssumeRoleWithWebIdentity" => Ask::RoleWithWebIdentity {
                role: role()?,
                session: session()?,
                token: web_identity_token(required("WebIdentityToken")?)?,
            },
            _ => Ask::CallerIdentity,
        };
        Ok(Self { ask, duration })
    }
}

/// The name in `arn:aws:iam::ACCOUNT:role/NAME`. SDKs insist on that form, of which only the name says anything here.
fn role_of_arn(arn: &str) -> Result<String, S3Error> {
    let name = arn
        .strip_prefix("arn:")
        .and_then(|rest| rest.split_once(":role/"))
        .map(|(_, name)| name);
    match name {
        Some(name) if !name.is_empty() && name.len() <= 128 => Ok(name.to_owned()),
        _ => Err(invalid(
            "RoleArn must have the form arn:aws:iam::000000000000:role/NAME, with the name of a [[role]] of the gateway.",
        )),
    }
}

fn session_name(name: &str) -> Result<String, S3Error> {
    let legal = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-')
    };
    if (2..=64).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(name.to_owned());
    }
    Err(invalid(
        "RoleSessionName must have 2 to 64 characters of A-Z a-z 0-9 _ + = , . @ -.",
    ))
}

fn web_identity_token(token: &str) -> Result<WebIdentityToken, S3Error> {
    if token.len() > WEB_IDENTITY_LIMIT {
        return Err(invalid(format!(
            "WebIdentityToken must have at most {WEB_IDENTITY_LIMIT} characters."
        )));
    }
    Ok(WebIdentityToken(Zeroizing::new(token.to_owned())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_read_as_sdks_write_them() {
        let parsed =
            Action::parse("Action=GetSessionToken&Version=2011-06-15&DurationSeconds=900").unwrap();
        assert_eq!(parsed.ask, Ask::SessionToken);
        assert_eq!(parsed.duration, Some(Duration::from_mins(15)));
        let parsed = Action::parse(
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fnightly&RoleSessionName=run-7%40ci",
        )
        .unwrap();
        let expected = Ask::Role {
            role: "nightly".to_owned(),
            session: "run-7@ci".to_owned(),
        };
        assert_eq!(
            (parsed.name(), parsed.ask, parsed.duration),
            ("AssumeRole", expected, None)
        );
        let parsed = Action::parse(
            "Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::1:role/r&RoleSessionName=ab&WebIdentityToken=a.b.c",
        )
        .unwrap();
        let Ask::RoleWithWebIdentity { token, .. } = &parsed.ask else {
            panic!("{parsed:?}")
        };
        assert_eq!(token.expose(), "a.b.c");
        assert!(!format!("{parsed:?}").contains("a.b.c"));
    }

    #[test]
    fn what_would_give_more_than_was_asked_for_is_refused() {
        let role = "Action=AssumeRole&RoleArn=arn:aws:iam::1:role/r&RoleSessionName=ab";
        assert!(Action::parse(role).is_ok());
        for (more, code) in [
            ("&Policy=%7B%7D", "ValidationError"),
            ("&PolicyArns.member.1.arn=x", "ValidationError"),
            ("&SerialNumber=1&TokenCode=123456", "ValidationError"),
            ("&RoleSessionName=cd", "ValidationError"),
            ("&DurationSeconds=soon", "ValidationError"),
            ("&DurationSeconds=-1", "ValidationError"),
        ] {
            let error = Action::parse(&format!("{role}{more}")).unwrap_err();
            assert_eq!(error.code, code, "{more}");
        }
        for (body, code) in [
            ("", "MissingParameter"),
            ("Action=", "MissingParameter"),
            ("Action=DecodeAuthorizationMessage", "InvalidAction"),
            ("Action=AssumeRole", "MissingParameter"),
            (
                "Action=AssumeRole&RoleArn=r&RoleSessionName=ab",
                "ValidationError",
            ),
            (
                "Action=AssumeRole&RoleArn=arn:aws:iam::1:role/r&RoleSessionName=a%2Fb",
                "ValidationError",
            ),
            ("Action=%ff", "ValidationError"),
        ] {
            assert_eq!(Action::parse(body).unwrap_err().code, code, "{body}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(body in "(Action=AssumeRole|&|RoleArn=arn:|:role/|RoleSessionName=|%[0-9a-f]{0,2}|.){0,40}") {
            let _ = Action::parse(&body);
        }
    }
}
