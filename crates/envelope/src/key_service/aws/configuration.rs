//! How to reach a key in AWS KMS, or in a server that speaks its protocol.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::key_service::trust::{TrustRoots, has_scheme};

/// Limits on the time and the number of tries that one call may take.
///
/// The SDK sets neither a read nor an operation timeout by itself, and shares its retry budget with every other client
/// in the process; here each is set, and the budget is this client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwsKmsLimits {
    /// For the TCP and TLS handshakes. Default 2 s.
    pub connect_timeout: Duration,
    /// From the end of a request to the first byte of its answer. Default 4 s.
    pub read_timeout: Duration,
    /// For one try as a whole. Default 5 s.
    pub attempt_timeout: Duration,
    /// For a call with all its tries and the pauses between them. Default 12 s.
    pub operation_timeout: Duration,
    /// Tries for a call, the first one counted. Default 3.
    pub attempts: u32,
    /// Before the first retry; it doubles with each, with jitter. Default 100 ms.
    pub initial_backoff: Duration,
    /// The longest pause between two tries. Default 2 s.
    pub max_backoff: Duration,
    /// Tokens in this client's retry budget; a retry takes 5 (10 after a timeout), a success gives some back. An outage
    /// so doesn't multiply the load. Default 100.
    pub retry_budget: usize,
}

impl Default for AwsKmsLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(4),
            attempt_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(12),
            attempts: 3,
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            retry_budget: 100,
        }
    }
}

/// Where the credentials for the key service come from.
#[derive(Clone)]
#[non_exhaustive]
pub enum AwsCredentials {
    /// The standard chain of the AWS SDKs: environment, profile, web identity, container, instance role.
    DefaultChain,
    /// A fixed pair, or triple with a session token.
    Static {
        /// The access key id.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: Zeroizing<String>,
        /// The session token of temporary credentials.
        session_token: Option<Zeroizing<String>>,
    },
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultChain => formatter.write_str("DefaultChain"),
            Self::Static { access_key_id, .. } => formatter
                .debug_struct("Static")
                .field("access_key_id", access_key_id)
                .finish_non_exhaustive(),
        }
    }
}

/// A key in AWS KMS and how to reach it.
///
/// ```
/// use sealgate_envelope::key_service::aws::AwsKmsConfiguration;
///
/// let configuration = AwsKmsConfiguration::new("arn:aws:kms:eu-central-1:111122223333:key/1234abcd")
///     .region("eu-central-1");
/// # let _ = configuration;
/// ```
#[derive(Clone, Debug)]
pub struct AwsKmsConfiguration {
    pub(super) key: String,
    pub(super) region: Option<String>,
    pub(super) related_regions: Vec<String>,
    pub(super) endpoint: Option<String>,
    pub(super) plain_http: bool,
    pub(super) credentials: AwsCredentials,
    pub(super) trust_roots: TrustRoots,
    pub(super) limits: AwsKmsLimits,
}

