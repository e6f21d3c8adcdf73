//! Signature Version 4 in headers.

use std::fmt::Write;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::format_description};

const REGION: &str = "us-east-1";

/// Signs for one endpoint.
#[derive(Debug)]
pub(crate) struct Signer {
    access_key_id: String,
    secret_access_key: String,
    host: String,
}

impl Signer {
    /// For an endpoint at `host`, with its port.
    pub(crate) fn new(access_key_id: String, secret_access_key: String, host: String) -> Self {
        Self {
            access_key_id,
            secret_access_key,
            host,
        }
    }

    /// The head of a request, signed now, up to the empty line. `path` and `query` have to be encoded and the query sorted; `headers` are in
    /// lower case.
    pub(crate) fn head(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, String)],
        hash: &str,
    ) -> anyhow::Result<Vec<u8>> {
        let now = OffsetDateTime::now_utc();
        let moment = now.format(format_description!(
            "[year][month][day]T[hour][minute][second]Z"
        ))?;
        let day = now.format(format_description!("[year][month][day]"))?;
        let mut signed: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        signed.extend([
            ("host", self.host.as_str()),
            ("x-amz-content-sha256", hash),
            ("x-amz-date", &moment),
        ]);
        signed.sort_unstable();
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");

        let mut canonical = format!("{method}\n{path}\n{query}\n");
        for (name, value) in &signed {
            writeln!(canonical, "{name}:{value}")?;
        }
        write!(canonical, "\n{names}\n{hash}")?;
        let scope = format!("{day}/{REGION}/s3/aws4_request");
        let canonical_hash = HEXLOWER.encode(&Sha256::digest(&canonical));
        let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{canonical_hash}");
        let mut key = format!("AWS4{}", self.secret_access_key).into_bytes();
        for piece in [&day, REGION, "s3", "aws4_request", &text] {
            key = authenticated(&key, piece)?;
        }

        let target = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{query}")
        };
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in &signed {
            write!(head, "{name}: {value}\r\n")?;
        }
        write!(
            head,
            "authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}\r\n\r\n",
            self.access_key_id,
            HEXLOWER.encode(&key)
        )?;
        Ok(head.into_bytes())
    }
}

fn authenticated(key: &[u8], text: &str) -> anyhow::Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}
