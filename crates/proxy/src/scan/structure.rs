//! What can be told of an object without a key: that it has the shape of what a gateway would have written here.

use http::{HeaderMap, Method, header};
use sealgate_envelope::{
    commit::{check_region_shape, first_suffix_length},
    header::{HEADER_METADATA_NAME, Header},
    layout,
};

use super::{
    Item,
    finding::{Class, Fault, fault},
    known_keys::{KnownKeys, name},
    registry::{Record, Registry},
};
use crate::{
    config::DomainRule,
    error::S3Error,
    gateway::Gateway,
    migration::is_listed,
    object::{ClearHead, SealedHead, version_query},
    object_key::ObjectKey,
    upstream::{Target, UpstreamRequest},
};

/// User metadata of S3 begins with this.
const USER_METADATA: &str = "x-amz-meta-";

/// Looks at what the storage lists and says not to have, before it counts as lost: it may be put and deleted all the time.
const LOOKS: u32 = 3;

/// The pause between two of them.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// What a look at one version shows.
pub(super) enum Looked {
    /// It was deleted meanwhile.
    Gone,
    /// It was never sealed, and this place is marked migrating.
    Clear,
    /// It bears a header; with what is wrong with it.
    Sealed(Box<Header>, Vec<Fault>),
    /// What is wrong with it, where there is no header.
    Broken(Fault),
}

/// It is so long, and not as long as was expected; nothing else was looked at.
struct OtherLength(u64);

/// Where a version lies.
pub(super) fn target(item: &Item) -> Result<Target, S3Error> {
    let key = ObjectKey::new(item.entry.key.as_str())?;
    Ok(Target::object(item.bucket.as_str(), key.to_wire()))
}

/// The version to ask for. The current one is found by its key alone, if no versions were listed.
pub(super) fn version(item: &Item) -> Option<&str> {
    item.entry.version_id.as_deref()
}

/// Looks at head and end of one version, with one request: what lies before the commit region says nothing to whoever has no key.
///
/// # Errors
///
/// The storage's.
pub(super) async fn look(gateway: &Gateway, item: &Item) -> Result<Looked, S3Error> {
    match look_again(gateway, item, item.entry.size).await? {
        Ok(found) => Ok(found),
        // It was replaced since, or the listing is wrong. Its end is where its own length says.
        Err(OtherLength(length)) => expected(look_again(gateway, item, length).await?),
    }
}

/// Looks at the head of one version alone.
///
/// # Errors
///
/// The storage's.
pub(super) async fn look_at_header(gateway: &Gateway, item: &Item) -> Result<Looked, S3Error> {
    expected(look_again(gateway, item, 0).await?)
}

/// What has another length again is replaced all the time.
fn expected(found: Result<Looked, OtherLength>) -> Result<Looked, S3Error> {
    found.map_err(|OtherLength(_)| S3Error::precondition_failed())
}

