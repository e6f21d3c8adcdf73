//! CopyObject: within one domain the header alone is made anew and the upstream copies the bytes, whatever their length; across domains, and
//! where the copy is to have a checksum that the source has not, everything is sealed again (format.md section 3).

mod in_parts;

use http::{HeaderMap, Method, Response, header};
use sealgate_envelope::{
    domain::{Domain, Place},
    header::{Header, HeaderBuilder},
    key_service::UnwrapPermit,
    layout,
    metadata::Metadata,
    random::OsRandom,
};
use time::OffsetDateTime;

use self::in_parts::CopyInParts;
use super::{
    Exchange, ResponseBody, append_query,
    checksums::{self, ObjectChecksum},
    clear::{self, ClearSource},
    get_object::intent,
    head, headers,
    keep_alive::{self, Finished, Subject},
    metadata, multipart, named,
    put_object::{self, MAXIMUM_SINGLE_LENGTH, Put},
};
use crate::{
    body::{Algorithm, ChecksumType},
    copy_source::CopySource,
    entity_tag::EntityTag,
    error::S3Error,
    gateway::now_in_milliseconds,
    object::{self, ObjectRequest, SealedHead, SealedObject, Wanted, tags},
    policy::{self, Intent, Permission},
    transfer::Plaintext,
    upstream::{Answer, MAX_DOCUMENT_LENGTH, Target, UpstreamRequest},
    xml::{
        answers::CopyAnswer,
        checksum_value::ChecksumValue,
        upstream_answers::{Copied, Outcome, parse_copied},
    },
};

pub(super) async fn copy_object(exchange: Exchange) -> Result<Response<ResponseBody>, S3Error> {
    let asked = asked(&exchange)?;
    // Not when the source is opened: by then the answer may have begun.
    let permit = policy::permit_open(&source_intent(&exchange, &asked.source)).await?;
    keep_alive::answer(Subject::of(&exchange), async move {
        copy(&exchange, asked, permit).await
    })
    .await
}

/// What the request asks for.
struct Asked {
    source: CopySource,
    replaces_metadata: bool,
    /// The checksum that the copy is to have.
    algorithm: Option<Algorithm>,
}

fn asked(exchange: &Exchange) -> Result<Asked, S3Error> {
    let source = exchange
        .header("x-amz-copy-source")
        .ok_or_else(|| S3Error::invalid_argument("x-amz-copy-source is not text."))?;
    let source = CopySource::parse(source)?;
    policy::guard_bucket(source.bucket.as_str(), exchange.gateway.state.name())?;
    let replaces_metadata = replaces(exchange, "x-amz-metadata-directive")?;
    replaces(exchange, "x-amz-tagging-directive")?;
    let algorithm = checksums::algorithm_asked_for(exchange)?;
    let onto_itself = source.bucket.as_str() == exchange.bucket()
        && source.key.as_str() == exchange.key()
        && source.version_id.is_none();
    // Of encryption attributes the upstream's are meant; what we seal with does not show.
    let changes_placement = [
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
        "x-amz-server-side-encryption",
    ]
    .iter()
    .any(|name| exchange.headers.contains_key(*name));
    if onto_itself && !replaces_metadata && !changes_placement {
        return Err(S3Error::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, \
             website redirect location or encryption attributes.",
        ));
    }
    // Refused also where it is not used.
    metadata::of_request(exchange)?;
    Ok(Asked {
        source,
        replaces_metadata,
        algorithm,
    })
}

