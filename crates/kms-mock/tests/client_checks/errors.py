"""Each error code, by the exception class that boto3 makes of it."""

import re

from .common import MISSING_ID, client, fails


def run(options, checks, kms, keys):
    """Runs the cases; the keys are those of the good paths."""
    first, second, blob, context, alias = keys
    key, missing = first["KeyId"], f"arn:aws:kms:{options.region}:{first['AWSAccountId']}:key/{MISSING_ID}"
    raw = client(options, options.access_key_id, options.secret, validate=False)

    def case(subject, kms, operation, code, message=None, **arguments):
        status = arguments.pop("status", 400)
        checks.case(subject, "boto3", lambda: fails(kms, operation, code, message, status, **arguments))

    disabled, pending = (kms.create_key()["KeyMetadata"] for _ in range(2))
    blobs = [kms.encrypt(KeyId=k["KeyId"], Plaintext=b"x")["CiphertextBlob"] for k in (disabled, pending)]
    kms.disable_key(KeyId=disabled["KeyId"])
    kms.schedule_key_deletion(KeyId=pending["KeyId"])
    for metadata, sealed, code, message in [
        (disabled, blobs[0], "DisabledException", "^" + re.escape(disabled["Arn"]) + r" is disabled\.$"),
        (pending, blobs[1], "KMSInvalidStateException", "^" + re.escape(pending["Arn"]) + r" is pending deletion\.$"),
    ]:
        name = metadata["KeyId"]
        case(f"{code}: Encrypt", kms, "encrypt", code, message, KeyId=name, Plaintext=b"x")
        case(f"{code}: GenerateDataKey", kms, "generate_data_key", code, message, KeyId=name, KeySpec="AES_256")
        case(f"{code}: GenerateDataKeyWithoutPlaintext", kms, "generate_data_key_without_plaintext", code, message,
             KeyId=name, KeySpec="AES_256")
        case(f"{code}: Decrypt", kms, "decrypt", code, message, CiphertextBlob=sealed)
        case(f"{code}: ReEncrypt from", kms, "re_encrypt", code, message, CiphertextBlob=sealed, DestinationKeyId=key)
        case(f"{code}: ReEncrypt to", kms, "re_encrypt", code, message, CiphertextBlob=blob,
             SourceEncryptionContext=context, DestinationKeyId=name)
    case("DisabledException: rotate_key_on_demand", kms, "rotate_key_on_demand", "DisabledException",
         KeyId=disabled["KeyId"])
    case("NotFoundException: rotate_key_on_demand by alias", kms, "rotate_key_on_demand", "NotFoundException",
         KeyId=alias)
    case("NotFoundException: list_key_rotations", kms, "list_key_rotations", "NotFoundException", KeyId=missing)
    case("NotFoundException: delete_alias", kms, "delete_alias", "NotFoundException", AliasName="alias/never")
    case("ValidationException: delete_alias", kms, "delete_alias", "ValidationException", AliasName="a b")
    case("ValidationException: list_key_rotations", kms, "list_key_rotations", "ValidationException", KeyId=key,
         IncludeKeyMaterial="SOME")
    case("InvalidMarkerException: list_key_rotations", kms, "list_key_rotations", "InvalidMarkerException", KeyId=key,
         Marker="x")
    for operation in ("enable_key", "disable_key", "schedule_key_deletion", "rotate_key_on_demand"):
        case(f"KMSInvalidStateException: {operation}", kms, operation, "KMSInvalidStateException", "pending deletion",
             KeyId=pending["KeyId"])
    case("KMSInvalidStateException: create_alias", kms, "create_alias", "KMSInvalidStateException", "pending deletion",
         AliasName="alias/pending", TargetKeyId=pending["KeyId"])
    case("KMSInvalidStateException: cancel_key_deletion", kms, "cancel_key_deletion", "KMSInvalidStateException",
         r"is not pending deletion\.$", KeyId=key)

    not_found = "^Key '" + re.escape(missing) + "' does not exist$"
    for name in (MISSING_ID, missing):
        for operation, arguments in [
            ("describe_key", {}), ("enable_key", {}), ("disable_key", {}), ("schedule_key_deletion", {}),
            ("cancel_key_deletion", {}), ("list_aliases", {}), ("encrypt", {"Plaintext": b"x"}),
            ("generate_data_key", {"KeySpec": "AES_256"}), ("decrypt", {"CiphertextBlob": blob}),
        ]:
            kind = "ARN" if name == missing else "id"
            case(f"NotFoundException: {operation}, {kind}", kms, operation, "NotFoundException", not_found, KeyId=name,
                 **arguments)
    case("NotFoundException: alias", kms, "describe_key", "NotFoundException", r"^Alias arn:.*:alias/none is not found\.$",
         KeyId="alias/none")
    case("NotFoundException: no key id", kms, "describe_key", "NotFoundException", "^Invalid keyId 'nonsense'$",
         KeyId="nonsense")
    case("NotFoundException: other region", kms, "describe_key", "NotFoundException", "^Invalid arn ap-south-1$",
         KeyId=first["Arn"].replace(options.region, "ap-south-1"))
    case("NotFoundException: alias where an id is needed", kms, "disable_key", "NotFoundException", "Invalid keyId",
         KeyId=alias)
    case("NotFoundException: CreateAlias", kms, "create_alias", "NotFoundException", not_found, AliasName="alias/none",
         TargetKeyId=MISSING_ID)
    case("InvalidArnException", kms, "describe_key", "InvalidArnException", KeyId="arn:aws:s3:::bucket")
    case("AccessDeniedException: other account", kms, "describe_key", "AccessDeniedException",
         KeyId=first["Arn"].replace(first["AWSAccountId"], "999999999999"))

    incorrect = r"^The key ID in the request does not identify a CMK that can perform this operation\.$"
    case("IncorrectKeyException: Decrypt", kms, "decrypt", "IncorrectKeyException", incorrect, CiphertextBlob=blob,
         EncryptionContext=context, KeyId=second["KeyId"])
    case("IncorrectKeyException: ReEncrypt", kms, "re_encrypt", "IncorrectKeyException", incorrect, CiphertextBlob=blob,
         SourceEncryptionContext=context, SourceKeyId=second["KeyId"], DestinationKeyId=key)
    contexts = {
        "no context": {},
        "missing pair": {"Bucket": "b"},
        "more pairs": {**context, "more": "x"},
        "other case of a name": {("bucket" if name == "Bucket" else name): value for name, value in context.items()},
        "other case of a value": {**context, "Bucket": "B"},
    }
    for kind, wrong in contexts.items():
        case(f"InvalidCiphertextException: {kind}", kms, "decrypt", "InvalidCiphertextException", "^$",
             CiphertextBlob=blob, EncryptionContext=wrong)
    for position in (0, 10, 30, 60, 90, 110, 125, 140, len(blob) - 1):
        changed = bytearray(blob)
        changed[position] ^= 1
        case(f"InvalidCiphertextException: byte {position}", kms, "decrypt", "InvalidCiphertextException",
             CiphertextBlob=bytes(changed), EncryptionContext=context)
    case("InvalidCiphertextException: cut", kms, "decrypt", "InvalidCiphertextException", CiphertextBlob=blob[:-1],
         EncryptionContext=context)
    case("InvalidCiphertextException: not a blob", kms, "decrypt", "InvalidCiphertextException", CiphertextBlob=b"x")
    case("InvalidCiphertextException: ReEncrypt", kms, "re_encrypt", "InvalidCiphertextException", CiphertextBlob=blob,
         DestinationKeyId=key)

    case("AlreadyExistsException", kms, "create_alias", "AlreadyExistsException", "already exists", AliasName=alias,
         TargetKeyId=key)
    case("NotAuthorizedException", kms, "create_alias", "NotAuthorizedException", AliasName="alias/aws/s3",
         TargetKeyId=key)
    case("InvalidAliasNameException", kms, "create_alias", "InvalidAliasNameException", AliasName="alias/a:b",
         TargetKeyId=key)
    case("InvalidMarkerException: ListKeys", kms, "list_keys", "InvalidMarkerException", Marker="nonsense!")
    case("InvalidMarkerException: ListAliases", kms, "list_aliases", "InvalidMarkerException", Marker="nonsense!")
    case("InvalidGrantTokenException", kms, "encrypt", "InvalidGrantTokenException", KeyId=key, Plaintext=b"x",
         GrantTokens=["token"])
    case("InvalidKeyUsageException", kms, "encrypt", "InvalidKeyUsageException", KeyId=key, Plaintext=b"x",
         EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    case("CustomKeyStoreNotFoundException", kms, "generate_random", "CustomKeyStoreNotFoundException", NumberOfBytes=1,
         CustomKeyStoreId="cks-1")
    case("TagException", kms, "create_key", "TagException", Tags=[{"TagKey": "aws:x", "TagValue": ""}])
    dry_run = r"^The request would have succeeded, but the DryRun option is set\.$"
    for operation, arguments in [
        ("encrypt", {"KeyId": key, "Plaintext": b"x"}), ("generate_data_key", {"KeyId": key, "KeySpec": "AES_256"}),
        ("generate_data_key_without_plaintext", {"KeyId": key, "KeySpec": "AES_256"}),
        ("decrypt", {"CiphertextBlob": blob, "EncryptionContext": context}),
        ("decrypt", {"KeyId": key, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}),
        ("re_encrypt", {"CiphertextBlob": blob, "SourceEncryptionContext": context, "DestinationKeyId": key}),
    ]:
        case(f"DryRunOperationException: {operation}", kms, operation, "DryRunOperationException", dry_run, DryRun=True,
             **arguments)
    for kind, arguments in [
        ("RSA", {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}),
        ("origin", {"Origin": "EXTERNAL"}), ("policy", {"Policy": "{}"}),
    ]:
        case(f"UnsupportedOperationException: {kind}", kms, "create_key", "UnsupportedOperationException", **arguments)
    case("UnknownOperationException", kms, "get_key_rotation_status", "UnknownOperationException", KeyId=key)

    constraint = "1 validation error detected: .* failed to satisfy constraint: Member must "
    for kind, operation, arguments, message in [
        ("no plaintext byte", "encrypt", {"KeyId": key, "Plaintext": b""}, constraint + "have length greater"),
        ("4097 plaintext bytes", "encrypt", {"KeyId": key, "Plaintext": bytes(4097)}, constraint + "have length less"),
        ("no KeyId", "encrypt", {"Plaintext": b"x"}, constraint + "not be null"),
        ("long KeyId", "describe_key", {"KeyId": "x" * 2049}, constraint + "have length less"),
        ("6145 blob bytes", "decrypt", {"CiphertextBlob": bytes(6145)}, constraint + "have length less"),
        ("0 data key bytes", "generate_data_key", {"KeyId": key, "NumberOfBytes": 0}, constraint + "have value greater"),
        ("1025 data key bytes", "generate_data_key", {"KeyId": key, "NumberOfBytes": 1025}, constraint + "have value less"),
        ("KeySpec", "generate_data_key", {"KeyId": key, "KeySpec": "AES_512"}, constraint + "satisfy enum value set"),
        ("neither KeySpec nor NumberOfBytes", "generate_data_key", {"KeyId": key}, "either number of bytes or key spec"),
        ("KeySpec and NumberOfBytes", "generate_data_key", {"KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 32},
         "either number of bytes or key spec"),
        ("0 random bytes", "generate_random", {"NumberOfBytes": 0}, constraint + "have value greater"),
        ("1025 random bytes", "generate_random", {"NumberOfBytes": 1025}, constraint + "have value less"),
        ("no NumberOfBytes", "generate_random", {}, "NumberOfBytes is required"),
        ("alias characters", "create_alias", {"AliasName": "alias/a b", "TargetKeyId": key}, "regular expression"),
        ("alias length", "create_alias", {"AliasName": "alias/" + "x" * 251, "TargetKeyId": key}, "have length less"),
        ("alias prefix", "create_alias", {"AliasName": "nope", "TargetKeyId": key}, "Invalid identifier"),
        ("alias of an alias", "create_alias", {"AliasName": "alias/b", "TargetKeyId": alias}, "must refer to keys"),
        ("window of 6 days", "schedule_key_deletion", {"KeyId": key, "PendingWindowInDays": 6}, "have value greater"),
        ("window of 31 days", "schedule_key_deletion", {"KeyId": key, "PendingWindowInDays": 31}, "have value less"),
        ("ListKeys limit", "list_keys", {"Limit": 1001}, constraint + "have value less"),
        ("ListAliases limit", "list_aliases", {"Limit": 101}, constraint + "have value less"),
        ("KeyUsage", "create_key", {"KeyUsage": "SIGN_VERIFY"}, "not compatible with KeySpec"),
        ("context of 8193 bytes", "encrypt",
         {"KeyId": key, "Plaintext": b"x", "EncryptionContext": {"n": "v" * 8192}}, "at most 8192 bytes"),
        ("11 grant tokens", "describe_key", {"KeyId": key, "GrantTokens": ["t"] * 11}, constraint + "have length less"),
    ]:
        case(f"ValidationException: {kind}", raw, operation, "ValidationException", message, **arguments)
