//! AWS Signature Version 4 in the `Authorization` header, seen from the server.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! KMS takes `POST /` without a query string alone, so the canonical URI and query are fixed. The payload hash is always
//! computed from the body that arrived; what `x-amz-content-sha256` claims is only one more signed header.

use aws_lc_rs::{digest, hmac};
use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use time::format_description::FormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};
use zeroize::Zeroizing;

use crate::error::{ErrorCode, KmsError};

/// How far the date of a request may be from the server's clock, in either direction.
pub(crate) const MAX_SKEW: Duration = Duration::minutes(15);
/// Longest `Authorization` header, in bytes.
const MAX_AUTHORIZATION: usize = 4096;
/// Most headers that one signature covers.
const MAX_SIGNED_HEADERS: usize = 64;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "kms";
const TERMINATOR: &str = "aws4_request";
const DATE_HEADER: &str = "x-amz-date";
const DATE_FORMAT: &[FormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// Headers that change what a request does: where present, the signature must cover them.
const MUST_BE_SIGNED: [&str; 3] = ["x-amz-date", "x-amz-target", "x-amz-security-token"];

/// What an `Authorization` header says, with the date header that belongs to it. Nothing of it is verified yet.
#[derive(Debug)]
pub(crate) struct Authorization {
    access_key_id: String,
    date: String,
    region: String,
    service: String,
    terminator: String,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
    timestamp: String,
    time: OffsetDateTime,
}

impl Authorization {
    /// Reads the headers of a request.
    ///
    /// # Errors
    ///
    /// `MissingAuthenticationTokenException` without an `Authorization` header, `IncompleteSignatureException` when the
    /// header or the date lacks a part.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, KmsError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Err(KmsError::new(
                ErrorCode::MissingAuthenticationToken,
                "Missing Authentication Token",
            ));
        };
        let text = value.to_str().unwrap_or_default();
        let incomplete = |message: String| {
            let hash = BASE64.encode(digest::digest(&digest::SHA256, value.as_bytes()).as_ref());
            KmsError::new(
                ErrorCode::IncompleteSignature,
                format!(
                    "{message} (Hashed with SHA-256 and encoded with Base64) Authorization={hash}"
                ),
            )
        };
        if values.next().is_some() || text.is_empty() || text.len() > MAX_AUTHORIZATION {
            return Err(incomplete(format!(
                "The Authorization header must stand once, be ASCII and have at most {MAX_AUTHORIZATION} bytes."
            )));
        }
        let Some(parameters) = text
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with(' '))
        else {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': only {ALGORITHM} is supported."
            )));
        };

        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            let slot = match parameter.trim().split_once('=') {
                Some(("Credential", value)) => Some((&mut credential, value)),
                Some(("SignedHeaders", value)) => Some((&mut signed_headers, value)),
                Some(("Signature", value)) => Some((&mut signature, value)),
                _ => None,
            };
            match slot {
                Some((slot, value)) if slot.is_none() && !value.is_empty() => *slot = Some(value),
                _ => {
                    return Err(incomplete(
                        "Authorization header is not a list of its three parameters.".to_owned(),
                    ));
                }
            }
        }
        let timestamp = single(headers, DATE_HEADER);
        let (Some(credential), Some(signed_headers), Some(signature), Some(timestamp)) =
            (credential, signed_headers, signature, timestamp)
        else {
            let mut missing = Vec::new();
            for (name, value) in [
                ("Credential", credential),
                ("Signature", signature),
                ("SignedHeaders", signed_headers),
            ] {
                if value.is_none() {
                    missing.push(format!("Authorization header requires '{name}' parameter."));
                }
            }
            if timestamp.is_none() {
                missing.push(
                    "Authorization header requires existence of one 'X-Amz-Date' header."
                        .to_owned(),
                );
            }
            return Err(incomplete(missing.join(" ")));
        };
        let Some(time) = parse_timestamp(timestamp) else {
            return Err(incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{timestamp}', expected for instance '20260131T235959Z'."
            )));
        };
        let parts: Vec<&str> = credential.split('/').collect();
        let &[access_key_id, date, region, service, terminator] = parts.as_slice() else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.".to_owned(),
            ));
        };
        let Ok(signature) = HEXLOWER.decode(signature.as_bytes()) else {
            return Err(incomplete(
                "Signature must be hexadecimal, in small letters.".to_owned(),
            ));
        };
        let signed_headers: Vec<String> = signed_headers.split(';').map(str::to_owned).collect();
        if signed_headers.len() > MAX_SIGNED_HEADERS {
            return Err(incomplete(format!(
                "SignedHeaders may name at most {MAX_SIGNED_HEADERS} headers."
            )));
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            terminator: terminator.to_owned(),
            signed_headers,
            signature,
            timestamp: timestamp.to_owned(),
            time,
        })
    }

    pub(crate) fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The region that the request was signed for.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Checks what the signature claims to be for: date, region, service, and the time it was made at.
    ///
    /// # Errors
    ///
    /// `InvalidSignatureException`, with the claim that does not hold.
    pub(crate) fn check_scope(&self, region: &str, now: OffsetDateTime) -> Result<(), KmsError> {
        let day = self.timestamp.get(..8).unwrap_or_default();
        if self.date != day {
            return Err(invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{day}', \
                 from '{}'.",
                self.date, self.timestamp
            )));
        }
        if self.region != region {
            return Err(invalid(format!(
                "Credential should be scoped to a valid region: this server is in '{region}', the request was signed for '{}'.",
                self.region
            )));
        }
        if self.service != SERVICE {
            return Err(invalid(format!(
                "Credential should be scoped to correct service: '{SERVICE}'."
            )));
        }
        if self.terminator != TERMINATOR {
            return Err(invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )));
        }
        let (then, skew) = (&self.timestamp, MAX_SKEW.whole_minutes());
        if self.time < now - MAX_SKEW {
            return Err(invalid(format!(
                "Signature expired: {then} is now earlier than {} ({} - {skew} min.)",
                timestamp(now - MAX_SKEW),
                timestamp(now)
            )));
        }
        if self.time > now + MAX_SKEW {
            return Err(invalid(format!(
                "Signature not yet current: {then} is still later than {} ({} + {skew} min.)",
                timestamp(now + MAX_SKEW),
                timestamp(now)
            )));
        }
        Ok(())
    }

    /// Verifies the signature of a `POST /` with these headers and this body, comparing in constant time.
    ///
    /// # Errors
    ///
    /// `InvalidSignatureException` when the signature is another, or leaves out a header that it must cover.
    pub(crate) fn verify(
        &self,
        secret: &str,
        headers: &HeaderMap,
        host: &str,
        body: &[u8],
    ) -> Result<(), KmsError> {
        let is_signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        if !is_signed("host") {
            return Err(invalid(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
                    .to_owned(),
            ));
        }
        for name in MUST_BE_SIGNED {
            if headers.contains_key(name) && !is_signed(name) {
                return Err(invalid(format!(
                    "'{name}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
        }
        let canonical = self
            .canonical_request(headers, host, body)
            .ok_or_else(mismatch)?;
        let string_to_sign = format!(
            "{ALGORITHM}\n{}\n{}/{}/{}/{}\n{}",
            self.timestamp,
            self.date,
            self.region,
            self.service,
            self.terminator,
            sha256_hex(canonical.as_bytes())
        );
        let key = signing_key(
            secret,
            &[&self.date, &self.region, &self.service, &self.terminator],
        );
        let expected = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &key),
            string_to_sign.as_bytes(),
        );
        if bool::from(expected.as_ref().ct_eq(&self.signature)) {
            Ok(())
        } else {
            Err(mismatch())
        }
    }

    /// The canonical request, or nothing when a header that is to be signed is not there or is not text.
    fn canonical_request(&self, headers: &HeaderMap, host: &str, body: &[u8]) -> Option<String> {
        let mut names = self.signed_headers.clone();
        names.sort_unstable();
        names.dedup();
        let mut lines = String::new();
        for name in &names {
            lines.push_str(name);
            lines.push(':');
            if name == "host" {
                lines.push_str(host);
            } else {
                if !headers.contains_key(name) {
                    return None;
                }
                for (position, value) in headers.get_all(name).iter().enumerate() {
                    if position > 0 {
                        lines.push(',');
                    }
                    let words: Vec<&str> = value
                        .to_str()
                        .ok()?
                        .split(' ')
                        .filter(|word| !word.is_empty())
                        .collect();
                    lines.push_str(&words.join(" "));
                }
            }
            lines.push('\n');
        }
        Some(format!(
            "POST\n/\n\n{lines}\n{}\n{}",
            names.join(";"),
            sha256_hex(body)
        ))
    }
}

fn signing_key(secret: &str, scope: &[&str]) -> Zeroizing<Vec<u8>> {
    let first = Zeroizing::new(format!("AWS4{secret}").into_bytes());
    scope.iter().fold(first, |key, part| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
        Zeroizing::new(tag.as_ref().to_vec())
    })
}

fn sha256_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn parse_timestamp(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text, DATE_FORMAT)
        .ok()
        .map(PrimitiveDateTime::assume_utc)
}

fn timestamp(time: OffsetDateTime) -> String {
    time.format(DATE_FORMAT).unwrap_or_default()
}

fn invalid(message: String) -> KmsError {
    KmsError::new(ErrorCode::InvalidSignature, message)
}

fn mismatch() -> KmsError {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details."
            .to_owned(),
    )
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