async fn copy(
    exchange: &Exchange,
    asked: Asked,
    permit: UnwrapPermit,
) -> Result<Finished, S3Error> {
    let Asked {
        source,
        replaces_metadata,
        algorithm: asked_for,
    } = asked;
    if let Some(clear) = clear::source(exchange, &source).await? {
        return copy_clear(exchange, &clear, replaces_metadata).await;
    }
    let (object, head) = open_source(exchange, &source, &permit).await?;
    let target = target_of(exchange, &source);
    require_tags(exchange, &target, source.version_id.as_deref(), &head).await?;
    let rule = exchange.domain();
    let here = Domain::new(rule.name.as_str())?;
    let kept = checksum_of(exchange, &source, &object).await?;
    let has_what_is_asked_for = asked_for.is_none_or(|algorithm| {
        kept.as_ref()
            .is_some_and(|kept| kept.checksum.algorithm() == algorithm)
    });
    let copy = if object.domain == here && has_what_is_asked_for {
        let opened = (&object, &head);
        rebind(exchange, &source, opened, &here, replaces_metadata, kept).await?
    } else {
        let algorithm = asked_for.or_else(|| kept.map(|kept| kept.checksum.algorithm()));
        reseal(
            exchange,
            &source,
            (&object, &head),
            replaces_metadata,
            algorithm,
            permit,
        )
        .await?
    };
    let mut answer_headers = copy.headers;
    if let Some(version_id) = &object.identity.version_id {
        headers::insert_text(
            &mut answer_headers,
            named("x-amz-copy-source-version-id"),
            version_id,
        );
    }
    answer_headers.remove(header::ETAG);
    // Of an object that the caller may not see, a checksum would confirm what it guesses.
    let shown = copy.checksum.filter(|_| !exchange.rights.copies_unseen());
    let checksum_type = shown.as_ref().map(|kept| kept.checksum_type.name());
    let checksum = shown.and_then(ObjectChecksum::to_element);
    let result = CopyAnswer {
        entity_tag: &copy.copied.entity_tag.to_client(),
        last_modified: copy
            .copied
            .last_modified
            .unwrap_or_else(OffsetDateTime::now_utc),
        checksums: checksum.as_slice(),
        checksum_type,
    };
    Ok(Finished {
        document: result.to_object_document(),
        headers: answer_headers,
    })
}

/// A copy that was made.
struct Copy {
    copied: Copied,
    headers: HeaderMap,
    checksum: Option<ObjectChecksum>,
}

/// The checksum that the source has and a copy of its bytes keeps. Objects without a commit record for readers have it in their header.
async fn checksum_of(
    exchange: &Exchange,
    source: &CopySource,
    object: &SealedObject,
) -> Result<Option<ObjectChecksum>, S3Error> {
    if !object.needs_commit_record() {
        return Ok(ObjectChecksum::of_metadata(object.opened.metadata()));
    }
    let gateway = &exchange.gateway;
    let record = gateway
        .commits
        .record(&gateway.upstream, &target_of(exchange, source), object)
        .await?;
    Ok(ObjectChecksum::of_record(&record))
}

/// A source that was never sealed is read, and sealed at its new place.
async fn copy_clear(
    exchange: &Exchange,
    source: &ClearSource,
    replaces: bool,
) -> Result<Finished, S3Error> {
    if source.head.length > MAXIMUM_SINGLE_LENGTH {
        return Err(too_large_to_copy());
    }
    let version_id = source.head.version_id.as_deref();
    require_tags(exchange, &source.target, version_id, &source.head.headers).await?;
    let mut request_headers =
        placement(exchange, &source.target, version_id, &source.head.headers).await?;
    headers::conditions(&exchange.headers, &mut request_headers)?;
    let put = Put {
        exchange,
        request: UpstreamRequest::new(Method::PUT, exchange.target()).headers(request_headers),
        metadata: if replaces {
            metadata::of_request(exchange)?
        } else {
            metadata::of_headers(&source.head.headers)?
        },
    };
    let plaintext = source.plaintext(exchange, None).await?;
    let (answer, checksum) = put.send(plaintext).await?;
    let mut answer_headers = headers::answer(answer.headers());
    answer_headers.remove(header::ETAG);
    if let Some(version_id) = &source.head.version_id {
        headers::insert_text(
            &mut answer_headers,
            named("x-amz-copy-source-version-id"),
            version_id,
        );
    }
    let checksum = ChecksumValue::new(checksum.algorithm().name(), &checksum.to_base64())
        .filter(|_| !exchange.rights.copies_unseen());
    let result = CopyAnswer {
        entity_tag: &tag_of(&answer)?.to_client(),
        last_modified: OffsetDateTime::now_utc(),
        checksums: checksum.as_slice(),
        checksum_type: checksum.as_ref().map(|_| "FULL_OBJECT"),
    };
    Ok(Finished {
        document: result.to_object_document(),
        headers: answer_headers,
    })
}

