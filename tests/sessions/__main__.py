"""Short-lived credentials as boto3 gets and uses them: python -m sessions STS_URL S3_URL BUCKET ROLE_ARN.

STS_URL and S3_URL are two gateways of one deployment, which share nothing but their configuration. Prints "done" at the end.
"""

import os
import sys
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1024 * 1024


def client_of(session, url):
    return session.client(
        "s3",
        endpoint_url=url,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


def code_of(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def session_of(credentials):
    return boto3.session.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def main(sts_url, s3_url, bucket, role_arn):
    sts = boto3.client("sts", endpoint_url=sts_url)
    assert sts.get_caller_identity()["Arn"].endswith(":user/client")

    # A session with one's own rights, used at another replica: single objects, parts, and signed chunks.
    own = sts.get_session_token(DurationSeconds=900)["Credentials"]
    s3 = client_of(session_of(own), s3_url)
    s3.put_object(Bucket=bucket, Key="sessions/one", Body=b"one")
    assert s3.get_object(Bucket=bucket, Key="sessions/one")["Body"].read() == b"one"
    content = os.urandom(6 * MIB)
    path = os.path.join(os.environ["SESSIONS_DIRECTORY"], "parts")
    with open(path, "wb") as file:
        file.write(content)
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(path, bucket, "sessions/parts", Config=parts)
    assert s3.get_object(Bucket=bucket, Key="sessions/parts")["Body"].read() == content

    # A URL with the token in its query.
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "sessions/one"}, 60)
    assert "X-Amz-Security-Token=" in url
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"one"
    for other in (url.replace("Security-Token=", "Security-Token=A"), url.replace("sessions/one", "sessions/parts")):
        try:
            urllib.request.urlopen(other)
            raise AssertionError("a changed URL was taken")
        except urllib.error.HTTPError as error:
            assert error.code in (400, 403), error

    # A browser's form, whose policy a session signed.
    form = s3.generate_presigned_post(bucket, "sessions/form")
    assert form["fields"]["x-amz-security-token"] == own["SessionToken"]
    boundary = "sealgate-test-boundary"
    fields = [*form["fields"].items(), ("file", "of a form")]
    body = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    )
    request = urllib.request.Request(
        form["url"],
        data=(body + f"--{boundary}--\r\n").encode(),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 204, answer.status
    assert s3.get_object(Bucket=bucket, Key="sessions/form")["Body"].read() == b"of a form"

    # A session cannot be made of a session, but a role can be assumed by one.
    sts_of_session = session_of(own).client("sts", endpoint_url=s3_url)
    assert code_of(sts_of_session.get_session_token) == "AccessDenied"
    assumed = sts_of_session.assume_role(RoleArn=role_arn, RoleSessionName="boto3-run")
    assert assumed["AssumedRoleUser"]["Arn"].endswith(":assumed-role/nightly/boto3-run")
    assert assumed["Credentials"]["Expiration"] <= own["Expiration"], "it outlives the session that it comes from"

    # The role's rights, and no others.
    role = session_of(assumed["Credentials"])
    s3 = client_of(role, sts_url)
    assert s3.get_object(Bucket=bucket, Key="sessions/one")["Body"].read() == b"one"
    assert code_of(s3.put_object, Bucket=bucket, Key="sessions/two", Body=b"two") == "AccessDenied"
    sts_of_role = role.client("sts", endpoint_url=sts_url)
    assert sts_of_role.get_caller_identity()["Arn"] == assumed["AssumedRoleUser"]["Arn"]
    assert code_of(sts_of_role.assume_role, RoleArn=role_arn, RoleSessionName="again") == "AccessDenied"

    # What is asked for in vain, in the words of STS.
    ask = {"RoleArn": role_arn, "RoleSessionName": "run"}
    assert code_of(sts.assume_role, **{**ask, "RoleArn": role_arn + "x"}) == "AccessDenied"
    assert code_of(sts.assume_role, **ask, Policy='{"Version":"2012-10-17"}') == "ValidationError"
    assert code_of(sts.assume_role, **ask, DurationSeconds=43200) == "ValidationError"
    assert code_of(sts.assume_role_with_web_identity, **ask, WebIdentityToken="nobody") == "AccessDenied"
    assert code_of(sts.decode_authorization_message, EncodedMessage="x") == "InvalidAction"
    for id, secret, code in (("SGNOBODY", "x" * 40, "InvalidClientTokenId"), ("SGCLIENT", "x" * 40, "SignatureDoesNotMatch")):
        wrong = boto3.client("sts", endpoint_url=sts_url, aws_access_key_id=id, aws_secret_access_key=secret)
        assert code_of(wrong.get_session_token) == code, id
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
