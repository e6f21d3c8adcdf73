//! What a storage supports of the things in which S3 servers differ.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::{Finding, Outcome};
use crate::cli::dev::random_hex;
use crate::config::Config;
use crate::gateway;
use crate::state::StateBucket;
use crate::upstream::{Target, Upstream, UpstreamRequest};

/// The smallest part that is not the last one (S3 User Guide, "Multipart upload limits").
const MINIMUM_PART: usize = 5 * 1024 * 1024;

/// The longest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// What is stored for the experiments.
const CONTENT: &[u8] = b"sealgate check was here";

/// The findings about `[upstream]` and `[state]`.
pub(super) async fn probe(config: &Config) -> Vec<Finding> {
    let upstream = match gateway::upstream(&config.upstream, &config.limits).await {
        Ok(upstream) => upstream,
        Err(error) => return vec![Finding::failed("upstream", format!("{error:#}"))],
    };
    if let Err(error) = upstream
        .call(UpstreamRequest::new(Method::GET, Target::service()))
        .await
    {
        return vec![Finding::failed(
            "upstream",
            format!("{error}; check endpoint, region and credentials"),
        )];
    }
    let mut findings = vec![Finding::ok(
        "upstream",
        format!("{} answers signed requests", config.upstream.endpoint),
    )];
    let own_upstream = match &config.state.upstream {
        Some(own) => gateway::upstream(own, &config.limits).await,
        None => Ok(upstream),
    };
    let upstream = match own_upstream {
        Ok(upstream) => upstream,
        Err(error) => {
            return [
                findings,
                vec![Finding::failed("state.upstream", format!("{error:#}"))],
            ]
            .concat();
        }
    };
    let bucket = config.state.bucket.as_str();
    if let Err(error) = StateBucket::new(upstream.clone(), bucket.to_owned())
        .ensure()
        .await
    {
        findings.push(Finding::failed(
            "state.bucket",
            format!("{bucket}: {error}; make it, or allow us to make it"),
        ));
        return findings;
    }
    findings.push(Finding::ok("state.bucket", bucket));
    findings.extend(
        Bench {
            upstream,
            bucket: bucket.to_owned(),
        }
        .experiments()
        .await,
    );
    findings
}

/// A bucket to experiment in.
struct Bench {
    upstream: Upstream,
    bucket: String,
}

impl Bench {
    async fn experiments(&self) -> Vec<Finding> {
        let finding = |subject: &str, without: Outcome, seen: anyhow::Result<String>| match seen {
            Ok(detail) => Finding::ok(subject, detail),
            Err(error) => Finding::new(subject, without, format!("{error:#}")),
        };
        vec![
            finding(
                "conditional writes",
                Outcome::Failed,
                self.conditional_writes().await,
            ),
            finding("suffix ranges", Outcome::Failed, self.suffix_ranges().await),
            finding(
                "gaps in part numbers",
                Outcome::Failed,
                self.part_gaps().await,
            ),
            finding(
                "list after put",
                Outcome::Failed,
                self.list_after_put().await,
            ),
            finding(
                "checksum CRC64NVME",
                Outcome::Missing,
                self.checksum("crc64nvme", &crc64nvme(CONTENT)).await,
            ),
            finding(
                "checksum CRC32",
                Outcome::Missing,
                self.checksum("crc32", &crc32(CONTENT)).await,
            ),
        ]
    }

    /// If-None-Match: two replicas that write the same record at once rely on it.
    async fn conditional_writes(&self) -> anyhow::Result<String> {
        let key = name()?;
        let put = || {
            self.request(Method::PUT, &key)
                .header(header::IF_NONE_MATCH, HeaderValue::from_static("*"))
                .bytes(CONTENT)
        };
        let first = self.upstream.send(put()).await?.status();
        let second = self.upstream.send(put()).await?.status();
        self.remove(&key).await;
        ensure!(
            first.is_success(),
            "a conditional PUT of a new object was answered {first}"
        );
        ensure!(
            second == StatusCode::PRECONDITION_FAILED,
            "a conditional PUT of an object that was there was answered {second} instead of 412; use a storage that honours If-None-Match"
        );
        Ok("If-None-Match is honoured".to_owned())
    }

