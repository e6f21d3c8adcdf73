"""Conditions together, in lists and in odd forms; on reads, on copies, and on every write."""

import datetime

from .suite import MIB, PART, case, equal, expect, pattern, refused, same_bytes

PAST = datetime.datetime(2001, 2, 3, tzinfo=datetime.timezone.utc)
OTHER = '"0123"'


def _http(date):
    return date.strftime("%a, %d %b %Y %H:%M:%S GMT")


def _client_with(target, headers):
    """One client for all cases, as making one is slow, which sends these headers until it is asked for again."""
    if not hasattr(target, "conditional"):
        target.condition_headers = {}
        target.conditional = target.connect()

        def add(request, **_):
            for name, value in target.condition_headers.items():
                request.headers[name] = value

        target.conditional.meta.events.register("before-sign.s3", add)
    target.condition_headers = headers
    return target.conditional


def _read(target, key, method, headers, **arguments):
    """The status of a conditional read, and the answer."""
    client = _client_with(target, headers)
    call = client.get_object if method == "GET" else client.head_object
    try:
        answer = call(Bucket=target.bucket, Key=key, **arguments)
    except client.exceptions.ClientError as error:
        answer = error.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer


def _check(target, key, table):
    """Every row: which headers, and the status that GET and HEAD must answer with."""
    tag = target.head(key)["ETag"]
    modified = target.head(key)["LastModified"]
    names = {
        "same": tag,
        "other": OTHER,
        "past": _http(PAST),
        "modified": _http(modified),
        "future": _http(modified + datetime.timedelta(days=1)),
    }
    fields = {"M": "If-Match", "N": "If-None-Match", "S": "If-Modified-Since", "U": "If-Unmodified-Since"}
    for row, status in table.items():
        headers = {}
        for word in row.split():
            field, _, value = word.partition("=")
            headers[fields[field]] = ", ".join(names.get(part, part) for part in value.split(","))
        for method in ("GET", "HEAD"):
            equal(_read(target, key, method, headers)[0], status, f"{method} with {row}")


def _register():
    for kind, body in {"small": b"conditional", "large": pattern(6, 2 * MIB)}.items():

        @case(f"condition: two at once on a {kind} object")
        def two(target, kind=kind, body=body):
            target.put(f"precedence/{kind}", body)
            _check(
                target,
                f"precedence/{kind}",
                {
                    "M=same U=past": 200,
                    "M=same U=modified": 200,
                    "M=other U=future": 412,
                    "N=same S=past": 304,
                    "N=other S=past": 200,
                    "M=same N=other": 200,
                    "M=same N=same": 304,
                    "M=other N=same": 412,
                    "M=other N=other": 412,
                    "M=same S=past": 200,
                    "N=other U=future": 200,
                    "S=past U=modified": 200,
                },
            )

        @case(f"condition: a tag that differs makes a date unimportant on a {kind} object")
        def unimportant(target, kind=kind, body=body):
            target.put(f"precedence/{kind}", body)
            _check(target, f"precedence/{kind}", {"N=other S=modified": 200, "N=other S=future": 200})

        @case(f"condition: lists of tags on a {kind} object")
        def lists(target, kind=kind, body=body):
            target.put(f"precedence/{kind}", body)
            _check(
                target,
                f"precedence/{kind}",
                {
                    "M=other,same": 200,
                    "M=same,other": 200,
                    'M=other,"4567"': 412,
                    "N=other,same": 304,
                    "N=same,other": 304,
                    'N=other,"4567"': 200,
                },
            )

        @case(f"condition: any tag on a {kind} object")
        def any_tag(target, kind=kind, body=body):
            target.put(f"precedence/{kind}", body)
            _check(target, f"precedence/{kind}", {"M=*": 200, "N=*": 304})

        @case(f"condition: weak tags on a {kind} object")
        def weak(target, kind=kind, body=body):
            target.put(f"precedence/{kind}", body)
            weak = f"W/{target.head(f'precedence/{kind}')['ETag']}"
            _check(target, f"precedence/{kind}", {f"M={weak}": 412, f"N={weak}": 304})

        @case(f"condition: dates that can't be read are not looked at, on a {kind} object")
        def odd_dates(target, kind=kind, body=body):
            target.put(f"precedence/{kind}", body)
            _check(target, f"precedence/{kind}", {"S=yesterday": 200, "U=yesterday": 200})

        @case(f"condition: tags without quotes on a {kind} object")
        def bare(target, kind=kind, body=body):
            target.put(f"precedence/{kind}", body)
            bare = target.head(f"precedence/{kind}")["ETag"].strip('"')
            _check(target, f"precedence/{kind}", {f"M={bare}": 200, f"N={bare}": 304, "M=0123": 412, "N=0123": 200})

        @case(f"condition: If-Range by date on a {kind} object")
        def if_range(target, kind=kind, body=body):
            key = f"precedence/{kind}"
            target.put(key, body)
            modified = target.head(key)["LastModified"]
            for value, expected in ((modified, body[3:7]), (PAST, body)):
                _, answer = _read(target, key, "GET", {"If-Range": _http(value)}, Range="bytes=3-6")
                same_bytes(answer["Body"].read(), expected, f"body with If-Range {value}")

        @case(f"condition: If-Range with a weak tag on a {kind} object")
        def if_range_weak(target, kind=kind, body=body):
            key = f"precedence/{kind}"
            tag = target.put(key, body)["ETag"]
            _, answer = _read(target, key, "GET", {"If-Range": f"W/{tag}"}, Range="bytes=3-6")
            same_bytes(answer["Body"].read(), body)

        @case(f"condition: If-Range and a range beyond a {kind} object")
        def if_range_beyond(target, kind=kind, body=body):
            key = f"precedence/{kind}"
            tag = target.put(key, body)["ETag"]
            beyond = f"bytes={len(body) + 5}-"
            equal(_read(target, key, "GET", {"If-Range": tag}, Range=beyond)[0], 416, "status of this version")
            status, answer = _read(target, key, "GET", {"If-Range": OTHER}, Range=beyond)
            equal(status, 200, "status of another version")
            same_bytes(answer["Body"].read(), body)

        @case(f"condition: 304 says which {kind} object it is about")
        def not_modified(target, kind=kind, body=body):
            key = f"precedence/{kind}"
            tag = target.put(key, body)["ETag"]
            head = target.head(key)["ResponseMetadata"]["HTTPHeaders"]
            for method in ("GET", "HEAD"):
                status, answer = _read(target, key, method, {"If-None-Match": tag})
                headers = answer["ResponseMetadata"]["HTTPHeaders"]
                equal(
                    (status, headers.get("etag"), headers.get("last-modified")),
                    (304, tag, head["last-modified"]),
                    f"answer to {method}",
                )


