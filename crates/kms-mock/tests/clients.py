#!/usr/bin/env python3
"""Compares the key server with what boto3's KMS client and the AWS command line expect of AWS KMS.

Every row of the printed table is one case: what was asked, and what each client made of the answer. A case passes when
the client parses the response into the members that its own service model declares for the operation, with the values
expected here, or raises the exception class and HTTP status that AWS answers with.

The server must be freshly started, with one principal that may do everything and one that may only call Decrypt:

    clients.py --endpoint URL --access-key-id ID --limited-access-key-id ID [--region us-east-1] [--ca-bundle FILE]
               [--aws PATH] [--moto URL]

The secrets come from KMS_SECRET_ACCESS_KEY and KMS_LIMITED_SECRET_ACCESS_KEY. With --moto the same calls go to a moto
server as well, and the members of both responses are compared. Needs boto3 and awscli (tried: 1.44.5 and 1.46.3).
"""

import argparse
import base64
import datetime
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import unittest.mock
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions

MISSING_ID = "00000000-0000-4000-8000-000000000000"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MATERIAL = re.compile(r"[0-9a-f]{64}")

# Members that the service model declares and that only other kinds of keys or requests have.
ABSENT = {
    "KeyMetadata": {
        "CloudHsmClusterId", "CustomKeyStoreId", "EncapsulationAlgorithms", "ExpirationModel", "KeyAgreementAlgorithms",
        "MacAlgorithms", "MultiRegionConfiguration", "PendingDeletionWindowInDays", "SigningAlgorithms", "ValidTo",
        "XksKeyConfiguration", "DeletionDate",
    },
    "response": {"CiphertextForRecipient", "NextMarker"},
}


class Checks:
    """Runs cases and remembers how they ended."""

    def __init__(self):
        self.rows = []

    def case(self, subject, client, check):
        try:
            detail, passed = check() or "as expected", True
        except Exception as error:  # noqa: BLE001: whatever goes wrong is the result of the case
            detail, passed = f"{type(error).__name__}: {error}", False
        self.rows.append((subject, client, passed, detail))

    def report(self):
        width = max(len(row[0]) for row in self.rows)
        for subject, client, passed, detail in self.rows:
            print(f"{'ok  ' if passed else 'FAIL'}  {subject:<{width}}  {client:<5}  {detail}")
        failed = sum(not row[2] for row in self.rows)
        print(f"\n{len(self.rows)} cases, {failed} failed")
        return 1 if failed else 0


def expect(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(actual, expected, what="value"):
    expect(actual == expected, f"{what} is {actual!r}, expected {expected!r}")


def client(options, access_key, secret, validate=True, region=None, endpoint=None, token=None):
    return boto3.session.Session().client(
        "kms",
        endpoint_url=endpoint or options.endpoint,
        region_name=region or options.region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        verify=options.ca_bundle,
        config=botocore.config.Config(parameter_validation=validate, retries={"total_max_attempts": 1}),
    )


def check_shape(kms, operation, response):
    """The response has the members that the model declares, neither more (raw) nor fewer."""
    shape = kms.meta.service_model.operation_model(operation).output_shape
    declared = set(shape.members) if shape else set()
    found = set(response) - {"ResponseMetadata"}
    equal(found - declared, set(), "undeclared members")
    equal(declared - found - ABSENT["response"], set(), "missing members")
    metadata = response["ResponseMetadata"]
    equal(metadata["HTTPStatusCode"], 200, "HTTP status")
    expect(UUID.fullmatch(metadata["RequestId"]), f"request id {metadata['RequestId']!r}")
    equal(metadata["HTTPHeaders"]["content-type"], "application/x-amz-json-1.1", "content type")


def check_metadata(kms, metadata, arn, state="Enabled"):
    declared = set(kms.meta.service_model.shape_for("KeyMetadata").members)
    absent = ABSENT["KeyMetadata"] - ({"DeletionDate"} if state == "PendingDeletion" else set())
    equal(set(metadata), declared - absent, "members of KeyMetadata")
    equal(metadata["Arn"], arn, "ARN")
    equal(arn.rsplit("/", 1)[1], metadata["KeyId"], "key id")
    equal(metadata["KeyState"], state, "state")
    equal(metadata["Enabled"], state == "Enabled", "Enabled")
    expect(MATERIAL.fullmatch(metadata["CurrentKeyMaterialId"]), "key material id")
    age = datetime.datetime.now(datetime.timezone.utc) - metadata["CreationDate"]
    expect(abs(age) < datetime.timedelta(minutes=10), f"creation date {metadata['CreationDate']}")


def fails(kms, operation, code, message=None, status=400, **arguments):
    """The call raises the exception class of the code (if the model has one), with AWS's status and a message."""
    try:
        getattr(kms, operation)(**arguments)
    except botocore.exceptions.ClientError as error:
        equal(error.response["Error"]["Code"], code, "error code")
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], status, "HTTP status")
        expect(UUID.fullmatch(error.response["ResponseMetadata"]["RequestId"]), "request id")
        modelled = code in kms.meta.service_model.shape_names
        equal(type(error).__name__, code if modelled else "ClientError", "exception class")
        text = error.response["Error"]["Message"]
        if message is not None:
            expect(re.search(message, text), f"message {text!r} does not match {message!r}")
        return f"{code}{' (modelled)' if modelled else ''}"
    raise AssertionError(f"succeeded, expected {code}")


