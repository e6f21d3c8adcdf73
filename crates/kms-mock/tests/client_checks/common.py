"""What all cases share: the table, clients, and checks of responses and errors."""

import datetime
import re

import boto3
import botocore.config
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
