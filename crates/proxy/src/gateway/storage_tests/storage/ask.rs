//! One request to the storage in memory, and its answer.

use super::*;

/// A request in the making of its answer.
pub(super) struct Ask<'a> {
    pub(super) storage: &'a Storage,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Bytes,
}

impl Ask<'_> {
    fn parameter(&self, name: &str) -> Option<String> {
        let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        self.query.split('&').find_map(|pair| {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(found) == name).then(|| decode(value))
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    pub(super) fn place(&self) -> (String, String) {
        (self.bucket.to_owned(), self.key.to_owned())
    }

    fn metadata(&self) -> HeaderMap {
        let kept = self.headers.iter();
        kept.filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    pub(super) fn answer(&self, method: &Method) -> Response<ResponseBody> {
        let has = |name: &str| self.parameter(name).is_some();
        match method.as_str() {
            "PUT" if self.key.is_empty() => {
                self.storage.held().buckets.insert(self.bucket.to_owned());
                xml("")
            }
            "HEAD" if self.key.is_empty() => {
                if self.storage.held().buckets.contains(self.bucket) {
                    return xml("");
                }
                error(StatusCode::NOT_FOUND, "NoSuchBucket")
            }
            "GET" if self.bucket.is_empty() => self.list_buckets(),
            "GET" if has("versioning") => xml("<VersioningConfiguration/>"),
            "GET" if self.key.is_empty() => self.list(),
            "POST" if has("delete") => self.delete_objects(),
            "POST" if has("uploads") => self.begin(),
            "POST" => self.complete(),
            "PUT" if has("partNumber") => self.put_part(),
            "PUT" => self.put(),
            "GET" if has("uploadId") => self.list_parts(),
            "GET" if has("tagging") => self.list_tags(),
            "GET" if has("acl") => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
            "GET" | "HEAD" => self.get(),
            "DELETE" => self.delete(),
            _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    /// The bytes to store: those that came, or those that are copied.
    fn content(&self) -> Result<Bytes, Box<Response<ResponseBody>>> {
        let Some(source) = self.header("x-amz-copy-source") else {
            return Ok(self.body.clone());
        };
        let (bucket, key) = source.trim_start_matches('/').split_once('/').unwrap();
        let held = self.storage.held();
        let place = (bucket.to_owned(), key.to_owned());
        let Some(object) = held.objects.get(&place) else {
            return Err(Box::new(error(StatusCode::NOT_FOUND, "NoSuchKey")));
        };
        if self
            .header("x-amz-copy-source-if-match")
            .is_some_and(|tag| tag != object.tag)
        {
            return Err(Box::new(error(
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailed",
            )));
        }
        Ok(match self.header("x-amz-copy-source-range") {
            None => object.content.clone(),
            Some(range) => {
                let (first, last) = range
                    .strip_prefix("bytes=")
                    .unwrap()
                    .split_once('-')
                    .unwrap();
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                object.content.slice(first..=last)
            }
        })
    }

    fn stored(&self, tag: &str) -> Response<ResponseBody> {
        let mut response = match self.header("x-amz-copy-source") {
            None => status(StatusCode::OK),
            Some(_) => xml(&format!(
                "<CopyObjectResult><ETag>{tag}</ETag><LastModified>{TIME}</LastModified></CopyObjectResult>"
            )),
        };
        response
            .headers_mut()
            .insert(header::ETAG, tag.parse().unwrap());
        response
    }

    fn put(&self) -> Response<ResponseBody> {
        let content = match self.content() {
            Ok(content) => content,
            Err(response) => return *response,
        };
        let mut held = self.storage.held();
        if self.header("if-none-match").is_some() && held.objects.contains_key(&self.place()) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        held.tags += 1;
        let tag = format!("\"{:032x}\"", held.tags);
        let object = Object {
            content,
            metadata: self.metadata(),
            tagging: self.tagging(&held),
            tag: tag.clone(),
        };
        held.objects.insert(self.place(), object);
        drop(held);
        self.stored(&tag)
    }

    fn get(&self) -> Response<ResponseBody> {
        let loses = *self.storage.behaviour.loses.lock().unwrap();
        if loses.is_some_and(|key| key == self.place().1) {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        }
        let held = self.storage.held();
        let Some(object) = held.objects.get(&self.place()) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        if self.header("if-match").is_some_and(|tag| tag != object.tag) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let total = object.content.len();
        let range = self.header("range").map(|range| {
            let (first, last) = range
                .strip_prefix("bytes=")
                .unwrap()
                .split_once('-')
                .unwrap();
            match (first.parse::<usize>(), last.parse::<usize>()) {
                (Err(_), Ok(suffix)) => total.saturating_sub(suffix)..total,
                (Ok(first), last) => first..last.map_or(total, |last| (last + 1).min(total)),
                (Err(_), Err(_)) => 0..total,
            }
        });
        let content = object.content.slice(range.clone().unwrap_or(0..total));
        let mut response = Response::new(full(content.clone()));
        let headers = response.headers_mut();
        headers.extend(object.metadata.clone());
        let counts_no_tags = &self.storage.behaviour.counts_no_tags;
        if !counts_no_tags.load(Ordering::Relaxed) {
            tagging::count(&object.tagging, headers);
        }
        headers.insert(header::ETAG, object.tag.parse().unwrap());
        headers.insert(header::LAST_MODIFIED, HeaderValue::from_static(DATE));
        headers.insert(header::CONTENT_LENGTH, content.len().into());
        if let Some(range) = range {
            let value = format!(
                "bytes {}-{}/{total}",
                range.start,
                range.end.saturating_sub(1)
            );
            headers.insert(header::CONTENT_RANGE, value.parse().unwrap());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }

    fn list_buckets(&self) -> Response<ResponseBody> {
        let held = self.storage.held();
        let buckets = held.buckets.iter().map(|name| {
            format!("<Bucket><Name>{name}</Name><CreationDate>{TIME}</CreationDate></Bucket>")
        });
        let buckets: String = buckets.collect();
        xml(&format!(
            "<ListAllMyBucketsResult><Buckets>{buckets}</Buckets></ListAllMyBucketsResult>"
        ))
    }

    fn list(&self) -> Response<ResponseBody> {
        let held = self.storage.held();
        let prefix = self.parameter("prefix").unwrap_or_default();
        let after = self.parameter("continuation-token").unwrap_or_default();
        let delimiter = self.parameter("delimiter").filter(|text| !text.is_empty());
        let mut entries: BTreeMap<String, Option<usize>> = BTreeMap::new();
        for ((bucket, key), object) in &held.objects {
            let Some(rest) = key.strip_prefix(&prefix).filter(|_| bucket == self.bucket) else {
                continue;
            };
            let rolled_up = delimiter
                .as_deref()
                .and_then(|delimiter| rest.find(delimiter));
            match rolled_up {
                Some(at) => entries.insert(format!("{prefix}{}", &rest[..=at]), None),
                None => entries.insert(key.clone(), Some(object.content.len())),
            };
        }
        let page: Vec<_> = entries
            .into_iter()
            .filter(|(name, _)| *name > after)
            .take(PAGE + 1)
            .collect();
        let mut text = String::from("<ListBucketResult>");
        for (name, size) in page.iter().take(PAGE) {
            text += &match size {
                None => format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"),
                Some(size) => format!(
                    "<Contents><Key>{name}</Key><LastModified>{TIME}</LastModified><ETag>\"x\"</ETag><Size>{size}</Size></Contents>"
                ),
            };
        }
        let truncated = page.len() > PAGE;
        if truncated {
            text += &format!(
                "<NextContinuationToken>{}</NextContinuationToken>",
                page[PAGE - 1].0
            );
        }
        xml(&format!(
            "{text}<IsTruncated>{truncated}</IsTruncated></ListBucketResult>"
        ))
    }

    fn delete(&self) -> Response<ResponseBody> {
        match self.parameter("uploadId") {
            Some(id) => {
                let aborted = self.storage.held().uploads.remove(&id);
                let says_so = &self.storage.behaviour.aborts_anything;
                if aborted.is_none() && !says_so.load(Ordering::Relaxed) {
                    return error(StatusCode::NOT_FOUND, "NoSuchUpload");
                }
            }
            None => drop(self.storage.held().objects.remove(&self.place())),
        }
        status(StatusCode::NO_CONTENT)
    }

    fn delete_objects(&self) -> Response<ResponseBody> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let keys = text
            .split("<Key>")
            .skip(1)
            .map(|rest| rest.split("</Key>").next().unwrap());
        let keeps = self
            .storage
            .behaviour
            .keeps_everything
            .load(Ordering::Relaxed);
        let mut answer = String::from("<DeleteResult>");
        for key in keys {
            if keeps {
                answer += &format!(
                    "<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
                );
            } else {
                let place = (self.bucket.to_owned(), key.to_owned());
                self.storage.held().objects.remove(&place);
            }
        }
        xml(&format!("{answer}</DeleteResult>"))
    }

    fn begin(&self) -> Response<ResponseBody> {
        let mut held = self.storage.held();
        held.tags += 1;
        let id = format!("upload-{}", held.tags);
        let upload = Upload {
            metadata: self.metadata(),
            tagging: self.header("x-amz-tagging").unwrap_or_default().to_owned(),
            storage_class: self.header("x-amz-storage-class").map(str::to_owned),
            ..Upload::default()
        };
        held.uploads.insert(id.clone(), upload);
        xml(&format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ))
    }

    fn put_part(&self) -> Response<ResponseBody> {
        let content = match self.content() {
            Ok(content) => content,
            Err(response) => return *response,
        };
        let mut held = self.storage.held();
        held.tags += 1;
        let tag = format!("\"{:032x}\"", held.tags);
        let id = self.parameter("uploadId").unwrap();
        let Some(upload) = held.uploads.get_mut(&id) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let number = self.parameter("partNumber").unwrap().parse().unwrap();
        let part = Part {
            tag: tag.clone(),
            length: content.len() as u64,
            content,
        };
        upload.parts.insert(number, part);
        drop(held);
        self.stored(&tag)
    }

    fn list_parts(&self) -> Response<ResponseBody> {
        let held = self.storage.held();
        let Some(upload) = held.uploads.get(&self.parameter("uploadId").unwrap()) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let marker: u16 = self
            .parameter("part-number-marker")
            .map_or(0, |marker| marker.parse().unwrap());
        let page: Vec<_> = upload.parts.range(marker + 1..).take(PAGE + 1).collect();
        let mut text = String::from("<ListPartsResult>");
        for (number, part) in page.iter().take(PAGE) {
            text += &format!(
                "<Part><PartNumber>{number}</PartNumber><LastModified>{TIME}</LastModified><ETag>{}</ETag><Size>{}</Size></Part>",
                part.tag, part.length
            );
        }
        if let Some(class) = &upload.storage_class {
            text += &format!("<StorageClass>{class}</StorageClass>");
        }
        let truncated = page.len() > PAGE;
        let next = page
            .iter()
            .take(PAGE)
            .next_back()
            .map_or(0, |(number, _)| **number);
        xml(&format!(
            "{text}<NextPartNumberMarker>{next}</NextPartNumberMarker><IsTruncated>{truncated}</IsTruncated></ListPartsResult>"
        ))
    }

    /// The parts that a completion names, with their tags.
    fn named_parts(&self) -> Vec<(u16, String)> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let value = |part: &str, name: &str| {
            let (_, rest) = part.split_once(&format!("<{name}>")).unwrap();
            let (value, _) = rest.split_once("</").unwrap();
            value.replace("&quot;", "\"").replace("&#34;", "\"")
        };
        let parts = text.split("<Part>").skip(1);
        parts
            .map(|part| {
                let number = value(part, "PartNumber").parse().unwrap();
                (number, value(part, "ETag"))
            })
            .collect()
    }

    fn complete(&self) -> Response<ResponseBody> {
        let mut held = self.storage.held();
        if self.header("if-none-match").is_some() && held.objects.contains_key(&self.place()) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let id = self.parameter("uploadId").unwrap();
        let Some(upload) = held.uploads.get(&id) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let named = self.named_parts();
        let mut content = Vec::new();
        for (number, tag) in &named {
            match upload.parts.get(number).filter(|part| part.tag == *tag) {
                Some(part) => content.extend_from_slice(&part.content),
                None => return error(StatusCode::BAD_REQUEST, "InvalidPart"),
            }
        }
        let upload = held.uploads.remove(&id).unwrap();
        held.tags += 1;
        let tag = format!("\"{:032x}-{}\"", held.tags, named.len());
        let object = Object {
            content: Bytes::from(content),
            metadata: upload.metadata,
            tagging: upload.tagging,
            tag: tag.clone(),
        };
        held.objects.insert(self.place(), object);
        xml(&format!(
            "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        ))
    }
}
