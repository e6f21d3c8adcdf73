"""The members of good responses, compared with moto, another implementation."""

from .common import client, equal


def run(options, checks, kms):
    """Runs the cases; the server may have members that moto lacks."""
    other = client(options, "test", "test-secret", endpoint=options.moto)
    # AWS answers with these for symmetric keys, by its API reference; moto does not.
    newer = {
        "CurrentKeyMaterialId", "DestinationEncryptionAlgorithm", "DestinationKeyMaterialId", "EncryptionAlgorithm",
        "KeyMaterialId", "KeyUsage", "MultiRegion", "NextMarker", "SourceEncryptionAlgorithm", "SourceKeyMaterialId",
    }
    # The API reference has this for keys of usage SIGN_VERIFY alone; moto answers an empty list.
    moto_only = {"SigningAlgorithms"}

    def members(value):
        return set(value) - {"ResponseMetadata"} if isinstance(value, dict) else set()

    def both(operation, arguments, part=lambda response: response):
        def run():
            ours, theirs = (part(getattr(c, operation)(**arguments(c))) for c in (kms, other))
            equal(members(theirs) - members(ours) - moto_only, set(), "members that only moto has")
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
        ("list_aliases", lambda c: {}, dict), ("rotate_key_on_demand", key, dict), ("list_key_rotations", key, dict),
    ]:
        checks.case(operation, "moto", both(operation, arguments, part))
