//! `sealgate check`: asks the upstream and the key services what they really do, with objects and keys of its own.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use sealgate_envelope::{header::HEADER_METADATA_NAME, layout::MINIMUM_PART_LENGTH};

use super::{
    Gateway, key_services::key_service, quorum, self_check, storage_watch::of_state_bucket,
    verification,
};
use crate::{
    admin::Obstacle,
    body::Algorithm,
    config::{KeyServiceConfig, Mode},
    entity_tag::EntityTag,
    error::S3Error,
    operation::append_query,
    state::recognition::{other_states_beside, which_deployment},
    upstream::{Answer, MAX_DOCUMENT_LENGTH, Target, UpstreamRequest, Verification},
    xml::{
        requests::{CompleteMultipartUpload, CompletedPart},
        upstream_answers::{Outcome, parse_completed, parse_initiated},
    },
};

/// Where probes write, in the state bucket.
pub(super) const PROBES: &str = "probe/";

/// How long what is under way may take when a probe is to end.
const GRACE: Duration = Duration::from_secs(5);

/// For removing what a probe wrote.
const CLEAN_LIMIT: Duration = Duration::from_secs(20);

/// What the probe found about one property.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What was asked for.
    pub property: String,
    /// Whether it is there.
    pub supported: bool,
    /// Whether the gateway cannot do without it.
    pub required: bool,
    /// What it means if it is missing, or why it failed.
    pub detail: String,
}

impl Finding {
    fn new(
        property: impl Into<String>,
        required: bool,
        outcome: Result<bool, S3Error>,
        consequence: &str,
    ) -> Self {
        let (supported, detail) = match outcome {
            Ok(true) => (true, String::new()),
            Ok(false) => (false, consequence.to_owned()),
            Err(error) => (false, error.to_string()),
        };
        Self {
            property: property.into(),
            supported,
            required,
            detail,
        }
    }
}

impl Finding {
    /// About key services. What clients are told of them says nothing to operators.
    fn of_keys(
        property: impl Into<String>,
        outcome: Result<bool, S3Error>,
        consequence: &str,
    ) -> Self {
        let cause = outcome
            .as_ref()
            .err()
            .and_then(|error| error.detail.clone());
        let finding = Self::new(property, true, outcome, consequence);
        Self {
            detail: cause.unwrap_or(finding.detail),
            ..finding
        }
    }
}

impl Gateway {
    /// Probes the storage that holds the state bucket, in that bucket: everything written is removed again, also when `stop` comes before the
    /// end. Then nothing was found out.
    ///
    /// About 10 MiB are sent. Every property is reported, whether it is there or not.
    pub async fn probe_storage(&self, stop: impl Future<Output = ()>) -> Option<Vec<Finding>> {
        let stopping = AtomicBool::new(false);
        let mut ended = std::pin::pin!(async {
            stop.await;
            stopping.store(true, Ordering::Relaxed);
            // What is under way ends by itself, and nothing else begins.
            tokio::time::sleep(GRACE).await;
        });
        let reached = tokio::select! {
            reached = self.state.ensure() => reached,
            () = &mut ended => return None,
        };
        let mut findings = vec![self.state_bucket_finding(reached.err())];
        if findings.iter().any(|finding| !finding.supported) {
            return Some(findings);
        }
        // Not every account may list buckets.
        let others = tokio::select! {
            others = other_states_beside(&self.state) => others.unwrap_or_default(),
            () = &mut ended => return None,
        };
        if !others.is_empty() {
            findings.push(Finding::new(
                "the state bucket is that of the deployment that was meant",
                false,
                Ok(false),
                &which_deployment(self.state.name(), &others),
            ));
        }
        let probe = Probe {
            gateway: self,
            prefix: format!("{PROBES}{}", super::new_request_id()),
            stopping: &stopping,
        };
        tokio::select! {
            found = probe.findings() => findings.extend(found),
            () = &mut ended => {}
        }
        probe.clean().await;
        if !stopping.load(Ordering::Relaxed) {
            let found = verification::find_out_unless(&self.state, &stopping);
            tokio::select! {
                found = found => findings.extend(checksum_findings(&found)),
                () = &mut ended => {}
            }
        }
        (!stopping.load(Ordering::Relaxed)).then_some(findings)
    }

    fn state_bucket_finding(&self, failure: Option<S3Error>) -> Finding {
        let (table, _) = self.config.state_upstream();
        Finding {
            property: format!("state bucket {} can be used", self.state.name()),
            supported: failure.is_none(),
            required: true,
            detail: failure.map_or_else(String::new, |error| {
                let Obstacle { cause, fix } = of_state_bucket(table, self.state.name(), &error);
                format!("{cause}; {fix}")
            }),
        }
    }

