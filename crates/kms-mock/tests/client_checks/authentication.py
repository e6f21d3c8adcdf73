"""Who signs, and how: with boto3, and with requests that are made by hand."""

import datetime
import json
import re
import ssl
import unittest.mock
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from .common import client, equal, expect, fails


def run(options, checks, keys):
    """Runs the cases; the keys are those of the good paths."""
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