def boto3_operations(options, checks, kms):
    """Each operation on its good path. Answers two enabled keys and a blob for the cases that follow."""
    state = {}

    def good(operation, method, check=lambda response: None, **arguments):
        def run():
            response = getattr(kms, method)(**arguments)
            check_shape(kms, operation, response)
            check(response)
            state[method] = response
        return run

    def created(response):
        check_metadata(kms, response["KeyMetadata"], response["KeyMetadata"]["Arn"])
        equal(response["KeyMetadata"]["Description"], "clients.py", "description")

    checks.case("CreateKey", "boto3", good("CreateKey", "create_key", created, Description="clients.py",
                                           Tags=[{"TagKey": "team", "TagValue": "storage"}]))
    first = state["create_key"]["KeyMetadata"]
    second = kms.create_key()["KeyMetadata"]
    alias = "alias/clients/" + first["KeyId"]
    account = first["AWSAccountId"]
    alias_arn = f"arn:aws:kms:{options.region}:{account}:{alias}"
    checks.case("CreateAlias", "boto3", good("CreateAlias", "create_alias", AliasName=alias, TargetKeyId=first["KeyId"]))
    checks.case("CreateAlias of a key ARN", "boto3",
                good("CreateAlias", "create_alias", AliasName=alias + "/2", TargetKeyId=first["Arn"]))
    for kind, name in [("id", first["KeyId"]), ("ARN", first["Arn"]), ("alias", alias), ("alias ARN", alias_arn)]:
        checks.case(f"DescribeKey by {kind}", "boto3", good(
            "DescribeKey", "describe_key", lambda r: check_metadata(kms, r["KeyMetadata"], first["Arn"]), KeyId=name))

    def data_key(length):
        def check(response):
            equal(response["KeyId"], first["Arn"], "KeyId")
            equal(response["KeyMaterialId"], first["CurrentKeyMaterialId"], "KeyMaterialId")
            equal(len(response["CiphertextBlob"]), 152 + length, "length of the blob")
            if "Plaintext" in response:
                equal(len(response["Plaintext"]), length, "length of the key")
        return check

    context = {"Bucket": "b", "übung": "Größe", "empty": ""}
    for kind, name in [("id", first["KeyId"]), ("ARN", first["Arn"]), ("alias", alias), ("alias ARN", alias_arn)]:
        checks.case(f"GenerateDataKey by {kind}", "boto3", good(
            "GenerateDataKey", "generate_data_key", data_key(32), KeyId=name, KeySpec="AES_256",
            EncryptionContext=context))
    checks.case("GenerateDataKey AES_128", "boto3", good(
        "GenerateDataKey", "generate_data_key", data_key(16), KeyId=alias, KeySpec="AES_128"))
    checks.case("GenerateDataKey NumberOfBytes", "boto3", good(
        "GenerateDataKey", "generate_data_key", data_key(1024), KeyId=alias, NumberOfBytes=1024))
    checks.case("GenerateDataKey: blob opens to the key", "boto3", lambda: equal(
        kms.decrypt(CiphertextBlob=state["generate_data_key"]["CiphertextBlob"])["Plaintext"],
        state["generate_data_key"]["Plaintext"], "plaintext"))
    checks.case("GenerateDataKeyWithoutPlaintext", "boto3", good(
        "GenerateDataKeyWithoutPlaintext", "generate_data_key_without_plaintext", data_key(32), KeyId=alias,
        KeySpec="AES_256", EncryptionContext=context))
    checks.case("GenerateRandom", "boto3", good(
        "GenerateRandom", "generate_random", lambda r: equal(len(r["Plaintext"]), 24, "length"), NumberOfBytes=24))
    for length in (1, 4096):
        checks.case(f"Encrypt {length} bytes", "boto3", good(
            "Encrypt", "encrypt", lambda r: equal(r["KeyId"], first["Arn"], "KeyId"), KeyId=alias,
            Plaintext=b"p" * length, EncryptionContext=context))
    blob = state["encrypt"]["CiphertextBlob"]

    def decrypted(response):
        equal(response["Plaintext"], b"p" * 4096, "plaintext")
        equal(response["KeyId"], first["Arn"], "KeyId")
        equal(response["KeyMaterialId"], first["CurrentKeyMaterialId"], "KeyMaterialId")
        equal(response["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT", "algorithm")

    reordered = dict(reversed(context.items()))
    checks.case("Decrypt without KeyId", "boto3", good(
        "Decrypt", "decrypt", decrypted, CiphertextBlob=blob, EncryptionContext=reordered))
    for kind, name in [("id", first["KeyId"]), ("ARN", first["Arn"]), ("alias", alias), ("alias ARN", alias_arn)]:
        checks.case(f"Decrypt by {kind}", "boto3", good(
            "Decrypt", "decrypt", decrypted, CiphertextBlob=blob, EncryptionContext=context, KeyId=name))

    def re_encrypted(response):
        equal((response["SourceKeyId"], response["KeyId"]), (first["Arn"], second["Arn"]), "key ids")
        equal(response["DestinationKeyMaterialId"], second["CurrentKeyMaterialId"], "DestinationKeyMaterialId")
        equal(response["SourceKeyMaterialId"], first["CurrentKeyMaterialId"], "SourceKeyMaterialId")
        opened = kms.decrypt(CiphertextBlob=response["CiphertextBlob"], KeyId=second["KeyId"],
                             EncryptionContext={"new": "context"})
        equal(opened["Plaintext"], b"p" * 4096, "plaintext")

    checks.case("ReEncrypt", "boto3", good(
        "ReEncrypt", "re_encrypt", re_encrypted, CiphertextBlob=blob, SourceEncryptionContext=context,
        SourceKeyId=alias, DestinationKeyId=second["Arn"], DestinationEncryptionContext={"new": "context"}))

    third = kms.create_key()["KeyMetadata"]

    def state_is(expected):
        metadata = kms.describe_key(KeyId=third["KeyId"])["KeyMetadata"]
        check_metadata(kms, metadata, third["Arn"], expected)

    checks.case("DisableKey", "boto3", good("DisableKey", "disable_key", lambda _: state_is("Disabled"),
                                            KeyId=third["KeyId"]))
    checks.case("EnableKey", "boto3", good("EnableKey", "enable_key", lambda _: state_is("Enabled"), KeyId=third["Arn"]))

    def scheduled(response):
        equal(response["KeyId"], third["Arn"], "KeyId")
        equal((response["KeyState"], response["PendingWindowInDays"]), ("PendingDeletion", 7), "state and window")
        days = (response["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)) / datetime.timedelta(days=1)
        expect(6.99 < days < 7.01, f"deletion in {days} days")
        state_is("PendingDeletion")

    def cancelled(response):
        equal(response["KeyId"], third["Arn"], "KeyId")
        state_is("Disabled")

    checks.case("ScheduleKeyDeletion", "boto3", good(
        "ScheduleKeyDeletion", "schedule_key_deletion", scheduled, KeyId=third["KeyId"], PendingWindowInDays=7))
    checks.case("CancelKeyDeletion", "boto3", good(
        "CancelKeyDeletion", "cancel_key_deletion", cancelled, KeyId=third["KeyId"]))

    def listed():
        pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}))
        ids = [key["KeyId"] for page in pages for key in page["Keys"]]
        expect({first["KeyId"], second["KeyId"], third["KeyId"]} <= set(ids), "the keys are listed")
        equal(len(ids), len(set(ids)), "keys listed once")
        equal([page["Truncated"] for page in pages], [True] * (len(pages) - 1) + [False], "Truncated")
        whole = kms.list_keys()
        check_shape(kms, "ListKeys", whole)
        equal([key["KeyId"] for key in whole["Keys"]], ids, "one page")
        equal(whole["Keys"][0]["KeyArn"].rsplit("/", 1)[1], ids[0], "ARN")

    def aliases_listed():
        pages = list(kms.get_paginator("list_aliases").paginate(KeyId=first["KeyId"], PaginationConfig={"PageSize": 1}))
        entries = [entry for page in pages for entry in page["Aliases"]]
        equal([entry["AliasName"] for entry in entries], [alias, alias + "/2"], "aliases")
        equal(set(entries[0]), set(kms.meta.service_model.shape_for("AliasListEntry").members), "members")
        equal((entries[0]["AliasArn"], entries[0]["TargetKeyId"]), (alias_arn, first["KeyId"]), "entry")
        check_shape(kms, "ListAliases", kms.list_aliases())
        equal(kms.list_aliases(KeyId=second["Arn"])["Aliases"], [], "aliases of the second key")

    checks.case("ListKeys, pages", "boto3", listed)
    checks.case("ListAliases, pages", "boto3", aliases_listed)
    return first, second, blob, context, alias


