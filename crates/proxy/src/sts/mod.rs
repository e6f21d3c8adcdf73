//! The protocol of AWS STS, as far as SDKs need it to get short-lived credentials: a form goes in, XML comes out.
//!
//! ```text
//! POST /  Action=GetSessionToken             signed by an identity       a session with its rights
//!         Action=AssumeRole                  signed by an identity       a session of a role
//!         Action=AssumeRoleWithWebIdentity   with a provider's token     a session of a role
//!         Action=GetCallerIdentity           signed by anybody           who that is
//! ```
//!
//! Nothing here does input or output; [`crate::gateway`] decides. Source: AWS STS API Reference, version 2011-06-15.

mod answers;
mod request;

pub use answers::{Answer, Credentials, error_document};
pub(crate) use request::invalid;
pub use request::{Action, Ask, WebIdentityToken};

use http::{HeaderMap, Method, header};

use crate::object_key::Target;

/// The longest body: a web identity token of 20,000 characters, each escaped, and the rest.
pub const BODY_LIMIT: usize = 64 * 1024;

/// The account in names of identities and roles: there is only one.
const ACCOUNT: &str = "000000000000";

/// Whether a request is one for credentials: S3 knows no POST to the service itself.
pub fn is_request(method: &Method, target: &Target, headers: &HeaderMap) -> bool {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let kind = value.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
    *method == Method::POST && *target == Target::Service && is_form
}

/// How AWS would name an identity.
pub fn arn_of_identity(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{name}")
}

/// How AWS would name a session of a role.
pub fn arn_of_session(role: &str, session: &str) -> String {
    format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::object_key::ObjectPath;

    #[test]
    fn only_forms_to_the_service_itself_are_requests_for_credentials() {
        let is = |method: &Method, path: &str, kind: &'static str| {
            let path = ObjectPath::parse(None, &[], path).unwrap();
            let headers =
                HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            is_request(method, path.target(), &headers)
        };
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert!(is(&Method::POST, "/", form));
        assert!(!is(&Method::PUT, "/", form));
        assert!(!is(&Method::POST, "/bucket", form));
        assert!(!is(&Method::POST, "/", "multipart/form-data; boundary=x"));
    }
}
