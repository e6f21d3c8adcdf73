//! A browser's form on its way to its operation. It is authenticated by what stands in its body, so the fields are read first, bounded; the
//! file after them is not touched before policy and signature have been verified.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full};
use time::OffsetDateTime;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Gateway, LogLine, guarded,
    live::Live,
    places::Place,
    throttling::{note_failure, paced},
};
use crate::{
    audit::Trail,
    auth::{self, AmzDate, Authenticated, Caller, PolicyClaim},
    body::ClientBody,
    detached::Detached,
    error::S3Error,
    form::{self, Fields, Form, FormError, Policy},
    listener::ConnectionInfo,
    object_key::{BucketName, ObjectKey, ObjectPath, Target},
    operation::{self, Exchange, ResponseBody},
    policy,
    query_string::QueryString,
    route::{self, Operation},
    throttle::{Pace, Share},
};

impl Gateway {
    /// Answers a form.
    pub(super) async fn answer_form(
        self: Arc<Self>,
        parts: Parts,
        body: ClientBody,
        connection: &ConnectionInfo,
        (address, place_of_nobody): (Option<Arc<Share>>, Place),
        trail: Arc<Trail>,
        line: &mut LogLine,
    ) -> Result<Response<ResponseBody>, S3Error> {
        line.operation = "PostObject";
        trail.ask(line.operation, "", "", None);
        let bucket = self.bucket_of_form(&parts)?;
        if !form::is_form(&parts.headers) {
            return Err(route::no_form());
        }
        let idle_timeout = self.config.limits.idle_timeout;
        // Nobody is known yet, so the fields have to come as fast as the head of a request.
        let limit = self.config.limits.header_timeout;
        let fields = form::read(&parts.headers, body, idle_timeout);
        let form = tokio::time::timeout(limit, fields)
            .await
            .map_err(|_| FormError::Idle(limit))??;
        let live = self.live.load_full();
        let caller = self
            .caller_of_form(&live, &parts, &form.fields, &trail)
            .inspect_err(|error| note_failure(&live, connection.client, error))?;
        line.identity = Some(caller.label());
        trail.identify(&caller);
        trail.ask(line.operation, bucket.as_str(), "", None);
        let granted = self.admit(&live, &caller, connection, &trail).await?;
        let place = live.places.signed()?;
        place.inherit(&place_of_nobody);
        drop(place_of_nobody);
        let identity = self.admit_identity(&live, &caller, &place, &trail)?;
        let pace = Pace::new(address.into_iter().chain(identity));
        let policy = Policy::parse(form.fields.get("policy").unwrap_or_default())?;
        policy.check(&form.fields, bucket.as_str(), OffsetDateTime::now_utc())?;
        let path = path_of_form(&bucket, &form.fields)?;
        let mut headers = form.fields.to_headers()?;
        let query = QueryString::default();
        // The fields were signed, but may still make another operation of it: a copy, or one that is refused by design.
        let operation = route::route(&caller, &Method::PUT, &path, &query, &headers)?;
        if operation != Operation::PutObject {
            return Err(S3Error::invalid_request(format!(
                "A form can only upload its file; its fields ask for {}.",
                operation.name()
            )));
        }
        let rights = self.authorized(
            &live,
            (&caller, connection),
            granted.clone(),
            (&operation, &path),
            (&query, &headers),
            &trail,
        )?;
        let success = form.fields.success();
        let (body, length, is_exact) = self.file_of_form(form).await?;
        let body = super::watched(paced(body, &pace), granted.as_ref());
        policy.check_length(length)?;
        headers.insert(header::CONTENT_LENGTH, length.into());
        name_page(&parts.headers, &mut headers);
        let exchange = Exchange {
            gateway: Arc::clone(&self),
            caller,
            request_id: trail.request().to_owned(),
            trail,
            rights,
            scheme: connection.scheme,
            operation,
            method: Method::PUT,
            path,
            query,
            upstream_query: String::new(),
            headers,
            body: Some(body),
            _place: Arc::clone(&place),
        };
        let request_id = exchange.request_id.clone();
        let response = Detached::begin(&request_id, operation::post_object(exchange, success))
            .await
            .map_err(|error| of_length(error, is_exact))?;
        Ok(guarded::hold(response, place, pace))
    }

    fn bucket_of_form(&self, parts: &Parts) -> Result<BucketName, S3Error> {
        let nobody = auth::anonymous(parts, &self.auth_settings)?;
        let domains = &self.config.listener.base_domains;
        let path = route::locate(
            Some(&nobody.host),
            domains,
            parts.uri.path(),
            &HeaderMap::new(),
        )?;
        match path.target() {
            Target::Bucket(bucket) => {
                policy::guard_bucket(bucket.as_str(), self.state.name())?;
                Ok(bucket.clone())
            }
            _ => Err(S3Error::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "A form is posted to its bucket; the key is one of its fields.",
            )),
        }
    }

    fn caller_of_form(
        &self,
        live: &Live,
        parts: &Parts,
        fields: &Fields,
        trail: &Trail,
    ) -> Result<Authenticated<Caller>, S3Error> {
        let date = checked_fields(fields)?;
        let field = |name: &str| fields.get(name).unwrap_or_default();
        let claim = PolicyClaim {
            policy: field("policy"),
            credential: field("x-amz-credential"),
            date: &date,
            signature: field("x-amz-signature"),
            token: fields.get("x-amz-security-token"),
        };
        let (credentials, settings) = (&live.credentials, &self.auth_settings);
        auth::authenticate_form(&claim, parts, credentials, settings, SystemTime::now())
            .map_err(|error| live.refusal(error, trail))
    }

    /// The file as a body, its length, and whether that length is known or follows from how forms usually end.
    async fn file_of_form(&self, form: Form) -> Result<(ClientBody, u64, bool), S3Error> {
        let is_small = form.remaining <= self.config.limits.small_object;
        if is_small
            && let Ok(bytes) = u32::try_from(form.remaining)
            && let Ok(memory) = Arc::clone(&self.small_object_memory).try_acquire_many_owned(bytes)
        {
            let (_, file) = form.collect().await?;
            let length = file.len() as u64;
            return Ok((SmallFile::body(file, memory), length, true));
        }
        let length = form.probable_length();
        Ok((form.file.boxed(), length, false))
    }
}

