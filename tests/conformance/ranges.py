"""Ranges of every form, on bodies of every kind."""

from .suite import MIB, PART, case, equal, pattern, refused, same_bytes

KINDS = {
    "11 bytes": lambda: b"hello world",
    "200 KB": lambda: pattern(3, 200_000),
    "3 MiB": lambda: pattern(4, 3 * MIB),
    "three parts": lambda: pattern(5, 2 * PART + 70_000),
}


def _store(target, kind):
    """The key and body of an object of this kind, stored once for each target."""
    body = KINDS[kind]()
    key = f"range/{kind}"
    if kind not in target.__dict__.setdefault("ranged", set()):
        if kind == "three parts":
            target.upload(key, body[:PART], body[PART : 2 * PART], body[2 * PART :])
        else:
            target.put(key, body)
        target.ranged.add(kind)
    return key, body


def _check(target, key, body, header, first, last):
    """`first` to `last`, both included, are what the header means."""
    found = target.get(key, Range=header)
    equal(found["ResponseMetadata"]["HTTPStatusCode"], 206, f"status of {header}")
    equal(found.get("ContentRange"), f"bytes {first}-{last}/{len(body)}", f"Content-Range of {header}")
    equal(found["ContentLength"], last - first + 1, f"length of {header}")
    same_bytes(found["Body"].read(), body[first : last + 1], f"body of {header}")


def _register():
    for kind in KINDS:

        @case(f"range: first, middle, last and open on {kind}")
        def plain(target, kind=kind):
            key, body = _store(target, kind)
            size = len(body)
            for first, last in ((0, 0), (0, 4), (2, 5), (size - 1, size - 1), (size // 2, size - 2), (0, size - 1)):
                _check(target, key, body, f"bytes={first}-{last}", first, last)
            _check(target, key, body, f"bytes={size - 3}-", size - 3, size - 1)
            _check(target, key, body, "bytes=0-", 0, size - 1)

        @case(f"range: suffixes on {kind}")
        def suffix(target, kind=kind):
            key, body = _store(target, kind)
            size = len(body)
            _check(target, key, body, "bytes=-1", size - 1, size - 1)
            _check(target, key, body, "bytes=-7", size - 7, size - 1)
            _check(target, key, body, f"bytes=-{size}", 0, size - 1)
            _check(target, key, body, f"bytes=-{size + 50}", 0, size - 1)

        @case(f"range: an end beyond the object is cut on {kind}")
        def beyond(target, kind=kind):
            key, body = _store(target, kind)
            size = len(body)
            _check(target, key, body, f"bytes=6-{size + 99}", 6, size - 1)
            _check(target, key, body, "bytes=6-18446744073709551615"[:26], 6, size - 1)

        @case(f"range: a start beyond the object is InvalidRange on {kind}")
        def unsatisfiable(target, kind=kind):
            key, body = _store(target, kind)
            for header in (f"bytes={len(body)}-", f"bytes={len(body)}-{len(body) + 9}", "bytes=99999999999-"):
                refused(lambda header=header: target.get(key, Range=header), 416, "InvalidRange")

        @case(f"range: HEAD says what GET would send on {kind}")
        def head(target, kind=kind):
            key, body = _store(target, kind)
            found = target.head(key, Range="bytes=2-5")
            equal(
                (found["ResponseMetadata"]["HTTPStatusCode"], found["ContentLength"], found.get("ContentRange")),
                (206, 4, f"bytes 2-5/{len(body)}"),
            )


_register()


@case("range: across borders of segments")
def segments(target):
    key, body = _store(target, "200 KB")
    for border in (65_536, 131_072, 196_608):
        for first, last in ((border - 1, border), (border - 1, border - 1), (border, border), (border - 70, border + 70)):
            _check(target, key, body, f"bytes={first}-{last}", first, last)
    _check(target, key, body, "bytes=65535-196609", 65_535, 196_609)


@case("range: across borders of parts")
def parts(target):
    key, body = _store(target, "three parts")
    for border in (PART, 2 * PART):
        for first, last in ((border - 1, border), (border, border), (border - 100_000, border + 60_000)):
            _check(target, key, body, f"bytes={first}-{last}", first, last)
    _check(target, key, body, f"bytes={PART - 2}-{2 * PART + 1}", PART - 2, 2 * PART + 1)


@case("range: of an empty object is InvalidRange")
def empty(target):
    target.put("range/empty", b"")
    refused(lambda: target.get("range/empty", Range="bytes=0-0"), 416, "InvalidRange")
    equal(target.body("range/empty"), b"", "body")


@case("range: the last bytes of an empty object are all of it")
def last_of_nothing(target):
    target.put("range/empty-suffix", b"")
    found = target.get("range/empty-suffix", Range="bytes=-5")
    equal((found["ResponseMetadata"]["HTTPStatusCode"], found["Body"].read()), (200, b""), "answer")


@case("range: one with blanks is ignored")
def blanks(target):
    target.put("range/blanks", b"hello world")
    for header in ("bytes= -1", "bytes=0 -1"):
        found = target.get("range/blanks", Range=header)
        equal((found["ResponseMetadata"]["HTTPStatusCode"], found["Body"].read()), (200, b"hello world"), header)


def _register_odd():
    for kind in ("11 bytes", "3 MiB"):

        @case(f"range: what can't be read as one range is not looked at, on {kind}")
        def unreadable(target, kind=kind):
            key, body = _store(target, kind)
            for header in ("bytes=a-b", "items=0-1", "bytes=", "bytes", "bytes=-", "bytes=1-x", "0-1"):
                found = target.get(key, Range=header)
                equal(found["ResponseMetadata"]["HTTPStatusCode"], 200, f"status of {header}")
                same_bytes(found["Body"].read(), body, f"body of {header}")

        @case(f"range: an end before the start is not looked at, on {kind}")
        def backwards(target, kind=kind):
            key, body = _store(target, kind)
            same_bytes(target.body(key, Range="bytes=5-2"), body)

        @case(f"range: several at once are not looked at, on {kind}")
        def several(target, kind=kind):
            key, body = _store(target, kind)
            found = target.get(key, Range="bytes=0-1,4-5")
            equal(found["ResponseMetadata"]["HTTPStatusCode"], 200, "status")
            same_bytes(found["Body"].read(), body)

        @case(f"range: the last no bytes are InvalidRange on {kind}")
        def none(target, kind=kind):
            key, _ = _store(target, kind)
            refused(lambda: target.get(key, Range="bytes=-0"), 416, "InvalidRange")


_register_odd()


@case("range: HEAD beyond the object is 416")
def head_beyond(target):
    key, body = _store(target, "11 bytes")
    refused(lambda: target.head(key, Range=f"bytes={len(body)}-"), 416)


@case("range: the answer to one beyond the object says how long it is")
def actual_size(target):
    key, body = _store(target, "200 KB")
    answer = refused(lambda: target.get(key, Range="bytes=999999-"), 416, "InvalidRange")
    equal(answer["ResponseMetadata"]["HTTPHeaders"].get("content-range"), f"bytes */{len(body)}", "Content-Range")
