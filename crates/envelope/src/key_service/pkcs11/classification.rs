//! Sorts what a module returns into the crate's [`KeyServiceFailure`] (PKCS#11 3.1, section 5.1).

use cryptoki::error::{Error as ModuleError, RvError};

use crate::error::{Error, KeyServiceFailure};
use crate::key_service::key_service_error;

/// What a failed call means.
pub(super) fn class(error: &ModuleError) -> KeyServiceFailure {
    use KeyServiceFailure as Class;
    let ModuleError::Pkcs11(value, _) = error else {
        // A module that can't be loaded, lacks functions or returns what the standard does not allow.
        return match error {
            ModuleError::LibraryLoading(_)
            | ModuleError::NotSupported
            | ModuleError::NullFunctionPointer
            | ModuleError::MissingSymbol(_) => Class::Misconfigured,
            _ => Class::Malformed,
        };
    };
    match value {
        RvError::SessionCount | RvError::OperationActive => Class::Throttled,
        RvError::PinIncorrect
        | RvError::PinInvalid
        | RvError::PinLenRange
        | RvError::PinExpired
        | RvError::PinLocked
        | RvError::UserPinNotInitialized
        | RvError::UserNotLoggedIn
        | RvError::UserAnotherAlreadyLoggedIn
        | RvError::UserTooManyTypes
        | RvError::ActionProhibited => Class::Denied,
        RvError::KeyFunctionNotPermitted => Class::KeyUnusable,
        RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid => Class::NotFound,
        RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange => Class::Refused,
        RvError::MechanismInvalid
        | RvError::MechanismParamInvalid
        | RvError::KeyTypeInconsistent
        | RvError::KeySizeRange
        | RvError::AttributeTypeInvalid
        | RvError::FunctionNotSupported
        | RvError::ArgumentsBad
        | RvError::CantLock => Class::Misconfigured,
        RvError::BufferTooSmall | RvError::DataLenRange | RvError::DataInvalid => Class::Malformed,
        // The device is away, broken or out of something; whatever else a vendor says is no decision about the key.
        _ => Class::Unavailable,
    }
}

/// Whether the session, and those that were opened with it, may be of no use any more, so that a new one may help.
pub(super) fn loses_sessions(error: &ModuleError) -> bool {
    matches!(
        error,
        ModuleError::Pkcs11(
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::UserNotLoggedIn
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::TokenNotPresent
                | RvError::CryptokiNotInitialized,
            _
        )
    )
}

/// Whether a decryption that failed so may have failed because of what was to be decrypted: several modules have no
/// better word for a wrong tag.
pub(super) fn may_be_the_ciphertext(error: &ModuleError) -> bool {
    matches!(
        error,
        ModuleError::Pkcs11(RvError::GeneralError | RvError::FunctionFailed, _)
    )
}

/// Whether the token refused the PIN. Trying again would lock it.
pub(super) fn refuses_the_pin(error: &ModuleError) -> bool {
    matches!(
        error,
        ModuleError::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinLocked,
            _
        )
    )
}

/// The error of a call about `key`.
pub(super) fn failed(key: &str, error: &ModuleError) -> Error {
    let class = class(error);
    let advice = match class {
        KeyServiceFailure::Denied => "; check the PIN and the token's state",
        KeyServiceFailure::KeyUnusable => "; the key's CKA_ENCRYPT and CKA_DECRYPT must be true",
        KeyServiceFailure::Misconfigured => {
            "; the key must be an AES key, and the token must have CKM_AES_GCM"
        }
        _ => "",
    };
    key_service_error(class, &format!("{key}: {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki::context::Function;

    #[test]
    fn outages_decisions_and_forgeries_are_told_apart() {
        use KeyServiceFailure as Class;
        for (value, expected) in [
            (RvError::PinIncorrect, Class::Denied),
            (RvError::KeyFunctionNotPermitted, Class::KeyUnusable),
            (RvError::KeyHandleInvalid, Class::NotFound),
            (RvError::EncryptedDataInvalid, Class::Refused),
            (RvError::DeviceRemoved, Class::Unavailable),
            (RvError::GeneralError, Class::Unavailable),
            (RvError::SessionCount, Class::Throttled),
            (RvError::MechanismInvalid, Class::Misconfigured),
        ] {
            let error = ModuleError::Pkcs11(value, Function::Decrypt);
            assert_eq!(class(&error), expected, "{error}");
        }
        assert_eq!(class(&ModuleError::InvalidValue), Class::Malformed);
    }
}
