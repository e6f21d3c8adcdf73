//! Which headers cross the gateway, in either direction. Everything that is not named here stays behind.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sealgate_envelope::header::HEADER_METADATA_NAME;

use crate::{
    conditions::{ConditionHeaders, Conditions},
    entity_tag::{EntityTag, TagCondition, if_range_to_upstream},
    error::S3Error,
    form,
    route::may_pass,
};

/// User metadata of clients begins with this.
pub(super) const USER_METADATA: &str = "x-amz-meta-";

/// The names that are ours in a client's user metadata: the sealed header and everything that begins like it.
const OWN_METADATA: &str = HEADER_METADATA_NAME;

const BUCKET_OWNER: &str = "x-amz-expected-bucket-owner";
const PAYER: &str = "x-amz-request-payer";

/// Request headers that say whose bucket it must be and who pays.
const REQUESTER: [&str; 2] = [BUCKET_OWNER, PAYER];

/// Request headers that say whose request it is and who pays; they go with every operation.
const ALWAYS: [&str; 4] = [
    BUCKET_OWNER,
    PAYER,
    "x-amz-bypass-governance-retention",
    "x-amz-mfa",
];

/// Request headers that place and label a new object; visible to the storage by design.
const PLACEMENT: [&str; 18] = [
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-website-redirect-location",
    "x-amz-source-expected-bucket-owner",
];

/// What a browser says of the page that asks. It makes the upstream say whether the browser may show the answer to that page.
const OF_THE_PAGE: [HeaderName; 3] = [
    header::ORIGIN,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
];

/// What tells a browser, and the caches on the way, who may read an answer.
const CORS: [&str; 7] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "vary",
];

/// Headers of an upstream's answer that are true of the plaintext object as well.
const ANSWER: [&str; 24] = [
    "last-modified",
    "retry-after",
    "x-amz-abort-date",
    "x-amz-abort-rule-id",
    "x-amz-bucket-arn",
    "x-amz-bucket-location-name",
    "x-amz-bucket-region",
    "x-amz-delete-marker",
    "x-amz-expiration",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-replication-status",
    "x-amz-request-charged",
    "x-amz-restore",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-storage-class",
    "x-amz-tagging-count",
    "x-amz-version-id",
    "x-amz-copy-source-version-id",
    "x-amz-website-redirect-location",
];

/// The HTTP headers of an object that are sealed with it and served from the sealed copy only.
pub(super) const SEALED: [HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::EXPIRES,
];