def boto3_errors(options, checks, kms, keys):
    """Each error code, by the exception class that boto3 makes of it."""
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
    for operation in ("enable_key", "disable_key", "schedule_key_deletion"):
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
        ("RSA", {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}), ("multi-Region", {"MultiRegion": True}),
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


def authentication(options, checks, keys):
    """Who signs, and how; the last ones with requests that are made by hand."""
    first, second, blob, context, _ = keys

    def case(subject, kms, code, message=None, operation="list_keys", **arguments):
        checks.case(subject, "boto3", lambda: fails(kms, operation, code, message, 400, **arguments))

    wrong = client(options, options.access_key_id, "not the secret of anyone")
    case("InvalidSignatureException: secret", wrong, "InvalidSignatureException", "signature we calculated does not match")
    case("UnrecognizedClientException", client(options, "AKIANOBODY", options.secret), "UnrecognizedClientException",
         "^The security token included in the request is invalid.$")
    case("UnrecognizedClientException: session token",
         client(options, options.access_key_id, options.secret, token="token"), "UnrecognizedClientException")
    case("InvalidSignatureException: region", client(options, options.access_key_id, options.secret, region="ap-south-1"),
         "InvalidSignatureException", "valid region")
    limited = client(options, options.limited_access_key_id, options.limited_secret)
    case("AccessDeniedException: Encrypt", limited, "AccessDeniedException",
         r"^User: arn:aws:iam::\d{12}:user/\S+ is not authorized to perform: kms:Encrypt on resource: "
         + re.escape(first["Arn"]) + " because no identity-based policy allows the kms:Encrypt action$",
         operation="encrypt", KeyId=first["Arn"], Plaintext=b"x")
    case("AccessDeniedException: ListKeys", limited, "AccessDeniedException", "kms:ListKeys on resource: ")
    checks.case("limited principal: Decrypt", "boto3", lambda: equal(
        limited.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"], b"p" * 4096, "plaintext"))

    def sent(code, shift=0, method="POST", path="/", change=lambda headers: None, body=b"{}", message=""):
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.ListKeys"}
        request = botocore.awsrequest.AWSRequest(method, options.endpoint + path, headers, body)
        credentials = botocore.credentials.Credentials(options.access_key_id, options.secret)
        signer = botocore.auth.SigV4Auth(credentials, "kms", options.region)
        when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=shift)
        with unittest.mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: when.replace(tzinfo=None)):
            signer.add_auth(request)
        headers = dict(request.headers.items())
        change(headers)
        prepared = urllib.request.Request(options.endpoint + path, data=body, headers=headers, method=method)
        context = ssl.create_default_context(cafile=options.ca_bundle) if options.ca_bundle else None
        try:
            with urllib.request.urlopen(prepared, context=context) as response:
                found, text = "success", response.read().decode()
        except urllib.error.HTTPError as error:
            answer = json.loads(error.read())
            found, text = answer["__type"], answer.get("message", "")
            expect(error.headers["x-amzn-RequestId"], "request id")
        equal(found, code, "answer")
        expect(re.search(message, text), f"message {text!r} does not match {message!r}")
        return found

    def without(name):
        return lambda headers: headers.pop(name)

    def replaced(name, old, new):
        def change(headers):
            expect(old in headers[name], f"{old!r} is not in {headers[name]!r}")
            headers[name] = headers[name].replace(old, new)
        return change

    for subject, arguments in [
        ("control: a request made by hand succeeds", {"code": "success"}),
        ("control: 14 minutes late", {"code": "success", "shift": -14}),
        ("control: 14 minutes early", {"code": "success", "shift": 14}),
        ("InvalidSignatureException: 16 minutes late",
         {"code": "InvalidSignatureException", "shift": -16, "message": "^Signature expired: .* is now earlier than"}),
        ("InvalidSignatureException: 16 minutes early",
         {"code": "InvalidSignatureException", "shift": 16, "message": "^Signature not yet current: .* is still later"}),
        ("MissingAuthenticationTokenException",
         {"code": "MissingAuthenticationTokenException", "change": without("Authorization"),
          "message": "^Missing Authentication Token$"}),
        ("IncompleteSignatureException: no date",
         {"code": "IncompleteSignatureException", "change": without("X-Amz-Date"), "message": "X-Amz-Date"}),
        ("IncompleteSignatureException: no Signature",
         {"code": "IncompleteSignatureException", "change": replaced("Authorization", "Signature=", "Sig=")}),
        ("InvalidSignatureException: changed target",
         {"code": "InvalidSignatureException", "change": replaced("X-Amz-Target", "ListKeys", "CreateKey")}),
        ("InvalidSignatureException: service",
         {"code": "InvalidSignatureException", "change": replaced("Authorization", "/kms/", "/s3/"),
          "message": "correct service: 'kms'"}),
        ("SerializationException: no JSON", {"code": "SerializationException", "body": b"{"}),
        ("SerializationException: wrong type", {"code": "SerializationException", "body": b'{"Limit": "1"}'}),
        ("UnknownOperationException: GET", {"code": "UnknownOperationException", "method": "GET"}),
        ("UnknownOperationException: path", {"code": "UnknownOperationException", "path": "/keys"}),
        ("RequestEntityTooLargeException", {"code": "RequestEntityTooLargeException", "body": bytes((1 << 20) + 1)}),
    ]:
        checks.case(subject, "http", lambda arguments=arguments: sent(**arguments))


