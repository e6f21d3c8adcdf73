//! The rights of one request: asked before its body is polled and before any key is opened.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use sealgate_access::{Action, Circumstances, Engine};

use super::asker::{Asker, Audience, Place, Refusal};
use super::needs::{self, Needs};
use crate::{
    auth::{Authenticated, Caller},
    error::S3Error,
    grants::Granted,
    object_key::{BucketName, ObjectKey, ObjectPath},
    query_string::QueryString,
    route::Operation,
};

/// Who asks, and under which circumstances; and by which policies the request was allowed or refused.
///
/// Without a policy everything is allowed, and nothing is looked up. With a break-glass grant only what is in its scope is allowed, unless a policy
/// forbids it.
#[derive(Debug, Clone)]
pub struct Rights {
    asker: Option<Asker>,
    decided_by: Vec<Arc<str>>,
    copies_unseen: bool,
    /// Whether a copy may take the tags of its source along.
    copies_tags: bool,
    /// The object whose absence an error of the operation would tell: that which it reads.
    reads: Option<(String, String)>,
}

impl Rights {
    /// Those of a caller. Nothing has been allowed yet.
    pub(crate) fn of(
        engine: Option<&Arc<Engine>>,
        caller: &Authenticated<Caller>,
        circumstances: Circumstances,
        granted: Option<Granted>,
    ) -> Self {
        let decides = engine.is_some() || granted.is_some();
        let asker = decides.then(|| Asker {
            engine: engine.cloned(),
            granted,
            identity: (!caller.is_anonymous).then(|| Arc::clone(&caller.identity)),
            circumstances,
        });
        Self {
            asker,
            decided_by: Vec::new(),
            copies_unseen: false,
            copies_tags: true,
            reads: None,
        }
    }

    /// Decides about an operation and everything that it touches, but the keys of DeleteObjects.
    ///
    /// # Errors
    ///
    /// `AccessDenied`, with the action that is missing and on what; which policy decided is in the detail, for the log alone.
    pub(crate) fn authorize(
        &mut self,
        operation: &Operation,
        path: &ObjectPath,
        query: &QueryString,
        headers: &HeaderMap,
        audience: &impl Audience,
    ) -> Result<(), S3Error> {
        match self.decide_all(operation, path, query, headers, audience) {
            Ok(mut policies) => {
                policies.sort_unstable();
                policies.dedup();
                self.decided_by = policies;
                Ok(())
            }
            Err(Refusal { error, policies }) => {
                self.decided_by = policies;
                Err(error)
            }
        }
    }

    /// The policies that allowed it all, in no order.
    fn decide_all(
        &mut self,
        operation: &Operation,
        path: &ObjectPath,
        query: &QueryString,
        headers: &HeaderMap,
        audience: &impl Audience,
    ) -> Result<Vec<Arc<str>>, Refusal> {
        let Some(asker) = &mut self.asker else {
            return Ok(Vec::new());
        };
        let place = Place {
            bucket: path.bucket().map(BucketName::as_str),
            key: path.key().map(ObjectKey::as_str),
        };
        let Some(Needs {
            here,
            prefix,
            source,
            sees_here,
        }) = needs::needs(operation, path, query, headers)
        else {
            let error = S3Error::access_denied("Access Denied").with_detail(format!(
                "no action is known for {}, so no policy can allow it",
                operation.name()
            ));
            return Err(Refusal {
                error,
                policies: Vec::new(),
            });
        };
        asker.circumstances.prefix = prefix;
        let mut decided_by = Vec::new();
        for action in here {
            decided_by.extend(asker.require(action, place)?);
        }
        asker.circumstances.prefix = None;
        if sees_here {
            asker.require_sight(place)?;
        }
        if *operation == Operation::DeleteObjects && !asker.may_delete_anything() {
            return Err(Refusal {
                error: asker.refusal(Action::DELETE_OBJECT, place),
                policies: Vec::new(),
            });
        }
        if let Some(source) = source {
            let (policies, unseen) = asker.require_source(&source, place, audience)?;
            decided_by.extend(policies);
            self.copies_unseen = unseen;
            self.copies_tags = asker.copies_tags(&source, place);
            self.reads = Some((source.bucket, source.key));
        } else if let (Some(bucket), Some(key)) = (place.bucket, place.key) {
            self.reads = Some((bucket.to_owned(), key.to_owned()));
        }
        Ok(decided_by)
    }