impl AwsKmsConfiguration {
    /// A key by its ARN, id, alias name (`alias/…`) or alias ARN, with default settings for all else.
    ///
    /// With the key's own ARN no `DescribeKey` permission is needed, and a start while the key service is down goes
    /// further. Anything else is resolved to an ARN once; from then on an alias that is pointed elsewhere has no effect
    /// until the next start.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            region: None,
            related_regions: Vec::new(),
            endpoint: None,
            plain_http: false,
            credentials: AwsCredentials::DefaultChain,
            trust_roots: TrustRoots::System,
            limits: AwsKmsLimits::default(),
        }
    }

    /// The AWS region. Default: that of the key's ARN, else the standard chain's.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The other Regions of a multi-Region key whose wraps this one opens, too: what was sealed there opens here while that
    /// Region is away. New wraps name the key of this Region. Default: none.
    #[must_use]
    pub fn related_regions(mut self, regions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.related_regions = regions.into_iter().map(Into::into).collect();
        self
    }

    /// The endpoint's URL, for VPC endpoints and compatible servers. Default: AWS's own for the region.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Allows an endpoint that begins with `http://`. Whoever can read that connection reads every working key.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Where the credentials come from. Default: [`AwsCredentials::DefaultChain`].
    #[must_use]
    pub fn credentials(mut self, credentials: AwsCredentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Which certificate authorities to trust. Default: [`TrustRoots::System`].
    #[must_use]
    pub fn trust_roots(mut self, roots: TrustRoots) -> Self {
        self.trust_roots = roots;
        self
    }

    /// Timeouts and retries.
    #[must_use]
    pub fn limits(mut self, limits: AwsKmsLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether the endpoint is encrypted. No endpoint means AWS's own, which is.
    pub(super) fn uses_tls(&self) -> bool {
        self.endpoint
            .as_deref()
            .is_none_or(|url| has_scheme(url, "https://"))
    }

    /// Whether requests go to AWS itself, by its own names: no configured endpoint, or one of a virtual private cloud.
    pub(super) fn is_at_aws(&self) -> bool {
        self.endpoint.as_deref().is_none_or(|url| {
            let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
            let authority = authority.split('/').next().unwrap_or_default();
            let host = authority
                .rsplit_once(':')
                .map_or(authority, |(host, _)| host);
            let host = host.to_ascii_lowercase();
            [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"]
                .iter()
                .any(|suffix| host.ends_with(suffix))
        })
    }

    /// The region to sign for, if the configuration itself says it.
    pub(super) fn stated_region(&self) -> Option<String> {
        self.region
            .clone()
            .or_else(|| KeyArn::parse(&self.key).map(|arn| arn.region.to_owned()))
    }

    /// Checks what can be checked without the network.
    pub(super) fn check(&self) -> Result<()> {
        let fault = |detail: String| Err(Error::misuse(detail));
        if self.key.is_empty()
            || self.key.len() > KEY_NAME_LIMIT
            || self.key.contains(|c: char| !c.is_ascii_graphic())
        {
            return fault(format!(
                "the KMS key name must be 1 to {KEY_NAME_LIMIT} visible ASCII characters: an ARN, a key id or alias/NAME"
            ));
        }
        if let Some(url) = &self.endpoint {
            let plain = has_scheme(url, "http://");
            if !plain && !has_scheme(url, "https://") {
                return fault(format!(
                    "the KMS endpoint {url:?} must begin with https:// (or http://)"
                ));
            }
            if plain && !self.plain_http {
                return fault(format!(
                    "the KMS endpoint {url:?} is not encrypted and working keys would cross it in the clear; use https://, \
                     or allow plain http explicitly for a server on this machine"
                ));
            }
        }
        for region in &self.related_regions {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if region.is_empty() || !region.chars().all(legal) {
                return fault(format!("{region:?} is not the name of an AWS Region"));
            }
        }
        if self.limits.attempts == 0 {
            return fault("the number of attempts for a KMS call must be at least 1".to_owned());
        }
        if self.limits.attempt_timeout.is_zero()
            || self.limits.operation_timeout < self.limits.attempt_timeout
        {
            return fault(
                "the operation timeout of the KMS must be at least the attempt timeout, and both above zero".to_owned(),
            );
        }
        Ok(())
    }
}

/// The longest key name, as AWS's API reference has it for `KeyId`.
const KEY_NAME_LIMIT: usize = 2_048;

/// The parts of a key's ARN that matter here: `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyArn<'a> {
    partition: &'a str,
    pub(super) region: &'a str,
    account: &'a str,
    id: &'a str,
}

impl<'a> KeyArn<'a> {
    /// `None` unless the text is the ARN of a key; the ARN of an alias is not.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.splitn(6, ':');
        let (scheme, partition, service, region, account, resource) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        let id = resource.strip_prefix("key/")?;
        let complete = [partition, region, account, id]
            .iter()
            .all(|field| !field.is_empty());
        (scheme == "arn" && service == "kms" && complete).then_some(Self {
            partition,
            region,
            account,
            id,
        })
    }

    /// Whether it is a multi-Region key, whose id is the same in all its Regions.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html>
    pub(super) fn is_multi_region(&self) -> bool {
        self.id.starts_with("mrk-")
    }

    /// The ARN of the related key in another Region.
    pub(super) fn in_region(&self, region: &str) -> String {
        format!(
            "arn:{}:kms:{region}:{}:key/{}",
            self.partition, self.account, self.id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn refusal(configuration: &AwsKmsConfiguration) -> String {
        let error = configuration.check().unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Caller);
        error.to_string()
    }

    #[test]
    fn only_a_keys_own_arn_is_one() {
        let arn = KeyArn::parse(ARN).unwrap();
        assert_eq!(arn.region, "eu-central-1");
        assert_eq!(arn.in_region("eu-central-1"), ARN);
        assert!(!arn.is_multi_region());
        let related = arn.in_region("us-west-2");
        assert_eq!(related, ARN.replace("eu-central-1", "us-west-2"));
        assert!(
            KeyArn::parse("arn:aws:kms:eu-central-1:111122223333:key/mrk-1")
                .unwrap()
                .is_multi_region()
        );
        for other in [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "alias/sealgate",
            "arn:aws:kms:eu-central-1:111122223333:alias/sealgate",
            "arn:aws:kms:eu-central-1:111122223333:key/",
            "arn:aws:s3:eu-central-1:111122223333:key/x",
            "arn:aws:kms::111122223333:key/x",
            "",
        ] {
            assert_eq!(KeyArn::parse(other), None, "{other}");
        }
    }

    #[test]
    fn region_comes_from_the_arn_unless_it_is_named() {
        assert_eq!(
            AwsKmsConfiguration::new(ARN).stated_region().as_deref(),
            Some("eu-central-1")
        );
        assert_eq!(
            AwsKmsConfiguration::new(ARN)
                .region("us-west-2")
                .stated_region()
                .as_deref(),
            Some("us-west-2")
        );
        assert_eq!(AwsKmsConfiguration::new("alias/x").stated_region(), None);
    }

    #[test]
    fn plain_http_needs_an_explicit_choice() {
        let configuration = AwsKmsConfiguration::new(ARN).endpoint("HTTP://127.0.0.1:9");
        assert!(refusal(&configuration).contains("not encrypted"));
        let allowed = configuration.allow_plain_http();
        allowed.check().unwrap();
        assert!(!allowed.uses_tls());
        assert!(AwsKmsConfiguration::new(ARN).uses_tls());
    }

    #[test]
    fn another_server_is_not_taken_for_aws() {
        let is_at_aws = |url: &str| AwsKmsConfiguration::new(ARN).endpoint(url).is_at_aws();
        assert!(AwsKmsConfiguration::new(ARN).is_at_aws());
        assert!(is_at_aws(
            "https://vpce-1.kms.eu-central-1.vpce.amazonaws.com"
        ));
        assert!(is_at_aws("https://kms.eu-central-1.amazonaws.com:443/"));
        for other in [
            "http://127.0.0.1:9",
            "https://kms.example.com",
            "https://amazonaws.com.example.com",
            "https://kms.example.com/.amazonaws.com",
        ] {
            assert!(!is_at_aws(other), "{other}");
        }
    }

    #[test]
    fn impossible_settings_are_refused_with_the_reason() {
        assert!(refusal(&AwsKmsConfiguration::new("")).contains("key name"));
        assert!(refusal(&AwsKmsConfiguration::new("a b")).contains("key name"));
        assert!(
            refusal(&AwsKmsConfiguration::new(ARN).related_regions(["eu central"]))
                .contains("Region")
        );
        assert!(refusal(&AwsKmsConfiguration::new(ARN).endpoint("kms.local")).contains("https://"));
        let no_attempts = AwsKmsLimits {
            attempts: 0,
            ..AwsKmsLimits::default()
        };
        assert!(refusal(&AwsKmsConfiguration::new(ARN).limits(no_attempts)).contains("at least 1"));
        let short = AwsKmsLimits {
            operation_timeout: Duration::from_secs(1),
            ..AwsKmsLimits::default()
        };
        assert!(
            refusal(&AwsKmsConfiguration::new(ARN).limits(short)).contains("operation timeout")
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let credentials = AwsCredentials::Static {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Zeroizing::new("hush-hush".to_owned()),
            session_token: Some(Zeroizing::new("also-hush".to_owned())),
        };
        let shown = format!(
            "{:?}",
            AwsKmsConfiguration::new(ARN).credentials(credentials)
        );
        assert!(shown.contains("AKIDEXAMPLE") && !shown.contains("hush"));
    }
}
