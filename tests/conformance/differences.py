"""The declared list: where the gateway must differ from the storage behind it, and what a storage does not offer.

Everything that is not here is expected to be the same through the gateway, and a case that passes against the bare
storage and fails through the gateway is a defect of the gateway.
"""

# Behaviour of the gateway that differs on purpose. Cases ask for a difference by its name.
DECLARED = {
    "entity tag of a single PUT": "The storage's tag is of the ciphertext; it ends in -01, so that no client takes it for"
    " the MD5 of the plaintext, which would leak equality.",
    "entity tag of a part": "It names the attempt at the part, which has a key of its own; an MD5 would leak equality.",
    "entity tag of a multipart object": "The storage's tag is of what lies there: ciphertext, with one part more for the"
    " commit region where the last part has no room, so the number behind the hyphen is that of the client's parts or one"
    " more.",
    "Signature Version 2": "It signs neither headers nor the body and rests on SHA-1; the gateway refuses it.",
    "version of a copy's source": "MinIO says InvalidArgument, as S3 does, to who reads a version by an id that it can't have"
    " given, and NoSuchVersion to who copies it. The gateway reads the source.",
    "room for user metadata": "User metadata is sealed in one header of 1,500 bytes, so less of it fits than 2 KB,"
    " and its names have at most 253 bytes.",
}

# Checksum algorithms of S3 that came in 2026, and the cases that need a storage to know them.
NEWER_CHECKSUMS = ("SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128")
NEWER_CHECKSUM_CASES = {
    f"checksum: {case.format(algorithm)}": "The storage does not know the algorithm."
    for algorithm in NEWER_CHECKSUMS
    for case in (
        "{} is kept and given back",
        "{} given by the caller",
        "a wrong {} is refused",
        "{} in a trailer",
        "{} of a part is verified",
        "{} of a multipart upload, COMPOSITE",
    )
}

# Cases that the bare storage is known to fail, so that failing through the gateway is no news. A name that ends in * stands for all that
# begin so.
MISSING = {
    "minio": {
        **NEWER_CHECKSUM_CASES,
        "checksum: CRC32 of a whole multipart object": "The answer to a Complete does not name the checksum's type.",
        "condition: If-Range *": "If-Range is not looked at.",
        "condition: two at once *": "If-None-Match is decided before If-Match.",
        "condition: a tag that differs makes a date unimportant *": "Dates are looked at beside tags.",
        "condition: lists of tags *": "A list is taken for one tag.",
        "condition: weak tags *": "The mark of weakness is taken for a part of the tag.",
        "condition: on the source of a *": "Dates are looked at beside tags.",
        "condition: on the destination of a copy": "Conditions on what a copy replaces are not looked at.",
        "condition: DELETE *": "Conditions of a deletion are not looked at.",
        "condition: DeleteObjects with entity tags": "Conditions of a deletion are not looked at.",
        "checksum: CRC64NVME is not combined to COMPOSITE": "The upload begins.",
        "checksum: UploadPartCopy has one": "The storage wants one in the request.",
        "copy: a source with an empty segment": "Empty segments are refused.",
        "key: 'a//b' and 'a/b' differ": "Empty segments are refused.",
        "key: empty segment*": "Empty segments are refused.",
        "key: two leading slashes*": "Empty segments are refused.",
        "key: only a slash": "Empty segments are refused.",
        "key: leading slash*": "The leading slash is dropped.",
        "key: dot segments*": "Dot segments are refused.",
        "key: single dot": "Dot segments are refused.",
        "key: 1,000 bytes": "A segment has at most 255 bytes, as a file name has.",
        "key: 1,024 bytes, in *": "An object of several parts can't have a name that ends in a slash.",
        "key: trailing slash, in *": "An object of several parts can't have a name that ends in a slash.",
        "multipart: part numbers 0 and 10,001 are refused": "The code is InvalidPart.",
        "multipart: ListMultipartUploads of a bucket": "The delimiter is not looked at.",
        "multipart: an upload that never was is NoSuchUpload": "Aborting one succeeds.",
        "rule 21: attributes of a small and of a large object": "An object of one PUT has a list of parts.",
        "rule 21: attributes of a multipart object, with its parts page by page": "A composite checksum lacks the number of"
        " its parts.",
        "surface: the redirect of a website's object comes back": "The header is dropped.",
        "multipart: a bucket made anew has no uploads of the one before": "Uploads outlive their bucket.",
        "range: the last bytes of an empty object are all of it": "The status is 206.",
        "object: a reader of the old body is not disturbed by a new one": "The reader's connection is cut.",
        "part: after gaps in the numbers, each is read by its place": "Such parts can't be read at all.",
        "part: numbers that can't be are refused": "The answer is 500 or 416.",
        "presigned: a header that was not signed makes no copy of a PUT": "Headers that nobody signed are obeyed.",
        "range: an end before the start is not looked at, on *": "The answer is InvalidRange.",
        "range: the answer to one beyond the object says how long it is": "Content-Range is missing.",
        "version: a copy says which version it is of": "The answer does not name it.",
        "version: who reads a marker by its id is told what is allowed": "Allow is missing.",
        "version: who reads a marker by its id is told how old it is": "Last-Modified is the beginning of 1970.",
        "version: a copy of a marker by its id is refused": "The code is MethodNotAllowed.",
        "version: an empty versionId is refused": "It is taken for none.",
    },
    "devstore": {
        "CORS: a preflight is answered, and can do nothing else": "CORS is not offered.",
        "CORS: answers and errors say which page may read them": "CORS is not offered.",
        "rule 21: attributes of a small and of a large object": "The entity tag has its quotes.",
        "rule 21: attributes of a multipart object, with its parts page by page": "Parts come in one page.",
        "rule 21: attributes of a version, and of a key that is missing": "Versions are not offered.",
        "rule 21: attributes that do not exist are refused": "They are ignored.",
        "rule 22: an error names the request's own resource and an id that the log knows": "There is no x-amz-id-2.",
        "rule 25: a form uploads its file": "An empty file is refused.",
        "rule 25: the name of the file goes into the key": "The variable is not filled in.",
        "rule 25: tags of a form's object": "They are ignored.",
        "rule 25: a condition that does not hold leaves no object": "The status is 400.",
        "rule 25: an altered policy or signature is refused": "The status is 400.",
        "rule 25: a form for another bucket is refused": "The status is 400.",
        "acl: an object's owner may do everything": "Access control lists are not offered.",
        "acl: private, with PUT and later": "Access control lists are not offered.",
        "acl: with a multipart upload and a copy": "Access control lists are not offered.",
        "acl: of a *": "Access control lists are not offered.",
        "condition: dates that can't be read are not looked at, *": "The request is refused.",
        "condition: DELETE with the size and the time of the object": "Only entity tags are looked at.",
        "host: objects are the same by path and by host": "Buckets are found in the path only.",
        "host: buckets are made and deleted": "Buckets are found in the path only.",
        "host: multipart uploads, copies and DeleteObjects": "Buckets are found in the path only.",
        "host: presigned URLs": "Buckets are found in the path only.",
        **NEWER_CHECKSUM_CASES,
        "checksum: a part without one is refused where the object's is made of them": "It is computed instead.",
        "listing: versions of a bucket without versioning": "ListObjectVersions is not offered.",
        "range: the last bytes of an empty object are all of it": "The answer is InvalidRange.",
        "range: one with blanks is ignored": "The answer is InvalidArgument.",
        "key: control character, in *": "The answer to a Complete can't be read where its key is no XML.",
        "key: no character of XML, in *": "The answer to a Complete can't be read where its key is no XML.",
        "lock: *": "Object Lock is not offered.",
        "part: numbers that can't be are refused": "The answer is 416.",
        "presigned: GET, HEAD and DELETE of a version": "Versions are not offered.",
        "presigned: a header that was not signed makes no copy of a PUT": "Headers that nobody signed are obeyed.",
        "range: what can't be read as one range is not looked at, *": "The request is refused.",
        "range: an end before the start is not looked at, on *": "The request is refused.",
        "range: several at once are not looked at, on *": "The request is refused.",
        "tags: GET and HEAD say how many": "The number of tags is not told.",
        "version: *": "Versions are not offered.",
    },
}