def aws_cli(options, checks, keys):
    """The same through the aws command line: what it prints on success, and the error line on failure."""
    first, second, _, _, alias = keys
    directory = tempfile.TemporaryDirectory()
    plaintext, sealed = (os.path.join(directory.name, name) for name in ("plaintext", "sealed"))
    with open(plaintext, "wb") as file:
        file.write(b"from the command line")

    def call(arguments, access_key=None, secret=None):
        environment = {
            **os.environ, "AWS_ACCESS_KEY_ID": access_key or options.access_key_id,
            "AWS_SECRET_ACCESS_KEY": secret or options.secret, "AWS_PAGER": "", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.path.join(directory.name, "none"), "AWS_MAX_ATTEMPTS": "1",
        }
        command = [options.aws, "kms", "--endpoint-url", options.endpoint, "--region", options.region, "--output", "json"]
        if options.ca_bundle:
            command += ["--ca-bundle", options.ca_bundle]
        return subprocess.run(command + arguments, env=environment, capture_output=True, text=True, timeout=60)

    def good(arguments, check=lambda answer: None):
        done = call(arguments)
        expect(done.returncode == 0, done.stderr.strip())
        check(json.loads(done.stdout) if done.stdout.strip() else None)

    def bad(arguments, code, message="", **credentials):
        done = call(arguments, **credentials)
        expect(done.returncode != 0, "the command succeeded")
        expect(f"An error occurred ({code})" in done.stderr, done.stderr.strip())
        expect(re.search(message, done.stderr), f"{done.stderr.strip()!r} does not match {message!r}")
        return code

    def case(subject, *arguments):
        checks.case(subject, "cli", lambda: good(*arguments))

    def error(code, arguments, message="", **credentials):
        checks.case(f"{code}: {arguments[0]}", "cli", lambda: bad(arguments, code, message, **credentials))

    made = {}
    case("CreateKey", ["create-key", "--description", "cli"], lambda a: made.update(a["KeyMetadata"]))
    key = made.get("KeyId", MISSING_ID)
    case("CreateAlias", ["create-alias", "--alias-name", "alias/cli/" + key, "--target-key-id", key],
         lambda a: equal(a, None, "output"))
    case("DescribeKey", ["describe-key", "--key-id", "alias/cli/" + key],
         lambda a: equal(a["KeyMetadata"]["Arn"], made["Arn"], "ARN"))
    case("ListKeys", ["list-keys", "--page-size", "1"],
         lambda a: expect(key in [k["KeyId"] for k in a["Keys"]], "the key is listed"))
    case("ListKeys, --max-items", ["list-keys", "--max-items", "1"], lambda a: equal(len(a["Keys"]), 1, "keys"))
    case("ListAliases", ["list-aliases", "--key-id", key],
         lambda a: equal([e["AliasName"] for e in a["Aliases"]], ["alias/cli/" + key], "aliases"))

    def encrypted(answer):
        with open(sealed, "wb") as file:
            file.write(base64.b64decode(answer["CiphertextBlob"], validate=True))
        equal(answer["KeyId"], made["Arn"], "KeyId")

    case("Encrypt", ["encrypt", "--key-id", key, "--plaintext", "fileb://" + plaintext, "--encryption-context", "a=b,c=d"],
         encrypted)

    def opens(answer):
        equal(base64.b64decode(answer["Plaintext"]), b"from the command line", "plaintext")
        equal(answer["KeyMaterialId"], made["CurrentKeyMaterialId"], "KeyMaterialId")

    case("Decrypt", ["decrypt", "--ciphertext-blob", "fileb://" + sealed, "--encryption-context", "c=d,a=b"], opens)
    case("ReEncrypt", ["re-encrypt", "--ciphertext-blob", "fileb://" + sealed, "--source-encryption-context", "a=b,c=d",
                       "--destination-key-id", first["Arn"]],
         lambda a: equal((a["SourceKeyId"], a["KeyId"]), (made["Arn"], first["Arn"]), "key ids"))
    case("GenerateDataKey", ["generate-data-key", "--key-id", alias, "--key-spec", "AES_256"],
         lambda a: equal((len(base64.b64decode(a["Plaintext"])), len(base64.b64decode(a["CiphertextBlob"]))), (32, 184)))
    case("GenerateDataKeyWithoutPlaintext",
         ["generate-data-key-without-plaintext", "--key-id", alias, "--number-of-bytes", "7"],
         lambda a: equal(set(a), {"CiphertextBlob", "KeyId", "KeyMaterialId"}, "members"))
    case("GenerateRandom", ["generate-random", "--number-of-bytes", "9"],
         lambda a: equal(len(base64.b64decode(a["Plaintext"])), 9, "length"))
    error("InvalidCiphertextException", ["decrypt", "--ciphertext-blob", "fileb://" + sealed])
    error("IncorrectKeyException", ["decrypt", "--ciphertext-blob", "fileb://" + sealed, "--encryption-context",
                                    "a=b,c=d", "--key-id", second["KeyId"]], "does not identify")
    error("DryRunOperationException", ["encrypt", "--dry-run", "--key-id", key, "--plaintext", "fileb://" + plaintext],
          "would have succeeded")
    error("ValidationException", ["generate-random", "--number-of-bytes", "1025"], "less than or equal to 1024")
    error("NotFoundException", ["describe-key", "--key-id", MISSING_ID], "does not exist")
    error("AlreadyExistsException", ["create-alias", "--alias-name", alias, "--target-key-id", key], "already exists")
    error("UnsupportedOperationException",
          ["create-key", "--key-spec", "ECC_NIST_P256", "--key-usage", "SIGN_VERIFY"], "does not offer")
    case("DisableKey", ["disable-key", "--key-id", key], lambda a: equal(a, None, "output"))
    error("DisabledException", ["generate-data-key", "--key-id", key, "--key-spec", "AES_256"], "is disabled")
    case("EnableKey", ["enable-key", "--key-id", key], lambda a: equal(a, None, "output"))
    case("ScheduleKeyDeletion", ["schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7"],
         lambda a: equal((a["KeyId"], a["KeyState"]), (made["Arn"], "PendingDeletion")))
    error("KMSInvalidStateException", ["enable-key", "--key-id", key], "pending deletion")
    case("CancelKeyDeletion", ["cancel-key-deletion", "--key-id", key], lambda a: equal(a["KeyId"], made["Arn"], "KeyId"))
    error("InvalidSignatureException", ["list-keys"], "does not match", secret="not the secret of anyone")
    error("UnrecognizedClientException", ["list-keys"], "security token", access_key="AKIANOBODY")
    error("AccessDeniedException", ["list-keys"], "kms:ListKeys", access_key=options.limited_access_key_id,
          secret=options.limited_secret)


