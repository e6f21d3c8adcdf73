"""The aws command line: what it prints on success, and its error line on failure."""

import base64
import json
import os
import re
import subprocess
import tempfile

from .common import MISSING_ID, equal, expect


def run(options, checks, keys):
    """Runs the cases; the keys are those of the good paths."""
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
    turned = {}
    case("CreateKey, to rotate", ["create-key"], lambda a: turned.update(a["KeyMetadata"]))
    rotated = turned.get("KeyId", MISSING_ID)
    case("RotateKeyOnDemand", ["rotate-key-on-demand", "--key-id", rotated],
         lambda a: equal(a["KeyId"], rotated, "key id"))
    case("ListKeyRotations", ["list-key-rotations", "--key-id", rotated],
         lambda a: equal(len(a["Rotations"]), 1, "rotations"))
    case("CreateAlias, another", ["create-alias", "--alias-name", "alias/cli/gone/" + key, "--target-key-id", key])
    case("DeleteAlias", ["delete-alias", "--alias-name", "alias/cli/gone/" + key], lambda a: equal(a, None, "output"))
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