_register()


@case("condition: on a key that is missing it is 404")
def missing(target):
    for headers in ({"If-Match": OTHER}, {"If-None-Match": OTHER}, {"If-None-Match": "*"}, {"If-Match": "*"}):
        for method in ("GET", "HEAD"):
            equal(_read(target, "precedence/missing", method, headers)[0], 404, f"{method} with {headers}")


@case("condition: of a multipart object")
def multipart(target):
    key = "precedence/multipart"
    target.upload(key, pattern(8, PART), b"end")
    _check(
        target,
        key,
        {"M=same": 200, "M=other": 412, "N=same": 304, "N=other": 200, "M=same U=past": 200, "N=same S=past": 304},
    )


def _copy(target, key, source, headers, operation="CopyObject", **arguments):
    client = _client_with(target, {f"x-amz-copy-source-{name}": value for name, value in headers.items()})
    call = client.copy_object if operation == "CopyObject" else client.upload_part_copy
    return call(Bucket=target.bucket, Key=key, CopySource={"Bucket": target.bucket, "Key": source}, **arguments)


def _sources(target):
    """Conditions on a source, and whether they hold."""
    target.put("precedence/source", b"source")
    head = target.head("precedence/source")
    tag, modified = head["ETag"], head["LastModified"]
    past, now, future = _http(PAST), _http(modified), _http(modified + datetime.timedelta(days=1))
    return [
        ({"if-match": tag}, True),
        ({"if-match": OTHER}, False),
        ({"if-none-match": tag}, False),
        ({"if-none-match": OTHER}, True),
        ({"if-modified-since": past}, True),
        ({"if-modified-since": now}, False),
        ({"if-unmodified-since": past}, False),
        ({"if-unmodified-since": now}, True),
        ({"if-unmodified-since": future}, True),
        ({"if-match": tag, "if-unmodified-since": past}, True),
        ({"if-match": OTHER, "if-unmodified-since": future}, False),
        ({"if-none-match": tag, "if-modified-since": past}, False),
    ]


@case("condition: on the source of a copy")
def copy_source(target):
    for headers, holds in _sources(target):
        copy = lambda headers=headers: _copy(target, "precedence/copy", "precedence/source", headers)
        try:
            copy() if holds else refused(copy, 412, "PreconditionFailed")
        except Exception as error:
            raise AssertionError(f"{headers}: {error}") from error
        if holds:
            equal(target.body("precedence/copy"), b"source", "body")
            target.client.delete_object(Bucket=target.bucket, Key="precedence/copy")
        refused(lambda: target.head("precedence/copy"), 404)


