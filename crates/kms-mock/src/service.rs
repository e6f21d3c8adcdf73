//! One request from its head to its answer: who signed it, whether they may, the hook, the operation, the log.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, request};
use serde::Deserialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::error::{ErrorCode, KmsError};
use crate::faults::Faults;
use crate::hook::{RequestHook, RequestInfo, Verdict};
use crate::identifier::Realm;
use crate::operation::{Operation, TARGET_PREFIX};
use crate::operations::{self, Call};
use crate::principal::{Principal, Principals};
use crate::request_log::{Record, RequestLog};
use crate::signature::Authorization;
use crate::store::Store;

/// The content type of requests and responses.
pub(crate) const CONTENT_TYPE_JSON: &str = "application/x-amz-json-1.1";

/// What all requests share.
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) principals: Principals,
    pub(crate) log: RequestLog,
    pub(crate) faults: Faults,
    pub(crate) hook: Option<Arc<dyn RequestHook>>,
}

/// A request whose signature claims to be of a known principal; the body is still to come.
#[derive(Debug)]
pub(crate) struct Claim {
    headers: HeaderMap,
    host: String,
    authorization: Authorization,
    principal: Principal,
    /// The account and region that it is signed for.
    realm: Realm,
}

impl Service {
    /// Checks all that does not need the body, so that strangers cannot make the server read one.
    ///
    /// # Errors
    ///
    /// The error that the client gets.
    pub(crate) fn check_head(
        &self,
        head: request::Parts,
        record: &mut Record,
    ) -> Result<Claim, KmsError> {
        if head.method != Method::POST || head.uri.path() != "/" || head.uri.query().is_some() {
            return Err(KmsError::new(
                ErrorCode::UnknownOperation,
                "a KMS request is POST / without a query string; this address serves nothing else",
            ));
        }
        let authorization = Authorization::parse(&head.headers)?;
        record.access_key_id = Some(authorization.access_key_id().to_owned());
        let realm = self
            .store
            .realm_of(authorization.region())
            .unwrap_or_else(|| self.store.realm());
        authorization.check_scope(&realm.region, OffsetDateTime::now_utc())?;
        let principal = self.principals.get(authorization.access_key_id()).cloned();
        let Some(principal) =
            principal.filter(|_| !head.headers.contains_key("x-amz-security-token"))
        else {
            return Err(KmsError::new(
                ErrorCode::UnrecognizedClient,
                "The security token included in the request is invalid.",
            ));
        };
        // HTTP/2 has no Host header; its :authority becomes the authority of the URI.
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host
            .or_else(|| head.uri.authority().map(http::uri::Authority::as_str))
            .unwrap_or_default()
            .to_owned();
        Ok(Claim {
            headers: head.headers,
            host,
            authorization,
            principal,
            realm: realm.clone(),
        })
    }

    /// Verifies the signature over the body, runs the operation, and writes the request log.
    pub(crate) async fn answer(
        self: Arc<Self>,
        claim: Claim,
        body: Zeroizing<Vec<u8>>,
        mut record: Record,
    ) -> (Record, Result<Zeroizing<Vec<u8>>, KmsError>) {
        let admitted = self.admit(&claim, &body, &mut record).await;
        let result = match admitted {
            Ok(operation) if operations::waits_for_disk(operation) || self.must_erase() => {
                let service = Arc::clone(&self);
                let mut working = record.clone();
                let realm = claim.realm.clone();
                let work = tokio::task::spawn_blocking(move || {
                    let result = service.run(operation, &realm, &body, &mut working);
                    (working, result)
                });
                match work.await {
                    Ok((worked, result)) => {
                        record = worked;
                        result
                    }
                    Err(_) => Err(KmsError::internal("the operation ended unexpectedly")),
                }
            }
            Ok(operation) => self.run(operation, &claim.realm, &body, &mut record),
            Err(error) => Err(error),
        };
        let result = self.log(&mut record, result);
        (record, result)
    }

    /// Ends the record and writes it; a request that cannot be logged is not answered.
    pub(crate) fn log<T>(
        &self,
        record: &mut Record,
        result: Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        record.end(&result);
        match self.log.write(record) {
            Ok(()) => result,
            Err(error) => {
                tracing::error!(%error, "the request log cannot be written");
                Err(KmsError::internal(
                    "the request log of the key server cannot be written; see its log",
                ))
            }
        }
    }

