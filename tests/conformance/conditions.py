"""Conditional requests."""

import datetime

from .suite import MIB, case, equal, pattern, refused, same_bytes, with_headers

PAST = datetime.datetime(2001, 2, 3, tzinfo=datetime.timezone.utc)


def _register():
    for kind, body in (("small", b"conditional"), ("large", pattern(6, 2 * MIB))):

        @case(f"condition: If-Match on a {kind} object")
        def if_match(target, kind=kind, body=body):
            tag = target.put(f"condition/{kind}", body)["ETag"]
            same_bytes(target.body(f"condition/{kind}", IfMatch=tag), body)
            same_bytes(target.body(f"condition/{kind}", IfMatch="*"), body)
            equal(target.head(f"condition/{kind}", IfMatch=tag)["ETag"], tag, "entity tag")
            for call in (target.get, target.head):
                refused(lambda call=call: call(f"condition/{kind}", IfMatch='"0123"'), 412)

        @case(f"condition: If-None-Match on a {kind} object")
        def if_none_match(target, kind=kind, body=body):
            tag = target.put(f"condition/{kind}", body)["ETag"]
            same_bytes(target.body(f"condition/{kind}", IfNoneMatch='"0123"'), body)
            for call in (target.get, target.head):
                refused(lambda call=call: call(f"condition/{kind}", IfNoneMatch=tag), 304)

        @case(f"condition: dates on a {kind} object")
        def dates(target, kind=kind, body=body):
            target.put(f"condition/{kind}", body)
            future = target.head(f"condition/{kind}")["LastModified"] + datetime.timedelta(days=1)
            now = target.head(f"condition/{kind}")["LastModified"]
            same_bytes(target.body(f"condition/{kind}", IfModifiedSince=PAST), body)
            same_bytes(target.body(f"condition/{kind}", IfUnmodifiedSince=future), body)
            same_bytes(target.body(f"condition/{kind}", IfUnmodifiedSince=now), body)
            for call in (target.get, target.head):
                refused(lambda call=call: call(f"condition/{kind}", IfModifiedSince=now), 304)
                refused(lambda call=call: call(f"condition/{kind}", IfUnmodifiedSince=PAST), 412)

        @case(f"condition: with a range on a {kind} object")
        def with_range(target, kind=kind, body=body):
            tag = target.put(f"condition/{kind}", body)["ETag"]
            same_bytes(target.body(f"condition/{kind}", IfMatch=tag, Range="bytes=3-6"), body[3:7])
            refused(lambda: target.get(f"condition/{kind}", IfMatch='"0123"', Range="bytes=3-6"), 412)
            refused(lambda: target.get(f"condition/{kind}", IfNoneMatch=tag, Range="bytes=3-6"), 304)

        @case(f"condition: If-Range on a {kind} object")
        def if_range(target, kind=kind, body=body):
            tag = target.put(f"condition/{kind}", body)["ETag"]
            for value, expected in ((tag, body[3:7]), ('"0123"', body)):
                client = with_headers(target.connect(), "GetObject", {"If-Range": value})
                answer = client.get_object(Bucket=target.bucket, Key=f"condition/{kind}", Range="bytes=3-6")
                same_bytes(answer["Body"].read(), expected, f"body with If-Range {value}")


_register()


@case("condition: tags take precedence over dates")
def precedence(target):
    tag = target.put("condition/precedence", b"x")["ETag"]
    equal(target.body("condition/precedence", IfMatch=tag, IfUnmodifiedSince=PAST), b"x", "body")


@case("rule 27: PUT If-None-Match * writes only what is not there")
def put_new(target):
    for body in (b"small", pattern(7, 2 * MIB)):
        key = f"condition/new-{len(body)}"
        target.put(key, body, IfNoneMatch="*")
        refused(lambda key=key: target.put(key, b"other", IfNoneMatch="*"), 412, "PreconditionFailed")
        refused(lambda key=key: target.put(key, bytes(2 * MIB), IfNoneMatch="*"), 412, "PreconditionFailed")
        same_bytes(target.body(key), body)


@case("condition: PUT If-Match writes only over that object")
def put_over(target):
    tag = target.put("condition/over", b"first")["ETag"]
    refused(lambda: target.put("condition/over", b"x", IfMatch='"0123"'), 412, "PreconditionFailed")
    equal(target.body("condition/over"), b"first", "body")
    target.put("condition/over", b"second", IfMatch=tag)
    equal(target.body("condition/over"), b"second", "body")
    refused(lambda: target.put("condition/over", b"third", IfMatch=tag), 412, "PreconditionFailed")


@case("rule 27: PUT If-Match where nothing is, is NoSuchKey")
def put_over_nothing(target):
    refused(lambda: target.put("condition/nothing", b"x", IfMatch='"0123"'), 404, "NoSuchKey")


@case("condition: refused bodies leave the connection in order")
def refused_bodies(target):
    # boto3 asks for `100 Continue` and keeps the body to itself when it is refused; the next request may use the same connection.
    target.put("condition/refused", b"first")
    for round_ in range(60):
        for body in (b"other", bytes(2 * MIB), b"x" * 70_000):
            refused(
                lambda body=body: target.put("condition/refused", body, IfNoneMatch="*"), 412, "PreconditionFailed"
            )
        if round_ % 10 == 0:
            equal(target.body("condition/refused"), b"first", "body")