/// Takes along which page the form is from. For the storage it becomes a PUT; whether the page may see the answer is decided for what it sent.
fn name_page(client: &HeaderMap, headers: &mut HeaderMap) {
    if let Some(origin) = client.get(header::ORIGIN) {
        headers.insert(header::ORIGIN, origin.clone());
        headers.insert(
            header::ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("POST"),
        );
    }
}

/// Makes sure that everything is there that signs a form, and returns the date of the signature.
fn checked_fields(fields: &Fields) -> Result<AmzDate, S3Error> {
    const SIGNING: [&str; 5] = [
        "policy",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
    ];
    if SIGNING.iter().all(|name| fields.get(name).is_none()) {
        return Err(policy::refusal());
    }
    if let Some(name) = SIGNING.iter().find(|name| fields.get(name).is_none()) {
        return Err(missing_field(name));
    }
    let argument = |message, name, value: &str| {
        S3Error::invalid_argument(message)
            .with_element("ArgumentName", name)
            .with_element("ArgumentValue", value)
    };
    let algorithm = fields.get("x-amz-algorithm").unwrap_or_default();
    if algorithm != auth::canonical::ALGORITHM {
        let message = "Only AWS4-HMAC-SHA256 is supported";
        return Err(argument(message, "X-Amz-Algorithm", algorithm));
    }
    let date = fields.get("x-amz-date").unwrap_or_default();
    AmzDate::parse(date).ok_or_else(|| {
        let message = "X-Amz-Date must be formated via ISO8601 Long format";
        argument(message, "X-Amz-Date", date)
    })
}

fn missing_field(name: &str) -> S3Error {
    S3Error::invalid_argument(format!(
        "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    ))
    .with_element("ArgumentName", name)
}

/// The bytes of a small file, with their share of the memory for small objects: it is given back when the last of them is dropped.
struct SmallFile {
    bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl SmallFile {
    fn body(bytes: Bytes, memory: OwnedSemaphorePermit) -> ClientBody {
        let file = Self {
            bytes,
            _memory: memory,
        };
        Full::new(Bytes::from_owner(file))
            .map_err(|never| match never {})
            .boxed()
    }
}

impl AsRef<[u8]> for SmallFile {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn path_of_form(bucket: &BucketName, fields: &Fields) -> Result<ObjectPath, S3Error> {
    let key = fields.get("key").ok_or_else(|| missing_field("key"))?;
    let key = ObjectKey::new(key)?;
    Ok(ObjectPath::parse(
        None,
        &[],
        &format!("/{bucket}/{}", key.to_wire()),
    )?)
}

/// A large file whose length is another than the usual end of a form promises.
fn of_length(error: S3Error, is_exact: bool) -> S3Error {
    if is_exact || error.code != "IncompleteBody" {
        return error;
    }
    S3Error::new(
        error.status,
        error.code.clone(),
        "The form ended too early, or something follows its file. A file that is streamed must be the very last field, and the form must end with its closing boundary and a line end; give a submit button no name.",
    )
    .with_detail(error)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn rules_for_other_pages_are_asked_about_a_post() {
        let mut headers = HeaderMap::new();
        name_page(&HeaderMap::new(), &mut headers);
        assert!(headers.is_empty());
        let page = HeaderValue::from_static("https://app.example.org");
        let client = HeaderMap::from_iter([(header::ORIGIN, page.clone())]);
        name_page(&client, &mut headers);
        assert_eq!(headers[header::ORIGIN], page);
        assert_eq!(headers[header::ACCESS_CONTROL_REQUEST_METHOD], "POST");
    }

    #[tokio::test]
    async fn the_memory_of_a_small_file_is_held_as_long_as_its_bytes() {
        let memory = Arc::new(Semaphore::new(10));
        let permit = Arc::clone(&memory).try_acquire_many_owned(7).unwrap();
        let mut body = SmallFile::body(Bytes::from_static(b"abcdefg"), permit);
        let frame = body.frame().await.unwrap().unwrap();
        drop(body);
        let mut data = frame.into_data().unwrap();
        let piece = data.split_off(5);
        drop(data);
        assert_eq!((&piece[..], memory.available_permits()), (&b"fg"[..], 3));
        drop(piece);
        assert_eq!(memory.available_permits(), 10);
    }
}
