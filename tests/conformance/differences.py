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
    " commit region, so the number behind the hyphen need not be that of the client's parts.",
    "room for user metadata": "User metadata is sealed in one header of 1,500 bytes, so less of it fits than 2 KB,"
    " and its names have at most 253 bytes.",
}

# Cases that the bare storage is known to fail, so that failing through the gateway is no news.
MISSING = {
    "minio": {
        "checksum: CRC32 of a whole multipart object": "The answer to a Complete does not name the checksum's type.",
        "condition: If-Range on a small object": "If-Range is not looked at.",
        "condition: If-Range on a large object": "If-Range is not looked at.",
        "copy: a source with an empty segment": "Empty segments are refused.",
        "key: empty segment": "Empty segments are refused.",
        "key: 'a//b' and 'a/b' differ": "Empty segments are refused.",
        "key: leading slash": "The leading slash is dropped.",
        "key: dot segments": "Dot segments are refused.",
        "key: single dot": "Dot segments are refused.",
        "key: only dots": "Dot segments are refused.",
        "key: 1,000 bytes": "A segment has at most 255 bytes, as a file name has.",
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
        "listing: versions of a bucket without versioning": "ListObjectVersions is not offered.",
        "range: the last bytes of an empty object are all of it": "The answer is InvalidRange.",
        "range: one with blanks is ignored": "The answer is InvalidArgument.",
    },
}
