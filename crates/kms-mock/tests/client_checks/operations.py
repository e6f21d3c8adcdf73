"""Each operation on its good path, through boto3."""

import datetime

from .common import check_metadata, check_shape, equal, expect


def run(options, checks, kms):
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

    rotated = kms.create_key()["KeyMetadata"]
    earlier = kms.encrypt(KeyId=rotated["KeyId"], Plaintext=b"before")["CiphertextBlob"]
    for name in (rotated["KeyId"], rotated["Arn"]):
        checks.case("RotateKeyOnDemand by " + ("ARN" if ":" in name else "id"), "boto3", good(
            "RotateKeyOnDemand", "rotate_key_on_demand", lambda r: equal(r["KeyId"], rotated["KeyId"], "KeyId"),
            KeyId=name))

    def rotation_kept_the_past():
        opened = kms.decrypt(CiphertextBlob=earlier)
        equal(opened["Plaintext"], b"before", "plaintext")
        equal(opened["KeyMaterialId"], rotated["CurrentKeyMaterialId"], "KeyMaterialId")
        now = kms.describe_key(KeyId=rotated["KeyId"])["KeyMetadata"]["CurrentKeyMaterialId"]
        expect(now != rotated["CurrentKeyMaterialId"], "the key has new material")
        moved = kms.re_encrypt(CiphertextBlob=earlier, DestinationKeyId=rotated["KeyId"])
        equal((moved["SourceKeyMaterialId"], moved["DestinationKeyMaterialId"]),
              (rotated["CurrentKeyMaterialId"], now), "material ids of ReEncrypt")

    def rotations_listed():
        pages = list(kms.get_paginator("list_key_rotations").paginate(
            KeyId=rotated["Arn"], PaginationConfig={"PageSize": 1}))
        entries = [entry for page in pages for entry in page["Rotations"]]
        equal(len(entries), 2, "rotations")
        equal([entry["KeyMaterialState"] for entry in entries], ["NON_CURRENT", "CURRENT"], "states")
        declared = set(kms.meta.service_model.shape_for("RotationsListEntry").members)
        # Members of imported material.
        imported = {"ExpirationModel", "ImportState", "KeyMaterialDescription", "ValidTo"}
        equal(set(entries[0]), declared - imported, "members")
        equal((entries[1]["KeyId"], entries[1]["RotationType"]), (rotated["KeyId"], "ON_DEMAND"), "entry")
        check_shape(kms, "ListKeyRotations", kms.list_key_rotations(KeyId=rotated["KeyId"]))
        every = kms.list_key_rotations(KeyId=rotated["KeyId"], IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
        equal(len(every), 3, "materials")
        equal(every[0]["KeyMaterialId"], rotated["CurrentKeyMaterialId"], "first material")
        expect("RotationDate" not in every[0], "the first material has no rotation date")

    checks.case("Decrypt and ReEncrypt after a rotation", "boto3", rotation_kept_the_past)
    checks.case("ListKeyRotations, pages", "boto3", rotations_listed)
    kms.create_alias(AliasName=alias + "/gone", TargetKeyId=first["KeyId"])
    checks.case("DeleteAlias", "boto3", good("DeleteAlias", "delete_alias", AliasName=alias + "/gone"))
    checks.case("DeleteAlias: the key stays, the name is free", "boto3", lambda: (
        kms.describe_key(KeyId=first["KeyId"]), kms.create_alias(AliasName=alias + "/gone", TargetKeyId=first["KeyId"]),
        kms.delete_alias(AliasName=alias + "/gone"))[0] and None)
    checks.case("ListKeys, pages", "boto3", listed)
    checks.case("ListAliases, pages", "boto3", aliases_listed)

    def multi_region():
        key = kms.create_key(MultiRegion=True)["KeyMetadata"]
        expect(key["KeyId"].startswith("mrk-"), "the id begins with mrk-")
        configuration = key["MultiRegionConfiguration"]
        equal((configuration["MultiRegionKeyType"], configuration["PrimaryKey"]["Arn"], configuration["ReplicaKeys"]),
              ("PRIMARY", key["Arn"], []), "configuration")
        sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"sealed")["CiphertextBlob"]
        equal(kms.decrypt(CiphertextBlob=sealed, KeyId=key["Arn"])["Plaintext"], b"sealed", "plaintext")

    checks.case("CreateKey, multi-Region", "boto3", multi_region)
    return first, second, blob, context, alias