    async fn admit(
        &self,
        claim: &Claim,
        body: &[u8],
        record: &mut Record,
    ) -> Result<Operation, KmsError> {
        let principal = &claim.principal;
        claim
            .authorization
            .verify(principal.secret(), &claim.headers, &claim.host, body)?;
        record.principal = Some(principal.name().to_owned());
        let operation = named_operation(&claim.headers)?;
        record.operation = Some(operation);
        if !principal.permissions().allow(operation) {
            return Err(self.denied(principal, operation, body, record));
        }
        let request = RequestInfo {
            request_id: record.request_id,
            principal: principal.name().to_owned(),
            operation,
            keys: operations::named_keys(&self.store, &claim.realm, body),
        };
        let mut verdict = self.faults.strike(&request).await;
        if let (Verdict::Proceed, Some(hook)) = (&verdict, &self.hook) {
            verdict = hook.before_operation(&request).await;
        }
        match verdict {
            Verdict::Proceed => Ok(operation),
            Verdict::Fail(error) => {
                record.key_id = request.keys.into_iter().next();
                Err(error)
            }
        }
    }

    fn must_erase(&self) -> bool {
        self.store
            .catalogue()
            .has_deleted(OffsetDateTime::now_utc())
    }

    fn run(
        &self,
        operation: Operation,
        realm: &Realm,
        body: &[u8],
        record: &mut Record,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let now = OffsetDateTime::now_utc();
        self.store.erase_deleted(now)?;
        operations::run(
            operation,
            &mut Call {
                store: &self.store,
                realm,
                now,
                record,
            },
            body,
        )
    }

    fn denied(
        &self,
        principal: &Principal,
        operation: Operation,
        body: &[u8],
        record: &mut Record,
    ) -> KmsError {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Named {
            key_id: Option<String>,
        }
        let named: Option<Named> = serde_json::from_slice(body).ok();
        record.key_id = named.and_then(|named| named.key_id);
        KmsError::new(
            ErrorCode::AccessDenied,
            format!(
                "User: {} is not authorized to perform: kms:{operation} on resource: {} because no identity-based policy \
                 allows the kms:{operation} action",
                self.store.realm().principal_arn(principal.name()),
                record.key_id.as_deref().unwrap_or("*")
            ),
        )
    }
}

/// The operation that the headers name.
fn named_operation(headers: &HeaderMap) -> Result<Operation, KmsError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let unknown = |message: String| KmsError::new(ErrorCode::UnknownOperation, message);
    let content_type = text(CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(CONTENT_TYPE_JSON) {
        return Err(unknown(format!(
            "the content type is '{content_type}'; it must be {CONTENT_TYPE_JSON}"
        )));
    }
    let target = text("x-amz-target").unwrap_or_default();
    let Some(name) = target.strip_prefix(TARGET_PREFIX) else {
        return Err(unknown(format!(
            "the X-Amz-Target is '{target}'; it must be {TARGET_PREFIX} and an operation"
        )));
    };
    // The prefix of policies has no place in a target.
    match name.parse() {
        Ok(operation) if !name.starts_with("kms:") => Ok(operation),
        Ok(_) => Err(unknown(format!("'{name}' is not the name of an operation"))),
        Err(error) => Err(unknown(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(content_type: &str, target: &str) -> Result<Operation, ErrorCode> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        headers.insert("x-amz-target", target.parse().unwrap());
        named_operation(&headers).map_err(|error| error.code())
    }

    #[test]
    fn operation_is_named_by_two_headers() {
        assert_eq!(
            operation(CONTENT_TYPE_JSON, "TrentService.Decrypt"),
            Ok(Operation::Decrypt)
        );
        let unknown = Err(ErrorCode::UnknownOperation);
        assert_eq!(
            operation("application/json", "TrentService.Decrypt"),
            unknown
        );
        assert_eq!(operation(CONTENT_TYPE_JSON, "TrentService.Sign"), unknown);
        assert_eq!(
            operation(CONTENT_TYPE_JSON, "TrentService.kms:Decrypt"),
            unknown
        );
        assert_eq!(operation(CONTENT_TYPE_JSON, "Decrypt"), unknown);
        assert_eq!(
            named_operation(&HeaderMap::new()).unwrap_err().code(),
            ErrorCode::UnknownOperation
        );
    }
}