    /// Decides about one of the keys of DeleteObjects, and tells which policies allowed it.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with `AccessDenied` as that of the request.
    pub fn authorize_deletion(
        &self,
        bucket: &str,
        key: &str,
        is_version: bool,
        headers: &HeaderMap,
    ) -> Result<Vec<Arc<str>>, Refusal> {
        let Some(asker) = &self.asker else {
            return Ok(Vec::new());
        };
        let place = Place {
            bucket: Some(bucket),
            key: Some(key),
        };
        let mut policies = Vec::new();
        for action in needs::of_deletion(is_version, headers) {
            policies.extend(asker.require(action, place)?);
        }
        policies.sort_unstable();
        policies.dedup();
        Ok(policies)
    }

    /// Decides about a bucket that the configuration of another one names: the storage, in whose account everything is, would write there.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with `AccessDenied` as that of the request.
    pub fn authorize_named(&self, operation: &Operation, bucket: &str) -> Result<(), Refusal> {
        let (Some(asker), Operation::Pass(name)) = (&self.asker, operation) else {
            return Ok(());
        };
        let place = Place {
            bucket: Some(bucket),
            key: None,
        };
        let action = Action::of_passed(name).unwrap_or(Action::PUT_OBJECT);
        asker.require(action, place).map(|_| ())
    }

    /// Whether a copy may take the tags of its source along: whoever copies sees them at the new place, and sets them there.
    pub fn copies_tags(&self) -> bool {
        self.copies_tags
    }

    /// Whether there is a policy that decides at all.
    pub fn has_policy(&self) -> bool {
        self.asker.is_some()
    }

    /// Whether the caller may read the content of an object, and so be told what is computed from it.
    pub fn may_decrypt(&self, bucket: &str, key: &str) -> bool {
        let place = Place {
            bucket: Some(bucket),
            key: Some(key),
        };
        self.asker
            .as_ref()
            .is_none_or(|asker| asker.decide(Action::DECRYPT, place).is_allowed())
    }

    /// The policies and rules that allowed or forbade the request, for the audit log; none where there is no policy, or none that allows it.
    pub fn decided_by(&self) -> &[Arc<str>] {
        &self.decided_by
    }

    /// Whether the caller may copy the source but not see it, so that the answer says nothing that is computed from its content.
    pub fn copies_unseen(&self) -> bool {
        self.copies_unseen
    }