fn copy_named(names: &[&'static str], from: &HeaderMap, to: &mut HeaderMap) {
    for name in names {
        for value in from.get_all(*name) {
            to.append(HeaderName::from_static(name), value.clone());
        }
    }
}

/// Headers that go with any request on behalf of a client.
pub(super) fn common(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    copy_named(&ALWAYS, client, &mut headers);
    of_the_page(client, &mut headers);
    headers
}

/// The headers of an upstream's answer that are about CORS.
pub(crate) fn cors(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    copy_named(&CORS, upstream, &mut headers);
    headers
}

/// Of these the ones that go even with requests that only the gateway needs.
pub(super) fn requester(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    copy_named(&REQUESTER, client, &mut headers);
    headers
}

/// The same for requests that read the source of a copy, whose bucket's owner is told by a header of its own.
pub(super) fn of_source(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    copy_named(&[PAYER], client, &mut headers);
    if let Some(owner) = client.get("x-amz-source-expected-bucket-owner") {
        headers.insert(HeaderName::from_static(BUCKET_OWNER), owner.clone());
    }
    headers
}

/// Whether the client says whose bucket it must be.
pub(super) fn expects_owner(client: &HeaderMap) -> bool {
    client.contains_key(BUCKET_OWNER)
}

/// Headers for a request that makes an object.
pub(super) fn placement(client: &HeaderMap) -> HeaderMap {
    let mut headers = common(client);
    copy_named(&PLACEMENT, client, &mut headers);
    headers
}

/// Whether the object that a request makes is to be locked.
pub(super) fn locks(client: &HeaderMap) -> bool {
    let named = |name: &HeaderName| name.as_str().starts_with("x-amz-object-lock-");
    client.keys().any(named)
}

/// Headers of a configuration or label request: all of S3's but those of objects, signatures, framing and checksums.
pub(super) fn passed(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in client {
        let text = name.as_str();
        let of_the_body = [
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-decoded-content-length",
            "x-amz-trailer",
            "x-amz-te",
        ];
        let of_checksums =
            text.starts_with("x-amz-checksum-") || text == "x-amz-sdk-checksum-algorithm";
        if text.starts_with("x-amz-")
            && may_pass(text)
            && !of_the_body.contains(&text)
            && !of_checksums
        {
            headers.append(name.clone(), value.clone());
        }
    }
    of_the_page(client, &mut headers);
    if let Some(value) = client.get(header::IF_MATCH) {
        headers.insert(header::IF_MATCH, value.clone());
    }
    // A storage that takes the request for a browser's form would store its body.
    if let Some(value) = client.get(header::CONTENT_TYPE)
        && !form::is_form(client)
    {
        headers.insert(header::CONTENT_TYPE, value.clone());
    }
    headers
}

/// Whether a request header reaches the upstream as the client wrote it, so that what the upstream says of its value is about the client's.
pub(crate) fn crosses_unchanged(name: &str) -> bool {
    PLACEMENT
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn of_the_page(client: &HeaderMap, upstream: &mut HeaderMap) {
    for name in OF_THE_PAGE {
        if let Some(value) = client.get(&name) {
            upstream.insert(name, value.clone());
        }
    }
}

/// The headers of the upstream's answer that a client gets, with the entity tag as clients see it.
pub(super) fn answer(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = cors(upstream);
    copy_named(&ANSWER, upstream, &mut headers);
    if let Some(tag) = upstream
        .get(header::ETAG)
        .and_then(|value| value.to_str().ok())
    {
        insert_text(
            &mut headers,
            header::ETAG,
            &EntityTag::parse(tag).to_client().to_string(),
        );
    }
    headers
}

/// Whether the requester pays for a request, of which the upstream's answer says nothing else that concerns the client.
pub(super) fn charged(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    copy_named(&["x-amz-request-charged"], upstream, &mut headers);
    headers
}

/// Adds the client's conditions on a write to an upstream request, entity tags translated. Only the upstream can decide them without a race.
///
/// # Errors
///
/// `InvalidArgument` when a condition cannot be read.
pub(super) fn conditions(client: &HeaderMap, upstream: &mut HeaderMap) -> Result<(), S3Error> {
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        translate_condition(client, upstream, &name)?;
    }
    for name in [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        if let Some(value) = client.get(&name) {
            upstream.insert(name, value.clone());
        }
    }
    Ok(())
}

/// Adds the client's conditions on a read to an upstream request, as far as every storage understands them, and returns all of them, to be
/// judged by the answer.
///
/// Storages differ in what they make of lists, of weak tags and of several conditions at once, and some look at none. So one simple condition
/// at most goes along, which spares the body of an object that nobody wants; what the others mean is decided here
/// ([`Conditions::hold`](crate::conditions::Conditions::hold)).
///
/// # Errors
///
/// `InvalidArgument` when a condition cannot be read.
pub(super) fn read_conditions(
    client: &HeaderMap,
    upstream: &mut HeaderMap,
) -> Result<Conditions, S3Error> {
    let matching = whole_list(client, &header::IF_MATCH)?;
    let none_matching = whole_list(client, &header::IF_NONE_MATCH)?;
    let modified_since = whole_list(client, &header::IF_MODIFIED_SINCE)?;
    let unmodified_since = whole_list(client, &header::IF_UNMODIFIED_SINCE)?;
    let conditions = Conditions::parse(ConditionHeaders {
        if_match: matching.as_deref(),
        if_none_match: none_matching.as_deref(),
        if_modified_since: modified_since.as_deref(),
        if_unmodified_since: unmodified_since.as_deref(),
    })?;
    if let Some((name, value)) = conditions.for_upstream() {
        insert_text(upstream, name, &value);
    }
    Ok(conditions)
}

/// Adds `If-Range`, translated.
pub(super) fn if_range(client: &HeaderMap, upstream: &mut HeaderMap) {
    if let Some(value) = client
        .get(header::IF_RANGE)
        .and_then(|value| value.to_str().ok())
    {
        insert_text(upstream, header::IF_RANGE, &if_range_to_upstream(value));
    }
}

/// Translates one condition on entity tags.
pub(super) fn translate_condition(
    client: &HeaderMap,
    upstream: &mut HeaderMap,
    name: &HeaderName,
) -> Result<(), S3Error> {
    if let Some(text) = whole_list(client, name)? {
        let condition = TagCondition::parse(&text)
            .map_err(|error| S3Error::invalid_argument(format!("{name}: {error}")))?;
        insert_text(upstream, name.clone(), &condition.to_upstream_header());
    }
    Ok(())
}

/// Translates the conditions of a write to a place that is migrating, so that they may name an object that was never sealed by its own tag.
/// What cannot be read is left for the operation to refuse.
pub(crate) fn admit_tags_in_the_clear(headers: &mut HeaderMap) {
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        let Ok(Some(list)) = whole_list(headers, &name) else {
            continue;
        };
        if let Ok(condition) = TagCondition::parse(&list) {
            insert_text(headers, name, &condition.of_either().to_header());
        }
    }
}

