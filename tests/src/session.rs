//! Credentials of a session, as AWS STS and `sealgate grant credentials` give them.

use std::{
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    endpoint::Endpoint,
    process,
    python::aws,
    raw_http::{Payload, RawRequest},
    servers::Gateway,
};

/// How long one command of the aws CLI may take.
const AWS_LIMIT: Duration = Duration::from_mins(1);

/// An access key with the token that belongs to it.
#[derive(Clone, Debug)]
pub struct SessionCredentials {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// The session token.
    pub token: String,
}

impl SessionCredentials {
    /// Those of an object with `AccessKeyId`, `SecretAccessKey` and `SessionToken`.
    ///
    /// # Errors
    /// If one is missing.
    pub fn of(answer: &Value) -> Result<Self> {
        let member = |name: &str| {
            let value = answer.get(name).and_then(Value::as_str);
            value
                .map(str::to_owned)
                .with_context(|| format!("no {name} in {answer}"))
        };
        Ok(Self {
            id: member("AccessKeyId")?,
            secret: member("SecretAccessKey")?,
            token: member("SessionToken")?,
        })
    }

    /// Those in an answer of STS, as the aws CLI prints it.
    ///
    /// # Errors
    /// If it is no such answer.
    pub fn of_sts(printed: &str) -> Result<Self> {
        let answer: Value = serde_json::from_str(printed)?;
        Self::of(answer.get("Credentials").context("no Credentials")?)
    }

    /// The same access key with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    fn endpoint(&self, gateway: &Gateway) -> Endpoint {
        gateway.endpoint.with_credentials(&self.id, &self.secret)
    }

    /// The aws CLI with them at a gateway. Arguments follow.
    ///
    /// # Errors
    /// If the Python environment is missing.
    pub fn aws(&self, gateway: &Gateway) -> Result<Command> {
        let mut command = aws(&self.endpoint(gateway))?;
        command.env("AWS_SESSION_TOKEN", &self.token);
        Ok(command)
    }

    /// Runs the aws CLI with them and returns what it printed.
    ///
    /// # Errors
    /// If it fails or takes too long.
    pub fn run_aws(&self, gateway: &Gateway, arguments: &[&str]) -> Result<String> {
        process::run_successfully(self.aws(gateway)?.args(arguments), AWS_LIMIT)
    }

    /// A request without a body, signed with them.
    ///
    /// # Errors
    /// If it can't be signed.
    pub fn request(&self, gateway: &Gateway, method: &str, target: &str) -> Result<RawRequest> {
        RawRequest::new(method, target)
            .header("x-amz-security-token", &self.token)
            .sign(
                &self.endpoint(gateway),
                Payload::Signed(b""),
                SystemTime::now(),
            )
    }

    /// The error code that such a request gets, if any.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn error_code(
        &self,
        gateway: &Gateway,
        method: &str,
        target: &str,
    ) -> Result<Option<String>> {
        let request = self.request(gateway, method, target)?;
        Ok(request.send(&gateway.endpoint).await?.error_code())
    }
}