    /// Whoever may not list does not learn from an error which keys there are not (S3 User Guide, "GetObject", permissions).
    pub fn conceal_absence(&self, error: S3Error) -> S3Error {
        let (Some(asker), Some((bucket, key))) = (&self.asker, &self.reads) else {
            return error;
        };
        if error.status != StatusCode::NOT_FOUND || error.code != "NoSuchKey" {
            return error;
        }
        let circumstances = Circumstances {
            prefix: Some(key.clone()),
            ..asker.circumstances.clone()
        };
        let place = Place {
            bucket: Some(bucket),
            key: None,
        };
        if asker
            .decide_in(Action::LIST_BUCKET, place, &circumstances)
            .is_allowed()
        {
            return error;
        }
        asker.refusal(Action::LIST_BUCKET, place).with_detail(error)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use sealgate_access::{PolicyFile, Principals, Rule};
    use time::OffsetDateTime;

    use super::*;

    /// What an identity may do by rules of what each allows, in which buckets.
    fn rights(rules: &[(&[&str], &[&str])]) -> Rights {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rules: Vec<_> = rules
            .iter()
            .enumerate()
            .map(|(number, (allow, buckets))| Rule {
                id: format!("rule-{number}"),
                identities: vec!["app".to_owned()],
                allow: texts(allow),
                buckets: texts(buckets),
                ..Rule::default()
            })
            .collect();
        let mut principals = Principals::default();
        principals.add("app", []);
        let anonymous = PolicyFile {
            name: "anonymous".to_owned(),
            text: "permit (principal is Anonymous, action, resource);".to_owned(),
        };
        let engine = Engine::compile(&principals, &rules, &[anonymous]).unwrap();
        Rights {
            asker: Some(Asker {
                engine: Some(Arc::new(engine)),
                granted: None,
                identity: Some("app".into()),
                circumstances: Circumstances {
                    source: std::net::Ipv4Addr::LOCALHOST.into(),
                    time: OffsetDateTime::UNIX_EPOCH,
                    tls: false,
                    certificates: Arc::default(),
                    grant: None,
                    session: None,
                    prefix: None,
                },
            }),
            decided_by: Vec::new(),
            copies_unseen: false,
            copies_tags: true,
            reads: None,
        }
    }

    fn authorize(
        rights: &mut Rights,
        operation: &Operation,
        headers: &[(&'static str, &'static str)],
    ) -> Result<(), S3Error> {
        authorize_before(rights, operation, headers, &Said::default())
    }

    fn authorize_before(
        rights: &mut Rights,
        operation: &Operation,
        headers: &[(&'static str, &'static str)],
        audience: &Said,
    ) -> Result<(), S3Error> {
        let path = ObjectPath::parse(None, &[], "/mine/k").unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let query = QueryString::default();
        rights.authorize(operation, &path, &query, &map, audience)
    }

    /// What `[[anonymous]]` and `[grants]` say.
    #[derive(Default)]
    struct Said {
        is_public: bool,
        may_ask: bool,
    }

    impl Audience for Said {
        fn is_public(&self, _: &str, _: &str) -> bool {
            self.is_public
        }

        fn requesters(&self) -> Vec<String> {
            let names = ["app".to_owned()].into_iter();
            names.filter(|_| self.may_ask).collect()
        }
    }

    #[test]
    fn an_old_version_is_copied_unseen_to_no_place_that_shows_it_as_the_newest_one() {
        let newest_only: &[&str] = &["copy", "s3:GetObject", "decrypt", "s3:PutObject", "encrypt"];
        let copy = |allow: &[&str], source: &'static str, said: &Said| {
            let headers = [("x-amz-copy-source", source)];
            let mut rights = rights(&[(allow, &[])]);
            authorize_before(&mut rights, &Operation::CopyObject, &headers, said).is_ok()
        };
        let nothing = Said::default();
        let public = Said {
            is_public: true,
            ..Said::default()
        };
        let may_ask = Said {
            may_ask: true,
            ..Said::default()
        };
        for old in ["/mine/k?versionId=old", "/yours/k?versionId=old"] {
            assert!(copy(&["operator"], old, &nothing), "{old}");
            assert!(!copy(&["operator"], old, &public), "{old}");
            assert!(!copy(&["operator"], old, &may_ask), "{old}");
            assert!(!copy(newest_only, old, &nothing), "{old}");
            assert!(copy(&["reader", "writer"], old, &public), "{old}");
        }
        for said in [&nothing, &public, &may_ask] {
            assert!(copy(&["operator"], "/mine/k", said));
        }
    }

    #[test]
    fn a_condition_on_what_is_there_is_for_those_who_may_know_it() {
        let if_match = [("if-match", "\"x\"")];
        let put = |allow: &[&str], headers: &[(&'static str, &'static str)]| {
            authorize(&mut rights(&[(allow, &[])]), &Operation::PutObject, headers)
        };
        let error = put(&["write-only"], &if_match).unwrap_err();
        assert!(error.message.contains("s3:GetObject"), "{error}");
        assert!(put(&["write-only"], &[]).is_ok());
        assert!(put(&["write-only"], &[("if-none-match", "*")]).is_ok());
        assert!(put(&["writer"], &if_match).is_ok());
        assert!(put(&["write-only", "s3:GetObject"], &if_match).is_ok());
    }

    #[test]
    fn a_copy_takes_tags_for_those_who_may_see_and_set_them() {
        let copy = |rules: &[(&[&str], &[&str])]| {
            let mut rights = rights(rules);
            let headers = [("x-amz-copy-source", "/yours/k")];
            authorize(&mut rights, &Operation::CopyObject, &headers).unwrap();
            rights.copies_tags()
        };
        let read: &[&str] = &["s3:GetObject", "decrypt"];
        let write: &[&str] = &["s3:PutObject", "encrypt"];
        assert!(copy(&[(&["reader", "writer"], &[])]));
        assert!(!copy(&[(read, &["yours"]), (&["writer"], &["mine"])]));
        assert!(!copy(&[(&["reader"], &["yours"]), (write, &["mine"])]));
        assert!(copy(&[(&["reader"], &["yours"]), (&["writer"], &["mine"])]));
        assert!(copy(&[(&["operator"], &[])]));
    }

    #[test]
    fn a_configuration_that_names_another_bucket_is_decided_about_there_too() {
        let rights = rights(&[(&["admin"], &["mine"])]);
        let replication = Operation::Pass("PutBucketReplication");
        assert!(rights.authorize_named(&replication, "mine").is_ok());
        let error = rights
            .authorize_named(&replication, "yours")
            .unwrap_err()
            .error;
        assert!(error.message.contains("yours"), "{error}");
    }
}