/// The value of a header that may come in several lines, which are one list (RFC 9110, section 5.3).
fn whole_list(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, S3Error> {
    let lines: Result<Vec<&str>, _> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::to_str)
        .collect();
    let lines =
        lines.map_err(|_| S3Error::invalid_argument(format!("The header {name} is not text.")))?;
    Ok((!lines.is_empty()).then(|| lines.join(", ")))
}

/// Inserts a value that was made from text; a value that no header can hold is left out.
pub(super) fn insert_text(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Refuses user metadata in our own namespace: it could pass for a sealed header.
///
/// # Errors
///
/// `InvalidArgument` that names the header.
pub(super) fn refuse_own_metadata(client: &HeaderMap) -> Result<(), S3Error> {
    match client
        .keys()
        .find(|name| name.as_str().starts_with(OWN_METADATA))
    {
        Some(name) => Err(S3Error::invalid_argument(format!(
            "The header {name} is refused: names that begin with {OWN_METADATA} belong to the gateway. Use another name."
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn rule_12_a_new_object_takes_its_placement_along_and_nothing_that_describes_the_plaintext() {
        let client = headers(&[
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-tagging", "a=b"),
            ("content-type", "text/plain"),
            ("content-md5", "x"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-meta-secret", "s"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 …".split(' ').next().unwrap_or_default(),
            ),
        ]);
        let upstream = placement(&client);
        assert_eq!(upstream.len(), 2);
        assert_eq!(upstream["x-amz-storage-class"], "STANDARD_IA");
        assert_eq!(upstream["x-amz-tagging"], "a=b");
    }

    #[test]
    fn whose_bucket_it_is_and_who_pays_is_said_with_every_request() {
        let client = headers(&[
            ("x-amz-expected-bucket-owner", "111122223333"),
            ("x-amz-request-payer", "requester"),
            ("origin", "https://app.example.org"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-a"),
            ("range", "bytes=0-1"),
        ]);
        for upstream in [common(&client), placement(&client), passed(&client)] {
            assert_eq!(upstream.len(), 5, "{upstream:?}");
            assert_eq!(upstream["access-control-request-method"], "PUT");
            assert_eq!(upstream["x-amz-expected-bucket-owner"], "111122223333");
            assert_eq!(upstream["x-amz-request-payer"], "requester");
            assert_eq!(upstream["origin"], "https://app.example.org");
        }
    }

    #[test]
    fn what_passes_unread_takes_nothing_along_that_makes_or_copies_an_object() {
        let client = headers(&[
            ("x-amz-acl", "private"),
            ("x-amz-bucket-object-lock-enabled", "true"),
            ("x-amz-copy-source", "/state/registry/x"),
            ("x-amz-copy-source-if-match", "x"),
            ("x-amz-meta-secret", "s"),
            ("x-amz-metadata-directive", "REPLACE"),
            ("x-amz-server-side-encryption-customer-key", "k"),
            ("x-amz-tagging", "a=b"),
            ("x-amz-date", "d"),
            ("x-minio-extract", "true"),
        ]);
        let upstream = passed(&client);
        assert_eq!(upstream.len(), 2, "{upstream:?}");
        assert_eq!(upstream["x-amz-acl"], "private");
        assert_eq!(upstream["x-amz-bucket-object-lock-enabled"], "true");
    }

    #[test]
    fn nothing_passes_on_that_a_storage_would_take_for_a_form() {
        let of_type = |kind: &'static str| passed(&headers(&[("content-type", kind)]));
        for kind in ["multipart/form-data; boundary=b", "Multipart/Form-Data"] {
            assert_eq!(of_type(kind), HeaderMap::new(), "{kind}");
        }
        assert_eq!(
            of_type("application/xml")["content-type"],
            "application/xml"
        );
    }

    #[test]
    fn conditions_are_translated_to_the_tags_of_the_upstream() {
        let client = headers(&[
            ("if-match", "\"0123456789abcdef0123456789abcdef-01\""),
            ("if-none-match", "*"),
        ]);
        let mut upstream = HeaderMap::new();
        conditions(&client, &mut upstream).unwrap();
        assert_eq!(upstream["if-match"], "\"0123456789abcdef0123456789abcdef\"");
        assert_eq!(upstream["if-none-match"], "*");
    }

    #[test]
    fn the_source_of_a_copy_has_an_owner_of_its_own() {
        let client = headers(&[
            ("x-amz-expected-bucket-owner", "1"),
            ("x-amz-source-expected-bucket-owner", "2"),
            ("x-amz-request-payer", "requester"),
            ("x-amz-mfa", "m"),
        ]);
        let of_source = of_source(&client);
        assert_eq!(of_source["x-amz-expected-bucket-owner"], "2");
        assert_eq!(of_source["x-amz-request-payer"], "requester");
        assert_eq!(of_source.len(), 2);
        let own = requester(&client);
        assert_eq!(own["x-amz-expected-bucket-owner"], "1");
        assert_eq!(own.len(), 2);
    }

    #[test]
    fn a_list_in_several_lines_is_one_list() {
        let mut client = HeaderMap::new();
        for tag in ["\"a-01\"", "\"b-01\""] {
            client.append("if-none-match", HeaderValue::from_static(tag));
        }
        let mut upstream = HeaderMap::new();
        let conditions = read_conditions(&client, &mut upstream).unwrap();
        assert!(upstream.is_empty(), "{upstream:?}");
        for (tag, holds) in [("\"a\"", false), ("\"b\"", false), ("\"c\"", true)] {
            let answer = headers(&[("etag", tag)]);
            assert_eq!(conditions.hold(&answer).is_ok(), holds, "{tag}");
        }
        let mut upstream = HeaderMap::new();
        super::conditions(&client, &mut upstream).unwrap();
        assert_eq!(upstream["if-none-match"], "\"a\", \"b\"");
    }

    #[test]
    fn rule_15_checksums_of_the_ciphertext_and_its_metadata_never_reach_a_client() {
        let upstream = headers(&[
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-meta-sealgate", "U0dIRA"),
            ("content-type", "application/octet-stream"),
            ("etag", "\"0123456789abcdef0123456789abcdef\""),
            ("x-amz-version-id", "v1"),
        ]);
        let client = answer(&upstream);
        assert_eq!(client.len(), 2);
        assert_eq!(client["etag"], "\"0123456789abcdef0123456789abcdef-01\"");
    }

    #[test]
    fn our_own_namespace_is_refused_to_clients() {
        assert!(refuse_own_metadata(&headers(&[("x-amz-meta-sealgate", "x")])).is_err());
        assert!(refuse_own_metadata(&headers(&[("x-amz-meta-sealgate-2", "x")])).is_err());
        assert!(refuse_own_metadata(&headers(&[("x-amz-meta-seal", "x")])).is_ok());
    }

    #[test]
    fn no_line_of_a_condition_gets_lost_in_a_place_that_is_migrating() {
        let admitted = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            admit_tags_in_the_clear(&mut headers);
            headers
        };
        let one = admitted(&[("if-none-match", "\"x\"")]);
        let two = admitted(&[("if-none-match", "\"x\""), ("if-none-match", "\"y\"")]);
        let list = admitted(&[("if-none-match", "\"x\", \"y\"")]);
        assert_ne!(one["if-none-match"], "\"x\"");
        assert_eq!(two, list);
        assert_ne!(list["if-none-match"], "\"x\", \"y\"");
        // Contradictory, so it is left for the operation to refuse.
        let any = admitted(&[("if-none-match", "\"x\""), ("if-none-match", "*")]);
        assert_eq!(any.get_all("if-none-match").iter().count(), 2);
    }
}