@case("condition: on the source of a part")
def part_copy_source(target):
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key="precedence/part")["UploadId"]
    for headers, holds in _sources(target):
        copy = lambda headers=headers: _copy(
            target,
            "precedence/part",
            "precedence/source",
            headers,
            operation="UploadPartCopy",
            UploadId=upload,
            PartNumber=1,
        )
        try:
            copy() if holds else refused(copy, 412, "PreconditionFailed")
        except Exception as error:
            raise AssertionError(f"{headers}: {error}") from error


@case("condition: on the destination of a copy")
def copy_destination(target):
    target.put("precedence/from", b"source")
    target.put("precedence/to", b"old")
    tag = target.head("precedence/to")["ETag"]

    def copy(**headers):
        client = _client_with(target, {name.replace("_", "-"): value for name, value in headers.items()})
        source = {"Bucket": target.bucket, "Key": "precedence/from"}
        return client.copy_object(Bucket=target.bucket, Key="precedence/to", CopySource=source)

    refused(lambda: copy(If_None_Match="*"), 412, "PreconditionFailed")
    refused(lambda: copy(If_Match=OTHER), 412, "PreconditionFailed")
    equal(target.body("precedence/to"), b"old", "body")
    copy(If_Match=tag)
    equal(target.body("precedence/to"), b"source", "body")


@case("condition: Complete with If-Match")
def complete(target):
    key = "precedence/complete"
    tag = target.put(key, b"old")["ETag"]
    begin = lambda: target.client.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    upload = begin()
    part = target.upload_part(key, upload, 1, b"new")
    refused(lambda: target.complete(key, upload, [part], IfMatch=OTHER), 412, "PreconditionFailed")
    equal(target.body(key), b"old", "body")
    target.complete(key, upload, [part], IfMatch=tag)
    equal(target.body(key), b"new", "body")


@case("condition: PUT with a list or a tag that is no tag is refused or does not hold")
def odd_put(target):
    tag = target.put("precedence/odd", b"old")["ETag"]
    for value in (f'{OTHER}, "4567"', "0123", f"W/{tag}"):
        try:
            target.put("precedence/odd", b"new", IfMatch=value)
        except target.client.exceptions.ClientError as error:
            expect(error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 412, 501), f"{value}: {error}")
        else:
            raise AssertionError(f"If-Match: {value} held")
        equal(target.body("precedence/odd"), b"old", "body")


@case("condition: DELETE with If-Match")
def delete(target):
    tag = target.put("precedence/delete", b"kept")["ETag"]
    delete = lambda value: target.client.delete_object(Bucket=target.bucket, Key="precedence/delete", IfMatch=value)
    refused(lambda: delete(OTHER), 412, "PreconditionFailed")
    equal(target.body("precedence/delete"), b"kept", "body")
    delete(tag)
    refused(lambda: target.head("precedence/delete"), 404)


@case("condition: DELETE with the size and the time of the object")
def delete_by_size(target):
    target.put("precedence/size", b"kept!")
    modified = target.head("precedence/size")["LastModified"]
    delete = lambda **more: target.client.delete_object(Bucket=target.bucket, Key="precedence/size", **more)
    refused(lambda: delete(IfMatchSize=4), 412, "PreconditionFailed")
    refused(lambda: delete(IfMatchLastModifiedTime=PAST), 412, "PreconditionFailed")
    equal(target.body("precedence/size"), b"kept!", "body")
    delete(IfMatchSize=5, IfMatchLastModifiedTime=modified)
    refused(lambda: target.head("precedence/size"), 404)


@case("condition: DeleteObjects with entity tags")
def delete_objects(target):
    tags = {key: target.put(key, b"x" * n)["ETag"] for n, key in enumerate(("precedence/d1", "precedence/d2"), 1)}
    objects = [
        {"Key": "precedence/d1", "ETag": tags["precedence/d1"]},
        {"Key": "precedence/d2", "ETag": tags["precedence/d1"]},
    ]
    answer = target.client.delete_objects(Bucket=target.bucket, Delete={"Objects": objects})
    equal([entry["Key"] for entry in answer.get("Deleted", [])], ["precedence/d1"], "deleted")
    equal([entry["Code"] for entry in answer.get("Errors", [])], ["PreconditionFailed"], "errors")
    equal(target.body("precedence/d2"), b"xx", "body")