    /// Probes every configured key service: a key is generated, its wrap opened again, and both compared. A write-only gateway only generates.
    pub async fn probe_key_services(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let names = &self.config.key_service_names;
        for (name, config) in names.iter().zip(&self.config.key_services) {
            let key = match config {
                KeyServiceConfig::AwsKms(kms) => match &kms.endpoint {
                    Some(endpoint) => format!("AWS KMS key {} at {endpoint}", kms.key),
                    None => format!("AWS KMS key {}", kms.key),
                },
                KeyServiceConfig::VaultTransit(vault) => format!(
                    "Vault key {}/{} at {}",
                    vault.mount, vault.key, vault.endpoint
                ),
                KeyServiceConfig::Pkcs11(pkcs11) => {
                    format!("PKCS#11 key {} of token {}", pkcs11.key, pkcs11.token)
                }
                KeyServiceConfig::Local { file, .. } => {
                    format!("local key file {}", file.display())
                }
            };
            findings.push(Finding::of_keys(
                format!("key service {name}: {key}"),
                probe_key_service(config, self.config.mode).await,
                "the key that came back is another one",
            ));
        }
        findings.push(self.probe_quorums().await);
        findings
    }

    /// Whether the keys are different ones where that is required, now that aliases can be asked for.
    async fn probe_quorums(&self) -> Finding {
        let mut keys = Vec::with_capacity(self.key_services.len());
        let mut silent = Vec::new();
        for (service, name) in self.key_services.iter().zip(&self.config.key_service_names) {
            let reference = service.key_reference().await.ok();
            if reference.is_none() {
                silent.push(name.as_str());
            }
            keys.push(reference.map(|reference| (service.provider(), reference)));
        }
        let checked = quorum::check_quorums(&self.config, &keys)
            .map(|()| true)
            .map_err(|error| S3Error::internal(format!("{error:#}")));
        let checked = checked.and_then(|is_enough| {
            if silent.is_empty() {
                return Ok(is_enough);
            }
            let silent = silent.join(", ");
            Err(S3Error::internal(format!(
                "which key the key services {silent} have is not known"
            )))
        });
        Finding::of_keys("as many different keys as wraps are required", checked, "")
    }
}

/// Which checksums of the ciphertext the storage verifies. Those of `upstream.checksum_trailer` go with every body.
fn checksum_findings(found: &Result<Verification, S3Error>) -> [Finding; 2] {
    let finding = |what: &str, of: fn(&Verification) -> Option<Algorithm>| {
        let found = found.as_ref().map(of);
        let property = match found {
            Ok(Some(algorithm)) => format!("{algorithm} trailer on {what}"),
            _ => format!("CRC64NVME or CRC32C trailer on {what}"),
        };
        Finding::new(
            property,
            false,
            found
                .map(|algorithm| algorithm.is_some())
                .map_err(Clone::clone),
            "not verified: what is damaged on its way to the storage is found when it is read, and buckets with Object Lock refuse large uploads",
        )
    };
    [
        finding("PutObject", |found| found.objects),
        finding("UploadPart", |found| found.parts),
    ]
}

async fn probe_key_service(config: &KeyServiceConfig, mode: Mode) -> Result<bool, S3Error> {
    let service = key_service(config)
        .await
        .map_err(|error| S3Error::internal(format!("{error:#}")))?;
    Ok(match mode {
        Mode::ReadWrite => self_check::opens_what_it_makes(&*service, CHECK).await?,
        Mode::WriteOnly => self_check::generates(&*service, CHECK)
            .await
            .map(|()| true)?,
    })
}

/// The domain of what is made to see whether it can be.
const CHECK: &str = "sealgate-check";

/// The entity tag of no object.
const ANOTHER_TAG: HeaderValue = HeaderValue::from_static("\"00000000000000000000000000000000\"");

struct Probe<'a> {
    gateway: &'a Gateway,
    /// What the names of all probes begin with.
    prefix: String,
    /// Whether nothing more is to be asked.
    stopping: &'a AtomicBool,
}

