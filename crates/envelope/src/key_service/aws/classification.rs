//! Sorts what the SDK reports into the crate's [`KeyServiceFailure`].

use std::error::Error;

use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::error::KeyServiceFailure;
use crate::key_service::key_service_error;

/// The class of an error code of the AWS KMS API; `None` if the code is not one we know.
///
/// By code and not by the SDK's types: `ThrottlingException`, `AccessDeniedException` and the errors common to all AWS
/// services are not part of the KMS model, so the SDK has no types for them.
/// Source: the AWS KMS API Reference, "Errors" of each operation, and "Common Errors".
pub(super) fn class_of_code(code: &str) -> Option<KeyServiceFailure> {
    use KeyServiceFailure as Class;
    Some(match code {
        "DependencyTimeoutException"
        | "KMSInternalException"
        | "KeyUnavailableException"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => Class::Unavailable,
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "LimitExceededException"
        | "SlowDown" => Class::Throttled,
        "AccessDeniedException"
        | "AccessDenied"
        | "NotAuthorized"
        | "NotAuthorizedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "OptInRequired"
        | "InvalidGrantTokenException"
        | "RequestExpired" => Class::Denied,
        "DisabledException" | "KMSInvalidStateException" => Class::KeyUnusable,
        "NotFoundException" => Class::NotFound,
        "InvalidCiphertextException" | "IncorrectKeyException" => Class::Refused,
        "InvalidKeyUsageException"
        | "InvalidArnException"
        | "UnsupportedOperationException"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "UnknownOperationException"
        | "InvalidAction" => Class::Misconfigured,
        _ => return None,
    })
}

/// The class of an HTTP status, for answers whose code says nothing.
pub(super) fn class_of_status(status: u16) -> KeyServiceFailure {
    match status {
        429 => KeyServiceFailure::Throttled,
        401 | 403 => KeyServiceFailure::Denied,
        408 | 500..=599 => KeyServiceFailure::Unavailable,
        _ => KeyServiceFailure::Malformed,
    }
}

/// Turns the SDK's error into ours. `operation` is the API's name of the call, `key` what it was about.
pub(super) fn classify<E>(
    operation: &str,
    key: &str,
    error: &SdkError<E, HttpResponse>,
) -> crate::Error
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (class, cause) = match error {
        SdkError::TimeoutError(_) => (
            KeyServiceFailure::Unavailable,
            "no answer in time".to_owned(),
        ),
        SdkError::DispatchFailure(failure) => {
            let cause = failure
                .as_connector_error()
                .map_or_else(|| "connection failed".to_owned(), |error| causes(error));
            // A "user" failure is a request that could not even be formed, such as an endpoint that is no URL.
            let class = if failure.is_user() {
                KeyServiceFailure::Misconfigured
            } else {
                KeyServiceFailure::Unavailable
            };
            (class, cause)
        }
        SdkError::ConstructionFailure(_) => (construction_class(error), causes(error)),
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let metadata = service.err().meta();
            let code = metadata.code().unwrap_or("no code");
            let message = metadata.message().unwrap_or("no message");
            let class = class_of_code(code).unwrap_or_else(|| class_of_status(status));
            // A ciphertext names its key by itself, and access to a key of somebody else's is denied. That says nothing
            // about ours (AWS KMS: "The ciphertext refers to a customer master key that does not exist, …").
            let about_the_wrap =
                class == KeyServiceFailure::Denied && message.contains("ciphertext refers to");
            let class = if about_the_wrap {
                KeyServiceFailure::WrapWithdrawn
            } else {
                class
            };
            (class, format!("HTTP {status}, {code}: {message}"))
        }
        // The answer could not be parsed. Neither its text nor the parser's complaint is shown: the body of an answer to
        // Decrypt holds a key.
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let class = if (200..300).contains(&status) {
                KeyServiceFailure::Malformed
            } else {
                class_of_status(status)
            };
            (
                class,
                format!("HTTP {status} with an answer that is not of this protocol"),
            )
        }
        _ => (
            KeyServiceFailure::Unavailable,
            "unknown failure of the SDK".to_owned(),
        ),
    };
    key_service_error(
        class,
        &format!(
            "{operation} with KMS key {key}: {cause}{}",
            advice(class, operation)
        ),
    )
}

