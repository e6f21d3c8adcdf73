//! Credentials of a session, as AWS STS and `sealgate grant credentials` give them.

use std::{process::Command, time::SystemTime};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    endpoint::Endpoint,
    python::aws,
    raw_http::{Payload, RawRequest},
    servers::Gateway,
};

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

    /// A request without a body, signed with them, that brings this token.
    ///
    /// # Errors
    /// If it can't be signed.
    pub fn request(
        &self,
        gateway: &Gateway,
        method: &str,
        target: &str,
        token: &str,
    ) -> Result<RawRequest> {
        RawRequest::new(method, target)
            .header("x-amz-security-token", token)
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
        token: &str,
    ) -> Result<Option<String>> {
        let request = self.request(gateway, method, target, token)?;
        Ok(request.send(&gateway.endpoint).await?.error_code())
    }
}