/// Until it is there, deleted, or lost. A `length` of 0 expects none.
async fn look_again(
    gateway: &Gateway,
    item: &Item,
    length: u64,
) -> Result<Result<Looked, OtherLength>, S3Error> {
    for look in 1..=LOOKS {
        match look_with(gateway, item, length).await? {
            Ok(Looked::Gone) if is_listed(&gateway.upstream, &item.bucket, &item.entry).await? => {
                if look < LOOKS {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            found => return Ok(found),
        }
    }
    let cause = "the storage lists it, and says that it is not there";
    Ok(Ok(Looked::Broken((Class::Missing, cause.to_owned()))))
}

/// With the end of something that is so long.
async fn look_with(
    gateway: &Gateway,
    item: &Item,
    length: u64,
) -> Result<Result<Looked, OtherLength>, S3Error> {
    let suffix_length = first_suffix_length(length);
    let target = target(item)?;
    let method = if suffix_length == 0 {
        Method::HEAD
    } else {
        Method::GET
    };
    let mut request = UpstreamRequest::new(method, target).query(version_query(version(item)));
    if suffix_length > 0 {
        let range = format!("bytes=-{suffix_length}");
        request = request.header(header::RANGE, range.parse().map_err(S3Error::internal)?);
    }
    let answer = match gateway.upstream.call(request).await {
        Err(error) if error.status == http::StatusCode::NOT_FOUND => return Ok(Ok(Looked::Gone)),
        // A delete marker, asked for by its version.
        Err(error) if error.status == http::StatusCode::METHOD_NOT_ALLOWED => {
            return Ok(Ok(Looked::Gone));
        }
        answer => answer?,
    };
    if let Some(head) = ClearHead::read(&answer, version(item))? {
        let is_migrating = gateway.config.is_migrating(&item.bucket, &item.entry.key);
        return Ok(Ok(if is_migrating {
            Looked::Clear
        } else {
            let cause = format!("it has no sealed header, and {} bytes", head.length);
            Looked::Broken((Class::InTheClear, cause))
        }));
    }
    let head = match SealedHead::read(&answer, version(item)) {
        Ok(head) => head,
        Err(error) => return Ok(Ok(Looked::Broken(fault(Class::Header, &error)))),
    };
    let mut faults = Vec::new();
    if let Some(foreign) = foreign_metadata(answer.headers()) {
        faults.push((Class::ForeignMetadata, foreign));
    }
    let sealed_length = head.identity.sealed_length;
    if let Some(wrong) = wrong_length(&head.header, sealed_length) {
        faults.push((Class::Length, wrong));
    } else if length > 0 && sealed_length != length {
        return Ok(Err(OtherLength(sealed_length)));
    } else if suffix_length > 0 {
        let limit = usize::try_from(suffix_length).map_err(S3Error::internal)?;
        let suffix = answer.document(limit).await?;
        if let Err(error) = check_region_shape(&suffix, sealed_length) {
            faults.push((Class::CommitRegion, error.detail().to_owned()));
        }
    }
    Ok(Ok(Looked::Sealed(Box::new(head.header), faults)))
}

/// What is wrong with a length, if something is.
fn wrong_length(header: &Header, sealed_length: u64) -> Option<String> {
    let Some(implied) = layout::plaintext_length(sealed_length) else {
        return Some(format!(
            "{sealed_length} bytes are the length of no sealed object"
        ));
    };
    let demanded = header.body().plaintext_length()?;
    (demanded != implied).then(|| {
        format!(
            "its header demands {demanded} bytes of plaintext, and its length is that of {implied}"
        )
    })
}

/// User metadata that the storage shows beside the header.
fn foreign_metadata(headers: &HeaderMap) -> Option<String> {
    let mut names: Vec<_> = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with(USER_METADATA) && *name != HEADER_METADATA_NAME)
        .collect();
    names.sort_unstable();
    (!names.is_empty()).then(|| format!("beside the sealed header stand {}", names.join(", ")))
}

/// What the registry says of the working key of something in a place.
///
/// # Errors
///
/// When the state bucket cannot be read.
pub(super) async fn check_key(
    registry: &Registry,
    keys: &KnownKeys,
    rule: &DomainRule,
    header: &Header,
) -> Result<Vec<Fault>, S3Error> {
    let id = header.working_key_id();
    let record = registry.record(id).await?;
    let mut faults = Vec::new();
    match &record {
        Record::Missing => faults.push((
            Class::RegistryMissing,
            format!("the registry has no record of its working key {id}"),
        )),
        // Found once, at the record.
        Record::Damaged(_) => {}
        Record::Present(record) => {
            let domain = record.claimed_domain().as_str();
            let mut expected = std::iter::once(&rule.name).chain(&rule.former);
            if !expected.any(|expected| expected == domain) {
                let cause = format!(
                    "its working key {id} is of the domain {domain}, and its place of {}",
                    rule.name
                );
                faults.push((Class::OtherDomain, cause));
            }
        }
    }
    let opens = keys.may_open([header.wraps(), record.wraps()]);
    if !opens.await? {
        let mut names: Vec<_> = header
            .wraps()
            .iter()
            .chain(record.wraps())
            .map(name)
            .collect();
        names.sort_unstable();
        names.dedup();
        let cause = format!(
            "its working key {id} is wrapped by {} alone",
            names.join(", ")
        );
        faults.push((Class::UnknownKey, cause));
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn metadata_beside_the_header_is_named() {
        let headers = |names: &[&'static str]| {
            names
                .iter()
                .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x")))
                .collect::<HeaderMap>()
        };
        assert_eq!(
            foreign_metadata(&headers(&[HEADER_METADATA_NAME, "etag"])),
            None
        );
        let found = foreign_metadata(&headers(&["x-amz-meta-b", "x-amz-meta-a"])).unwrap();
        assert!(found.ends_with("x-amz-meta-a, x-amz-meta-b"), "{found}");
    }
}