/// A request fails to be made where credentials are missing or their source does not answer.
///
/// A source on the network (STS, the instance's metadata service) may be down like any server, so this counts as an
/// outage unless the chain says that it found nothing at all.
fn construction_class<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> KeyServiceFailure {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if let Some(cause) =
            cause.downcast_ref::<aws_credential_types::provider::error::CredentialsError>()
        {
            use aws_credential_types::provider::error::CredentialsError as Failure;
            return match cause {
                Failure::CredentialsNotLoaded(_) | Failure::InvalidConfiguration(_) => {
                    KeyServiceFailure::Misconfigured
                }
                _ => KeyServiceFailure::Unavailable,
            };
        }
        source = cause.source();
    }
    KeyServiceFailure::Misconfigured
}

/// What an operator can do about it, where the class alone tells.
fn advice(class: KeyServiceFailure, operation: &str) -> String {
    match class {
        KeyServiceFailure::Denied => {
            format!(
                "; check the credentials, and that the key's policy allows them kms:{operation}"
            )
        }
        KeyServiceFailure::KeyUnusable => {
            "; unless its end is meant, enable the key, or cancel its deletion, to use it again"
                .to_owned()
        }
        KeyServiceFailure::NotFound => "; check the key's name, account and region".to_owned(),
        _ => String::new(),
    }
}

/// The messages of an error and of what lies behind it, outermost first.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kms::operation::decrypt::DecryptError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    fn answer(status: u16, code: &str, message: &str) -> SdkError<DecryptError, HttpResponse> {
        let metadata = ErrorMetadata::builder().code(code).message(message).build();
        let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(""));
        SdkError::service_error(DecryptError::generic(metadata), raw)
    }

    fn failure(error: &crate::Error) -> KeyServiceFailure {
        crate::key_service::failure_of(error).unwrap()
    }

    #[test]
    fn unmodelled_codes_are_recognised() {
        let class = |status, code| failure(&classify("Decrypt", "k", &answer(status, code, "m")));
        assert_eq!(
            class(400, "ThrottlingException"),
            KeyServiceFailure::Throttled
        );
        assert_eq!(
            class(400, "AccessDeniedException"),
            KeyServiceFailure::Denied
        );
        assert_eq!(
            class(400, "InvalidCiphertextException"),
            KeyServiceFailure::Refused
        );
        assert_eq!(
            class(400, "DisabledException"),
            KeyServiceFailure::KeyUnusable
        );
        assert_eq!(
            class(500, "KMSInternalException"),
            KeyServiceFailure::Unavailable
        );
    }

    #[test]
    fn a_ciphertext_of_another_account_is_no_decision_about_our_key() {
        let class = |message| {
            let error = answer(400, "AccessDeniedException", message);
            failure(&classify("Decrypt", "k", &error))
        };
        let foreign = "The ciphertext refers to a customer master key that does not exist, does not exist in this \
                       region, or you are not allowed to access.";
        assert_eq!(class(foreign), KeyServiceFailure::WrapWithdrawn);
        let ours =
            "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on resource: …";
        assert_eq!(class(ours), KeyServiceFailure::Denied);
    }

    #[test]
    fn unknown_codes_fall_back_to_the_status_and_never_to_an_outage_for_4xx() {
        let class = |status| failure(&classify("Decrypt", "k", &answer(status, "Novel", "m")));
        assert_eq!(class(503), KeyServiceFailure::Unavailable);
        assert_eq!(class(429), KeyServiceFailure::Throttled);
        assert_eq!(class(403), KeyServiceFailure::Denied);
        assert_eq!(class(400), KeyServiceFailure::Malformed);
    }

    #[test]
    fn message_names_operation_key_code_and_fix() {
        let text = classify(
            "Decrypt",
            "alias/a",
            &answer(400, "AccessDeniedException", "no"),
        )
        .detail()
        .to_owned();
        for part in ["Decrypt", "alias/a", "AccessDeniedException", "kms:Decrypt"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn an_unparsable_answer_is_not_shown() {
        let raw = HttpResponse::new(
            StatusCode::try_from(200).unwrap(),
            SdkBody::from("{\"Plaintext\":\"c2VjcmV0\""),
        );
        let error: SdkError<DecryptError, _> = SdkError::response_error("unexpected c2VjcmV0", raw);
        let error = classify("Decrypt", "k", &error);
        assert_eq!(failure(&error), KeyServiceFailure::Malformed);
        assert!(!error.detail().contains("c2VjcmV0"));
    }

    #[test]
    fn timeouts_are_outages() {
        let error: SdkError<DecryptError, HttpResponse> = SdkError::timeout_error("late");
        assert_eq!(
            failure(&classify("Decrypt", "k", &error)),
            KeyServiceFailure::Unavailable
        );
    }
}