def moto(options, checks, kms):
    """The members of good responses are those of moto, another implementation; the server may have newer ones."""
    other = client(options, "test", "test-secret", endpoint=options.moto)
    newer = {"KeyMaterialId", "CurrentKeyMaterialId", "SourceKeyMaterialId", "DestinationKeyMaterialId", "NextMarker"}

    def members(value):
        return set(value) - {"ResponseMetadata"} if isinstance(value, dict) else set()

    def both(operation, arguments, part=lambda response: response):
        def run():
            ours, theirs = (part(getattr(c, operation)(**arguments(c))) for c in (kms, other))
            equal(members(theirs) - members(ours), set(), "members that only moto has")
            equal(members(ours) - members(theirs) - newer, set(), "members that only this server has")
        return run

    ids = {c: c.create_key()["KeyMetadata"]["KeyId"] for c in (kms, other)}
    blobs = {c: c.encrypt(KeyId=ids[c], Plaintext=b"x")["CiphertextBlob"] for c in ids}
    key = lambda c: {"KeyId": ids[c]}  # noqa: E731
    metadata = lambda response: response["KeyMetadata"]  # noqa: E731
    for operation, arguments, part in [
        ("create_key", lambda c: {}, metadata), ("describe_key", key, metadata),
        ("generate_data_key", lambda c: {**key(c), "KeySpec": "AES_256"}, dict),
        ("generate_data_key_without_plaintext", lambda c: {**key(c), "KeySpec": "AES_256"}, dict),
        ("generate_random", lambda c: {"NumberOfBytes": 3}, dict),
        ("encrypt", lambda c: {**key(c), "Plaintext": b"x"}, dict), ("decrypt", lambda c: {"CiphertextBlob": blobs[c]}, dict),
        ("re_encrypt", lambda c: {"CiphertextBlob": blobs[c], "DestinationKeyId": ids[c]}, dict),
        ("disable_key", key, dict), ("enable_key", key, dict), ("list_keys", lambda c: {}, dict),
        ("list_aliases", lambda c: {}, dict),
    ]:
        checks.case(operation, "moto", both(operation, arguments, part))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--access-key-id", required=True)
    parser.add_argument("--limited-access-key-id", required=True)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--ca-bundle")
    parser.add_argument("--aws", default=None, help="the aws program; unless given, the one beside this Python, or of PATH")
    parser.add_argument("--moto", help="endpoint of a moto server to compare with")
    options = parser.parse_args()
    beside = os.path.join(os.path.dirname(sys.executable), "aws")
    options.aws = options.aws or (beside if os.path.exists(beside) else shutil.which("aws"))
    if not options.aws:
        sys.exit("the aws command line is missing: pip install awscli==1.46.3, or give --aws PATH")
    try:
        options.secret = os.environ["KMS_SECRET_ACCESS_KEY"]
        options.limited_secret = os.environ["KMS_LIMITED_SECRET_ACCESS_KEY"]
    except KeyError as missing:
        sys.exit(f"the environment variable {missing} is not set")

    checks = Checks()
    kms = client(options, options.access_key_id, options.secret)
    keys = boto3_operations(options, checks, kms)
    boto3_errors(options, checks, kms, keys)
    authentication(options, checks, keys)
    aws_cli(options, checks, keys)
    if options.moto:
        moto(options, checks, kms)
    sys.exit(checks.report())


if __name__ == "__main__":
    main()