/// Refuses a copy that would take tags along for somebody who may not see them, or may not set them.
async fn require_tags(
    exchange: &Exchange,
    source: &Target,
    version_id: Option<&str>,
    head: &HeaderMap,
) -> Result<(), S3Error> {
    if exchange.rights.copies_tags() || replaces(exchange, "x-amz-tagging-directive")? {
        return Ok(());
    }
    let tags = tags::find(&exchange.gateway.upstream, source, version_id, head).await?;
    if tags.is_empty() {
        return Ok(());
    }
    Err(S3Error::access_denied(
        "The source has tags, and copying them takes s3:GetObjectTagging there and s3:PutObjectTagging here. Without them: x-amz-tagging-directive: REPLACE.",
    ))
}

/// The placement of a copy that is no copy for the storage. Where the client does not give it tags of its own, it gets those of the source, as
/// a copy by the storage does.
async fn placement(
    exchange: &Exchange,
    source: &Target,
    version_id: Option<&str>,
    head: &HeaderMap,
) -> Result<HeaderMap, S3Error> {
    let mut placement = headers::placement(&exchange.headers);
    placement.remove("x-amz-tagging-directive");
    if !replaces(exchange, "x-amz-tagging-directive")? {
        placement.remove("x-amz-tagging");
        let tags = tags::find(&exchange.gateway.upstream, source, version_id, head).await?;
        if let Some(value) = tags::to_header(&tags)? {
            placement.insert(named("x-amz-tagging"), value);
        }
    }
    Ok(placement)
}

fn tag_of(answer: &Answer) -> Result<EntityTag, S3Error> {
    let tag = answer
        .text(header::ETAG)
        .ok_or_else(|| S3Error::internal("the upstream gave the object no entity tag"))?;
    Ok(EntityTag::parse(tag))
}

fn too_large_to_copy() -> S3Error {
    S3Error::invalid_request(
        "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120. Copy it in parts.",
    )
}

/// Whether a directive asks for the request's own values in place of the source's.
fn replaces(exchange: &Exchange, name: &'static str) -> Result<bool, S3Error> {
    match exchange.header(name) {
        None => Ok(false),
        Some(directive) if directive.eq_ignore_ascii_case("COPY") => Ok(false),
        Some(directive) if directive.eq_ignore_ascii_case("REPLACE") => Ok(true),
        Some(value) => {
            let what = if name == "x-amz-tagging-directive" {
                "tagging"
            } else {
                "metadata"
            };
            Err(
                S3Error::invalid_argument(format!("Unknown {what} directive."))
                    .with_element("ArgumentName", name)
                    .with_element("ArgumentValue", value),
            )
        }
    }
}

/// The source's header, opened, under the conditions of the copy, and what else the storage says of the source.
async fn open_source(
    exchange: &Exchange,
    source: &CopySource,
    permit: &UnwrapPermit,
) -> Result<(SealedObject, HeaderMap), S3Error> {
    let gateway = &exchange.gateway;
    let mut query = String::new();
    if let Some(version_id) = &source.version_id {
        append_query(&mut query, "versionId", version_id);
    }
    let (request_headers, conditions) = multipart::copy_conditions(exchange)?;
    let target = target_of(exchange, source);
    let head = head::explained(gateway, target, query, request_headers)
        .await
        .map_err(multipart::copy_failure)?;
    let sealed = SealedHead::read(&head, source.version_id.as_deref())?;
    conditions
        .hold(head.headers())
        .map_err(multipart::copy_failure)?;
    let rule = gateway
        .config
        .domain_for(source.bucket.as_str(), source.key.as_str());
    let object = sealed
        .open(gateway, permit, &rule, source.key.as_str())
        .await?;
    exchange.opened(&object);
    Ok((object, head.headers().clone()))
}

/// Where the source of a copy is at the upstream.
pub(super) fn target_of(exchange: &Exchange, source: &CopySource) -> Target {
    Target::object(source.bucket.as_str(), source.key.to_wire())
        .for_requester(headers::of_source(&exchange.headers))
}