impl Probe<'_> {
    /// What the storage does of what differs between storages.
    async fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.push(Finding::new(
            "If-None-Match: * on PutObject",
            true,
            self.creates_once().await,
            "ignored: two gateways could overwrite each other's records; use another storage for [state]",
        ));
        findings.push(Finding::new(
            "If-Match on PutObject",
            false,
            self.put_if_match().await,
            "ignored: conditional writes of clients are not safe",
        ));
        findings.push(Finding::new(
            "listings show what was just written",
            true,
            self.lists_after_put().await,
            "not so: parts would be missing when an upload is completed",
        ));
        findings.push(Finding::new(
            "2,000 bytes of metadata, for the sealed header",
            true,
            self.keeps_metadata().await,
            "not kept: sealed headers do not fit",
        ));
        findings.push(Finding::new(
            "suffix ranges",
            true,
            self.suffix_range().await,
            "not served: commit records cannot be read",
        ));
        findings.push(Finding::new(
            "tags, ACLs and locks leave the bytes of an object alone",
            false,
            self.labels_leave_bytes().await,
            "not so: the storage does not know ?tagging, ?acl, ?retention or ?legal-hold and takes such a request for a new object; whoever sends one loses the object",
        ));
        findings.push(Finding::new("x-amz-copy-source-if-match", false, self.copy_condition().await, "ignored: a copy could be of another version than was checked; it is verified afterwards all the same"));
        findings.push(Finding::new(
            "If-None-Match: * on CopyObject",
            false,
            self.copy_if_none_match().await,
            "ignored: a conditional copy of a client replaces what is there",
        ));
        findings.push(Finding::new(
            "If-Match on DeleteObject",
            false,
            self.delete_if_match().await,
            "ignored: a conditional deletion of a client deletes what is there",
        ));
        let (gaps, condition) = self.multipart().await;
        findings.push(Finding::new(
            "gaps in part numbers",
            true,
            gaps,
            "refused: uploads whose part numbers have gaps fail",
        ));
        findings.push(Finding::new(
            "If-None-Match: * on CompleteMultipartUpload",
            false,
            condition,
            "ignored: conditional completions of clients are not safe",
        ));
        findings
    }

    fn request(&self, method: Method, name: &str) -> UpstreamRequest {
        UpstreamRequest::new(
            method,
            Target::object(self.gateway.state.name(), format!("{}/{name}", self.prefix)),
        )
    }

    async fn call(&self, request: UpstreamRequest) -> Result<Answer, S3Error> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(S3Error::internal("interrupted"));
        }
        self.gateway.state.upstream().call(request).await
    }

    /// Whether a request was refused because of its condition.
    async fn is_refused(&self, request: UpstreamRequest) -> Result<bool, S3Error> {
        match self.call(request).await {
            Ok(_) => Ok(false),
            Err(error) if error.status == StatusCode::PRECONDITION_FAILED => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn creates_once(&self) -> Result<bool, S3Error> {
        let name = format!("{}/once", self.prefix);
        let first = self.gateway.state.put_new(&name, "1").await?;
        let second = self.gateway.state.put_new(&name, "2").await?;
        Ok(first && !second)
    }

    async fn put_if_match(&self) -> Result<bool, S3Error> {
        self.is_refused(
            self.request(Method::PUT, "once")
                .header(header::IF_MATCH, ANOTHER_TAG)
                .bytes("3"),
        )
        .await
    }

    async fn lists_after_put(&self) -> Result<bool, S3Error> {
        let name = format!("{}/listed", self.prefix);
        self.gateway.state.put(&name, Bytes::new()).await?;
        let listed = self.gateway.state.list(&self.prefix, 100).await?;
        Ok(listed.iter().any(|entry| entry.name == name))
    }

    async fn keeps_metadata(&self) -> Result<bool, S3Error> {
        let value = HeaderValue::from_str(&"a".repeat(2_000)).map_err(S3Error::internal)?;
        let name = HeaderName::from_static(HEADER_METADATA_NAME);
        self.call(
            self.request(Method::PUT, "metadata")
                .header(name.clone(), value.clone())
                .bytes("1"),
        )
        .await?;
        let head = self.call(self.request(Method::HEAD, "metadata")).await?;
        Ok(head.headers().get(name) == Some(&value))
    }

    async fn suffix_range(&self) -> Result<bool, S3Error> {
        self.call(self.request(Method::PUT, "range").bytes("0123456789"))
            .await?;
        let request = self
            .request(Method::GET, "range")
            .header(header::RANGE, HeaderValue::from_static("bytes=-4"));
        let answer = self.call(request).await?;
        let partial = answer.status() == StatusCode::PARTIAL_CONTENT;
        Ok(partial && **answer.document(100).await? == *b"6789")
    }

    /// Labels the object that the probe of ranges wrote, with documents that say nothing, and reads it again.
    async fn labels_leave_bytes(&self) -> Result<bool, S3Error> {
        for (query, document) in [
            ("tagging=", "<Tagging><TagSet></TagSet></Tagging>"),
            ("retention=", "<Retention></Retention>"),
            ("legal-hold=", "<LegalHold><Status>OFF</Status></LegalHold>"),
            ("acl=", ""),
        ] {
            let private = HeaderValue::from_static("private");
            let request = self.request(Method::PUT, "range").query(query);
            let request = match document {
                "" => request.header(HeaderName::from_static("x-amz-acl"), private),
                document => request.bytes(document),
            };
            // Whether it is refused, as in a bucket without Object Lock, does not matter.
            self.gateway.state.upstream().send(request).await?;
        }
        let answer = self.call(self.request(Method::GET, "range")).await?;
        Ok(**answer.document(100).await? == *b"0123456789")
    }

    /// A copy of the object that the probe of ranges wrote.
    fn copy(&self) -> Result<UpstreamRequest, S3Error> {
        let source = format!("/{}/{}/range", self.gateway.state.name(), self.prefix);
        let source = HeaderValue::from_str(&source).map_err(S3Error::internal)?;
        Ok(self
            .request(Method::PUT, "copy")
            .header(HeaderName::from_static("x-amz-copy-source"), source))
    }

    async fn copy_condition(&self) -> Result<bool, S3Error> {
        let request = self.copy()?.header(
            HeaderName::from_static("x-amz-copy-source-if-match"),
            ANOTHER_TAG,
        );
        self.is_refused(request).await
    }

    async fn copy_if_none_match(&self) -> Result<bool, S3Error> {
        self.call(self.copy()?).await?;
        let any = HeaderValue::from_static("*");
        self.is_refused(self.copy()?.header(header::IF_NONE_MATCH, any))
            .await
    }

    async fn delete_if_match(&self) -> Result<bool, S3Error> {
        self.is_refused(
            self.request(Method::DELETE, "copy")
                .header(header::IF_MATCH, ANOTHER_TAG),
        )
        .await
    }

    /// Whether part numbers may have gaps, and whether a completion may be conditional.
    async fn multipart(&self) -> (Result<bool, S3Error>, Result<bool, S3Error>) {
        let gaps = match self.complete("multipart", HeaderMap::new()).await {
            Ok(()) => Ok(true),
            Err(error)
                if matches!(
                    &*error.code,
                    "InvalidPart" | "InvalidPartOrder" | "InvalidRequest"
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        };
        let mut condition = HeaderMap::new();
        condition.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        // The object exists, because the first completion made it.
        let conditional = match self.complete("multipart", condition).await {
            Ok(()) => Ok(false),
            Err(error)
                if error.status == StatusCode::PRECONDITION_FAILED
                    || error.code == "PreconditionFailed" =>
            {
                Ok(true)
            }
            Err(error) => Err(error),
        };
        (gaps, conditional)
    }

    /// Completes an upload of the parts 2 and 5.
    async fn complete(&self, name: &str, condition: HeaderMap) -> Result<(), S3Error> {
        let begun = self
            .call(self.request(Method::POST, name).query("uploads="))
            .await?;
        let upload_id = parse_initiated(&begun.document(MAX_DOCUMENT_LENGTH).await?)?;
        let mut query = String::new();
        append_query(&mut query, "uploadId", &upload_id);
        let outcome = self.complete_parts(name, &query, condition).await;
        if outcome.is_err() {
            let abort = self.request(Method::DELETE, name).query(query);
            // Also when nothing more is asked.
            self.gateway.state.upstream().call(abort).await.ok();
        }
        outcome
    }

    async fn complete_parts(
        &self,
        name: &str,
        query: &str,
        condition: HeaderMap,
    ) -> Result<(), S3Error> {
        let mut parts = Vec::new();
        let large = Bytes::from(vec![
            0;
            usize::try_from(MINIMUM_PART_LENGTH).unwrap_or_default()
        ]);
        for (number, content) in [(2, large), (5, Bytes::from_static(b"end"))] {
            let part = self
                .request(Method::PUT, name)
                .query(format!("partNumber={number}&{query}"))
                .bytes(content);
            let answer = self.call(part).await?;
            let tag = answer
                .text(header::ETAG)
                .ok_or_else(|| S3Error::internal("a part without an entity tag"))?;
            parts.push(CompletedPart {
                number,
                entity_tag: EntityTag::parse(tag),
                checksums: Vec::new(),
            });
        }
        let request = self
            .request(Method::POST, name)
            .query(query)
            .headers(condition)
            .bytes(CompleteMultipartUpload::to_document(&parts).into_bytes());
        let answer = self.call(request).await?;
        match parse_completed(&answer.document(MAX_DOCUMENT_LENGTH).await?)? {
            Outcome::Done(_) => Ok(()),
            Outcome::Failed(error) => Err(S3Error::new(
                StatusCode::BAD_REQUEST,
                error.code,
                error.message,
            )),
        }
    }

    async fn clean(&self) {
        let removed = async {
            let names: Vec<String> = self
                .gateway
                .state
                .list(&self.prefix, 100)
                .await?
                .into_iter()
                .map(|entry| entry.name)
                .collect();
            self.gateway.state.delete(&names).await
        };
        let removed = tokio::time::timeout(CLEAN_LIMIT, removed).await;
        let removed = removed.map_err(|_| S3Error::internal("the storage takes too long"));
        if let Err(error) = removed.flatten() {
            tracing::warn!(prefix = %self.prefix, %error, "what the probe wrote could not be removed; `sealgate gc` removes it when it is a day old");
        }
    }
}
