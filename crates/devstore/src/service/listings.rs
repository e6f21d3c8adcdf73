//! ListObjects and ListObjectsV2.

use data_encoding::BASE64URL_NOPAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, ETag, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::answer;
use crate::index::View;
use crate::index::listing::{Entry, Page, Query, page};
use crate::index::records::ObjectRecord;
use crate::store::{Demand, Store};

/// How the names of an answer are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    url: bool,
}

impl Names {
    pub(super) fn new(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(_) => Err(s3_error!(
                InvalidArgument,
                "Invalid Encoding Method specified in Request"
            )),
        }
    }

    pub(super) fn encode(self, name: &str) -> String {
        const KEPT: &AsciiSet = &NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'_')
            .remove(b'.')
            .remove(b'/')
            .remove(b'*');
        if self.url {
            utf8_percent_encode(name, KEPT).to_string()
        } else {
            name.to_owned()
        }
    }

    pub(super) fn common_prefixes(self, names: Vec<String>) -> Vec<CommonPrefix> {
        names
            .into_iter()
            .map(|name| CommonPrefix {
                prefix: Some(self.encode(&name)),
            })
            .collect()
    }
}

/// The owned form of a [`Query`], to be sent to a blocking thread.
#[derive(Debug, Default)]
struct Question {
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    after: Option<String>,
    limit: usize,
}

async fn answer_page(store: &Store, question: Question) -> S3Result<Page<ObjectRecord>> {
    store
        .run(move |shared| {
            let snapshot = shared.read()?;
            snapshot.demand_bucket(&question.bucket)?;
            let query = Query {
                prefix: question.prefix.as_deref().unwrap_or_default(),
                delimiter: question.delimiter.as_deref().unwrap_or_default(),
                after: question.after.as_deref().unwrap_or_default(),
                limit: question.limit,
            };
            Ok(page(query, |from| {
                snapshot.next_object(&question.bucket, from)
            })?)
        })
        .await
}

/// Splits a page into its objects and common prefixes.
fn split(page: Page<ObjectRecord>, names: Names, with_owner: bool) -> (Vec<Object>, Vec<String>) {
    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::CommonPrefix(prefix) => prefixes.push(prefix),
            Entry::Key(key, record) => objects.push(object(names.encode(&key), record, with_owner)),
        }
    }
    (objects, prefixes)
}

fn object(key: String, record: ObjectRecord, with_owner: bool) -> Object {
    let algorithms = record
        .checksums
        .iter()
        .map(|(algorithm, _)| s3s::dto::ChecksumAlgorithm::from_static(algorithm.name()));
    let class = record.attributes.storage_class;
    Object {
        checksum_algorithm: Some(algorithms.collect()),
        checksum_type: Some(record.checksum_kind.to_dto()),
        e_tag: Some(ETag::Strong(record.etag)),
        key: Some(key),
        last_modified: answer::timestamp(record.modified),
        owner: with_owner.then(answer::owner),
        restore_status: None,
        size: answer::signed(record.size),
        storage_class: Some(ObjectStorageClass::from(
            class.unwrap_or_else(|| "STANDARD".to_owned()),
        )),
    }
}

pub(super) async fn v1(
    store: &Store,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = request.input;
    let limit = answer::page_size(input.max_keys, "max-keys")?;
    let names = Names::new(input.encoding_type.as_ref())?;
    let question = Question {
        bucket: input.bucket.clone(),
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        after: input.marker.clone(),
        limit,
    };
    let page = answer_page(store, question).await?;
    // Without a delimiter clients continue after the last key, as the API page of ListObjects says.
    let next_marker = page
        .next()
        .filter(|_| input.delimiter.is_some())
        .map(|next| names.encode(next));
    let is_truncated = Some(page.truncated);
    let (objects, prefixes) = split(page, names, true);
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(names.encode(&input.prefix.unwrap_or_default())),
        marker: Some(names.encode(&input.marker.unwrap_or_default())),
        max_keys: answer::count(limit),
        is_truncated,
        contents: Some(objects),
        common_prefixes: Some(names.common_prefixes(prefixes)),
        delimiter: input.delimiter.map(|delimiter| names.encode(&delimiter)),
        next_marker,
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

pub(super) async fn v2(
    store: &Store,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let limit = answer::page_size(input.max_keys, "max-keys")?;
    let names = Names::new(input.encoding_type.as_ref())?;
    let after = match &input.continuation_token {
        Some(token) => Some(read_token(token)?),
        None => input.start_after.clone(),
    };
    let question = Question {
        bucket: input.bucket.clone(),
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        after,
        limit,
    };
    let page = answer_page(store, question).await?;
    let next_continuation_token = page
        .next()
        .map(|next| BASE64URL_NOPAD.encode(next.as_bytes()));
    let is_truncated = Some(page.truncated);
    let (objects, prefixes) = split(page, names, input.fetch_owner.unwrap_or(false));
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(names.encode(&input.prefix.unwrap_or_default())),
        max_keys: answer::count(limit),
        key_count: answer::count(objects.len() + prefixes.len()),
        continuation_token: input.continuation_token,
        is_truncated,
        next_continuation_token,
        contents: Some(objects),
        common_prefixes: Some(names.common_prefixes(prefixes)),
        delimiter: input.delimiter.map(|delimiter| names.encode(&delimiter)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|start| names.encode(&start)),
        request_charged: None,
    }))
}

/// A continuation token is the last name of the page before, in base64.
fn read_token(token: &str) -> S3Result<String> {
    let name = BASE64URL_NOPAD
        .decode(token.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "The continuation token provided is incorrect"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_url_encoding() {
        let names = Names::new(Some(&EncodingType::from_static("url"))).unwrap();
        for name in ["a b+c", "ünï/%25", "new\nline", "tilde~*'()!", "a//b"] {
            let encoded = names.encode(name);
            assert!(
                encoded.is_ascii() && !encoded.contains([' ', '+', '\n']),
                "{encoded}"
            );
            assert_eq!(
                percent_encoding::percent_decode_str(&encoded)
                    .decode_utf8()
                    .unwrap(),
                name
            );
        }
        assert_eq!(Names::new(None).unwrap().encode("a b"), "a b");
        assert!(Names::new(Some(&EncodingType::from_static("rot13"))).is_err());
    }

    #[test]
    fn foreign_tokens_are_refused() {
        assert_eq!(
            read_token(&BASE64URL_NOPAD.encode("a/ü".as_bytes())).unwrap(),
            "a/ü"
        );
        assert!(read_token("***").is_err() && read_token("_w").is_err());
    }
}