# Those of them that the storage passes now and then, by chance: neither outcome says anything.
UNSTEADY = {
    "minio": ["object: a reader of the old body is not disturbed by a new one"],
    "devstore": [],
}

# Those of them that pass through the gateway, because it decides itself what the storage does not: all of them, or the test fails.
MENDED = {
    "minio": [
        *NEWER_CHECKSUM_CASES,
        "checksum: CRC32 of a whole multipart object",
        "checksum: CRC64NVME is not combined to COMPOSITE",
        "checksum: UploadPartCopy has one",
        "condition: If-Range *",
        "condition: two at once *",
        "condition: a tag that differs makes a date unimportant *",
        "condition: lists of tags *",
        "condition: weak tags *",
        "condition: on the source of a *",
        "rule 21: attributes of a small and of a large object",
        "rule 21: attributes of a multipart object, with its parts page by page",
        "object: a reader of the old body is not disturbed by a new one",
        "multipart: ListMultipartUploads of a bucket",
        "multipart: an upload that never was is NoSuchUpload",
        "multipart: part numbers 0 and 10,001 are refused",
        "part: after gaps in the numbers, each is read by its place",
        "part: numbers that can't be are refused",
        "presigned: a header that was not signed makes no copy of a PUT",
        "range: an end before the start is not looked at, on *",
        "range: the last bytes of an empty object are all of it",
        "range: the answer to one beyond the object says how long it is",
        "version: a copy says which version it is of",
        "version: who reads a marker by its id is told what is allowed",
        "version: a copy of a marker by its id is refused",
        "version: an empty versionId is refused",
    ],
    "devstore": [
        *NEWER_CHECKSUM_CASES,
        "checksum: a part without one is refused where the object's is made of them",
        "rule 21: attributes of a small and of a large object",
        "rule 21: attributes of a multipart object, with its parts page by page",
        "rule 21: attributes that do not exist are refused",
        "rule 22: an error names the request's own resource and an id that the log knows",
        "rule 25: a form uploads its file",
        "rule 25: the name of the file goes into the key",
        "rule 25: tags of a form's object",
        "rule 25: a condition that does not hold leaves no object",
        "rule 25: an altered policy or signature is refused",
        "rule 25: a form for another bucket is refused",
        "condition: dates that can't be read are not looked at, *",
        "host: objects are the same by path and by host",
        "host: buckets are made and deleted",
        "host: multipart uploads, copies and DeleteObjects",
        "host: presigned URLs",
        "key: control character, in *",
        "key: no character of XML, in *",
        "part: numbers that can't be are refused",
        "presigned: a header that was not signed makes no copy of a PUT",
        "range: what can't be read as one range is not looked at, *",
        "range: an end before the start is not looked at, on *",
        "range: several at once are not looked at, on *",
        "range: the last bytes of an empty object are all of it",
        "range: one with blanks is ignored",
    ],
}
