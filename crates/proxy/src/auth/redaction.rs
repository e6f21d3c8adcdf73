//! Request targets for logs.

use http::Uri;

use super::canonical::decode;

/// What stands where a secret stood.
const REDACTED: &str = "REDACTED";

/// Query parameters whose values let others act as the signer or tell who it is (both signature versions).
const SENSITIVE_PARAMETERS: [&str; 5] = [
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "AWSAccessKeyId",
    "Signature",
];

/// Path and query of a request for a log line, with the values of signature, credential and session token replaced.
/// Scheme and authority are left out. A presigned URL logged this way cannot be used by who reads the log.
pub fn redacted_uri(uri: &Uri) -> String {
    let Some(query) = uri.query() else {
        return uri.path().to_owned();
    };
    let mut text = String::with_capacity(uri.path().len() + query.len() + 1);
    text.push_str(uri.path());
    let mut separator = '?';
    for part in query.split('&') {
        text.push(separator);
        separator = '&';
        match part.split_once('=') {
            Some((name, _)) if is_sensitive(name) => {
                text.push_str(name);
                text.push('=');
                text.push_str(REDACTED);
            }
            _ => text.push_str(part),
        }
    }
    text
}

fn is_sensitive(raw_name: &str) -> bool {
    SENSITIVE_PARAMETERS.iter().any(|parameter| {
        decode(raw_name)
            .map(|byte| byte.to_ascii_lowercase())
            .eq(parameter.bytes().map(|byte| byte.to_ascii_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_authorise_are_replaced() {
        let uri: Uri =
            "http://h/b/k%20?list-type=2&X-Amz-Credential=AKIA%2Fx&X-Amz-%53ignature=f00d\
                        &x-amz-security-token=tok&Signature=v2&AWSAccessKeyId=AK&flag"
                .parse()
                .unwrap();
        assert_eq!(
            redacted_uri(&uri),
            "/b/k%20?list-type=2&X-Amz-Credential=REDACTED&X-Amz-%53ignature=REDACTED\
             &x-amz-security-token=REDACTED&Signature=REDACTED&AWSAccessKeyId=REDACTED&flag"
        );
        assert_eq!(redacted_uri(&"/b/k".parse().unwrap()), "/b/k");
    }
}