fn source_intent<'a>(exchange: &'a Exchange, source: &'a CopySource) -> Intent<'a> {
    Intent {
        bucket: source.bucket.as_str(),
        key: source.key.as_str(),
        ..intent(exchange)
    }
}

/// The metadata of the copy: the source's, or the request's with the source's checksums, which are of the bytes.
fn metadata_of_copy(
    exchange: &Exchange,
    object: &SealedObject,
    replaces: bool,
) -> Result<Metadata, S3Error> {
    if !replaces {
        return Ok(object.opened.metadata().clone());
    }
    let mut metadata = metadata::of_request(exchange)?;
    for checksum in object.opened.metadata().checksums() {
        metadata.insert_checksum(&checksum)?;
    }
    Ok(metadata)
}

/// The bytes stay, and with them data key and object id; the header is made anew for the new place.
async fn rebind(
    exchange: &Exchange,
    source: &CopySource,
    (object, head): (&SealedObject, &HeaderMap),
    domain: &Domain,
    replaces: bool,
    checksum: Option<ObjectChecksum>,
) -> Result<Copy, S3Error> {
    let gateway = &exchange.gateway;
    let target = target_of(exchange, source);
    // What is copied has to be complete: a rejected upload must not become an object by way of a copy.
    object
        .layout(&gateway.commits, &gateway.upstream, &target)
        .await?;
    let key = put_object::sealing_key(exchange, &exchange.domain().sealing, domain).await?;
    let header = HeaderBuilder::new(
        Place::new(domain, exchange.key())?,
        put_object::of_keyring(&key),
        now_in_milliseconds(),
    )
    .metadata(metadata_of_copy(exchange, object, replaces)?)
    .rebind(&object.opened, &mut OsRandom)?;
    let mut pinned = source.clone();
    pinned.version_id = object.identity.version_id.clone().or(pinned.version_id);
    let version_id = pinned.version_id.clone();
    let pinned = pinned.to_header();
    let largest_copy = gateway.config.upstream.largest_copy;
    let (copied, headers, version_id) = if object.identity.sealed_length > largest_copy {
        CopyInParts {
            exchange,
            placement: placement(exchange, &target, version_id.as_deref(), head).await?,
            header: &header,
            source: &pinned,
            entity_tag: &object.identity.entity_tag,
            sealed_length: object.identity.sealed_length,
            largest_copy,
        }
        .send()
        .await?
    } else {
        copy_at_once(exchange, &header, &pinned, &object.identity.entity_tag).await?
    };
    verify_copy(exchange, &header, object, version_id.as_deref()).await?;
    Ok(Copy {
        copied,
        headers,
        checksum,
    })
}

/// One request: what the upstream says of the copy, its headers for our client, and the version's id.
async fn copy_at_once(
    exchange: &Exchange,
    header: &Header,
    source: &str,
    entity_tag: &str,
) -> Result<(Copied, HeaderMap, Option<String>), S3Error> {
    let mut request_headers = headers::placement(&exchange.headers);
    headers::conditions(&exchange.headers, &mut request_headers)?;
    for (name, value) in [
        ("x-amz-copy-source", source),
        ("x-amz-copy-source-if-match", entity_tag),
        ("x-amz-metadata-directive", "REPLACE"),
    ] {
        headers::insert_text(&mut request_headers, named(name), value);
    }
    let request = UpstreamRequest::new(Method::PUT, exchange.target()).headers(request_headers);
    let answer = exchange
        .gateway
        .upstream
        .call(put_object::with_header(request, header)?)
        .await?;
    let answer_headers = headers::answer(answer.headers());
    let version_id = answer.text(named("x-amz-version-id")).map(str::to_owned);
    match parse_copied(&answer.document(MAX_DOCUMENT_LENGTH).await?)? {
        Outcome::Done(copied) => Ok((copied, answer_headers, version_id)),
        Outcome::Failed(error) => Err(S3Error::within_success(error.code, error.message)),
    }
}