    /// Reading the commit record takes a suffix range, of objects that may be shorter than it.
    async fn suffix_ranges(&self) -> anyhow::Result<String> {
        let key = name()?;
        self.upstream
            .call(self.request(Method::PUT, &key).bytes(CONTENT))
            .await?;
        let get = |range: &'static str| {
            self.request(Method::GET, &key)
                .header(header::RANGE, HeaderValue::from_static(range))
        };
        let tail = self
            .upstream
            .call(get("bytes=-4"))
            .await?
            .document(ANSWER_LIMIT)
            .await?;
        let whole = self
            .upstream
            .call(get("bytes=-1000"))
            .await?
            .document(ANSWER_LIMIT)
            .await?;
        self.remove(&key).await;
        ensure!(
            CONTENT.ends_with(&tail) && tail.len() == 4,
            "a suffix range returned other bytes than the last ones"
        );
        ensure!(
            whole == CONTENT,
            "a suffix range longer than the object did not return all of it"
        );
        Ok("the last bytes are returned".to_owned())
    }

    /// Numbers that are not consecutive: clients choose them.
    async fn part_gaps(&self) -> anyhow::Result<String> {
        let key = name()?;
        let created = self
            .upstream
            .call(self.request(Method::POST, &key).query("uploads="))
            .await?;
        let document = created.document(ANSWER_LIMIT).await?;
        let upload = element(&document, "UploadId")
            .context("the answer to CreateMultipartUpload has no UploadId")?;
        let upload =
            percent_encoding::utf8_percent_encode(&upload, percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        let outcome = self.complete_with_gaps(&key, &upload).await;
        if outcome.is_ok() {
            self.remove(&key).await;
        } else {
            self.tidy(
                self.request(Method::DELETE, &key)
                    .query(format!("uploadId={upload}")),
            )
            .await;
        }
        outcome
    }

    async fn complete_with_gaps(&self, key: &str, upload: &str) -> anyhow::Result<String> {
        let mut list = String::new();
        for (number, content) in [
            (2, Bytes::from(vec![0; MINIMUM_PART])),
            (5, Bytes::from_static(CONTENT)),
        ] {
            let query = format!("partNumber={number}&uploadId={upload}");
            let answer = self
                .upstream
                .call(self.request(Method::PUT, key).query(query).bytes(content))
                .await?;
            let etag = answer
                .text(header::ETAG)
                .context("the answer to UploadPart has no ETag")?
                .replace('"', "&quot;");
            list.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            ));
        }
        let body = format!(
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{list}</CompleteMultipartUpload>"
        );
        let complete = self
            .request(Method::POST, key)
            .query(format!("uploadId={upload}"))
            .bytes(body);
        let answer = self
            .upstream
            .call(complete)
            .await
            .context("parts 2 and 5 alone were not accepted")?;
        let document = answer.document(ANSWER_LIMIT).await?;
        // S3 may answer 200 and report an error in the document.
        ensure!(
            element(&document, "ETag").is_some(),
            "parts 2 and 5 alone were not accepted"
        );
        Ok("parts 2 and 5 make an object".to_owned())
    }

    /// Records of parts are found by listing, right after they were written.
    async fn list_after_put(&self) -> anyhow::Result<String> {
        let key = name()?;
        self.upstream
            .call(self.request(Method::PUT, &key).bytes(CONTENT))
            .await?;
        let query = format!("list-type=2&prefix={}", key.replace('/', "%2F"));
        let list =
            UpstreamRequest::new(Method::GET, Target::bucket(self.bucket.as_str())).query(query);
        let document = self
            .upstream
            .call(list)
            .await?
            .document(ANSWER_LIMIT)
            .await?;
        self.remove(&key).await;
        let listed = element(&document, "Key");
        ensure!(
            listed.as_deref() == Some(key.as_str()),
            "a new object was not in the listing"
        );
        Ok("a new object is listed at once".to_owned())
    }

    /// A checksum that is wrong must be noticed, and one that is right must not.
    async fn checksum(&self, algorithm: &str, value: &[u8]) -> anyhow::Result<String> {
        let key = name()?;
        let put = |value: &[u8]| -> anyhow::Result<UpstreamRequest> {
            let encoded = data_encoding::BASE64.encode(value);
            let name = HeaderName::try_from(format!("x-amz-checksum-{algorithm}"))?;
            Ok(self
                .request(Method::PUT, &key)
                .header(name, HeaderValue::try_from(encoded)?)
                .bytes(CONTENT))
        };
        let wrong: Vec<u8> = value.iter().map(|byte| !byte).collect();
        let refused = self.upstream.send(put(&wrong)?).await?.status();
        let accepted = self.upstream.send(put(value)?).await?.status();
        self.remove(&key).await;
        ensure!(
            accepted.is_success(),
            "a right checksum was answered {accepted}"
        );
        ensure!(
            refused.is_client_error(),
            "a wrong checksum was accepted: the storage does not verify it"
        );
        Ok("the storage verifies it".to_owned())
    }

    fn request(&self, method: Method, key: &str) -> UpstreamRequest {
        UpstreamRequest::new(method, Target::object(self.bucket.as_str(), key))
    }

    async fn remove(&self, key: &str) {
        self.tidy(self.request(Method::DELETE, key)).await;
    }

    async fn tidy(&self, request: UpstreamRequest) {
        if let Err(error) = self.upstream.call(request).await {
            tracing::warn!(bucket = self.bucket, %error, "what a probe stored could not be removed");
        }
    }
}

/// The key of an object for one experiment. It needs no percent-encoding.
fn name() -> anyhow::Result<String> {
    Ok(format!("probe/{}", random_hex::<8>()?))
}

/// The text of the first element of that name, where it has no markup in it: enough for ids and names that we chose.
fn element(document: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(document).ok()?;
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once('<')?;
    let decoded = quick_xml::escape::unescape(content).ok()?;
    Some(decoded.into_owned())
}

fn crc64nvme(bytes: &[u8]) -> [u8; 8] {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes()
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    // The sum of a 32-bit algorithm is in the low half.
    let [_, _, _, _, low @ ..] =
        crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes).to_be_bytes();
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_unescaped() {
        let document = b"<?xml version=\"1.0\"?><A><UploadId>a&amp;b</UploadId><Key>k</Key></A>";
        assert_eq!(element(document, "UploadId").as_deref(), Some("a&b"));
        assert_eq!(element(document, "ETag"), None);
    }

    #[test]
    fn checksums_have_their_check_values() {
        // The check values of the CRC catalogue, over the digits 1 to 9.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926_u32.to_be_bytes());
        assert_eq!(
            crc64nvme(b"123456789"),
            0xae8b_1486_0a79_9888_u64.to_be_bytes()
        );
    }
}