/// The copy is acknowledged only after its commit record has opened: an upstream that ignores conditions might have copied other bytes, and
/// one that ignores directives might have kept the source's header, which is good for nothing here.
async fn verify_copy(
    exchange: &Exchange,
    header: &Header,
    source: &SealedObject,
    version_id: Option<&str>,
) -> Result<(), S3Error> {
    let gateway = &exchange.gateway;
    let mut query = String::new();
    if let Some(version_id) = version_id {
        append_query(&mut query, "versionId", version_id);
    }
    let request = UpstreamRequest::new(Method::HEAD, exchange.target()).query(query);
    let head = gateway.upstream.call(request).await?;
    let found = SealedHead::read(&head, version_id)?;
    if found.header == source.header {
        return Err(S3Error::stored_data(
            "the upstream kept the source's metadata although the copy was to have its own",
        ));
    }
    if found.header != *header {
        // Somebody else has written the key since; our copy was complete before that.
        return Ok(());
    }
    if found.identity.sealed_length != source.identity.sealed_length {
        return Err(S3Error::stored_data(
            "the upstream's copy has another length than its source",
        ));
    }
    let permit = policy::permit_open(&intent(exchange)).await?;
    let copy = found
        .open(gateway, &permit, &exchange.domain(), exchange.key())
        .await?;
    // Of every kind of object, also of those whose readers need none: their bytes may have been exchanged all the same.
    gateway
        .commits
        .record(&gateway.upstream, &exchange.target(), &copy)
        .await?;
    Ok(())
}

/// The plaintext is read and sealed again, under keys of the new domain.
async fn reseal(
    exchange: &Exchange,
    source: &CopySource,
    (object, head): (&SealedObject, &HeaderMap),
    replaces: bool,
    algorithm: Option<Algorithm>,
    permit: UnwrapPermit,
) -> Result<Copy, S3Error> {
    let (mut pinned, conditions) = multipart::copy_conditions(exchange)?;
    headers::insert_text(&mut pinned, header::IF_MATCH, &object.identity.entity_tag);
    let version_id = object
        .identity
        .version_id
        .as_deref()
        .or(source.version_id.as_deref());
    let target = target_of(exchange, source);
    let mut request_headers = placement(exchange, &target, version_id, head).await?;
    headers::conditions(&exchange.headers, &mut request_headers)?;
    let request = ObjectRequest {
        target,
        version_id,
        key: source.key.as_str(),
        rule: exchange
            .gateway
            .config
            .domain_for(source.bucket.as_str(), source.key.as_str()),
        permission: Permission::Issued(permit),
        headers: pinned,
        conditions,
        wanted: Wanted::Whole,
    };
    let fetched = object::fetch(&exchange.gateway, &request)
        .await
        .map_err(multipart::copy_failure)?;
    if fetched.object.identity != object.identity {
        // The upstream ignored the condition. The metadata of one version must not be sealed with the bytes of another.
        return Err(S3Error::precondition_failed()
            .with_detail("the source of a copy was replaced while it was being copied"));
    }
    if fetched.length > MAXIMUM_SINGLE_LENGTH || layout::sealed_length(fetched.length).is_none() {
        return Err(too_large_to_copy());
    }
    let mut metadata = metadata_of_copy(exchange, object, replaces)?;
    for checksum in object.opened.metadata().checksums() {
        metadata.remove(checksum.algorithm().metadata_name());
    }
    let put = Put {
        exchange,
        request: UpstreamRequest::new(Method::PUT, exchange.target()).headers(request_headers),
        metadata,
    };
    let plaintext = Plaintext::of_object(fetched.plaintext, fetched.length);
    let (answer, checksum) = put
        .send(match algorithm {
            Some(algorithm) => plaintext.want(algorithm),
            None => plaintext,
        })
        .await?;
    let copied = Copied {
        entity_tag: tag_of(&answer)?,
        last_modified: None,
    };
    Ok(Copy {
        copied,
        headers: headers::answer(answer.headers()),
        checksum: Some(ObjectChecksum {
            checksum,
            checksum_type: ChecksumType::FullObject,
            parts: 1,
        }),
    })
}
