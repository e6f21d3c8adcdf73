"""The declared list: cases that pass against bare storage and must fail through the gateway, each with the reason and
the failure that follows from it.

An entry that passes through the gateway fails the run, so the list cannot outlive its reasons; one that fails for
another reason does too, so an entry hides nothing but what it names.
"""

import dataclasses
import re
import typing

# Values of Go that a case prints by their addresses, which no two runs have in common.
ADDRESS = re.compile(r"0x[0-9a-f]+")

# Two lists of objects, in the two ways in which Go prints them.
TWO_LISTS = re.compile(r"to be \[(\{.*\})\], instead got \[(\{.*\})\]")
LISTED = re.compile(r"\{(?:ChecksumAlgorithm:)?\[(\w*)\]")


@dataclasses.dataclass(frozen=True)
class Difference:
    """Why cases differ, and how they fail then: what their output matches, in which every address is an @."""

    reason: str
    failure: str | typing.Callable[[str], bool]

    def explains(self, outcome):
        """Whether this is the failure that was declared."""
        text = ADDRESS.sub("@", outcome.output)
        return self.failure(text) if callable(self.failure) else re.search(self.failure, text, re.MULTILINE) is not None


def lacks_listed_checksums(text):
    """As many objects were listed as expected, with their classes, and none with a checksum, which others should have."""
    if "panic: runtime error: index out of range [0] with length 0" in text:
        return "integration.compareObjects(" in text  # takes the first of the algorithms
    if re.search(r"to be ((?:\w+/@,)+\w+/@), instead got \1$", text, re.MULTILINE):
        return True
    lists = TWO_LISTS.search(text)
    if lists is None:
        return False
    expected, found = (LISTED.findall(each) for each in lists.groups())
    classes = [each.count("STANDARD") for each in lists.groups()]
    return len(expected) == len(found) and classes[0] == classes[1] and "CRC32" in expected and not any(found)


# Why several cases differ alike.
ENTITY_TAG = Difference(
    "It takes entity tags for MD5s of the plaintext. Ours are not: they would tell the storage which contents are equal.",
    r"invalid byte: U\+002D '-'|expected ETag to be \S+-01\W+ intead got \W+[0-9a-f]{32}\W"
    r"|expected the objects to be \[(.*)\]ß, instead got \[\1\]",
)
METADATA_NAME = Difference(
    "It has user metadata with a name of 256 bytes. A sealed header holds names of up to 253 (FORMAT.md, section 3); a"
    " longer one is refused as MetadataTooLarge.",
    r"api error MetadataTooLarge",
)
DIRECTORY = Difference(
    "versitygw keeps a key that ends in a slash as a directory, which has no bytes. A sealed object always has some, if"
    " only its commit region, so that storage cannot hold sealed directory objects.",
    r"api error DirectoryObjectContainsData"
    r"|(ObjectParentIsFile|ExistingObjectIsDirectory), instead got DirectoryObjectContainsData",
)
UNSIGNED = Difference(
    "It makes a bucket public by a policy or an ACL of the storage, and expects the storage's word on unsigned requests. What"
    " may be read unsigned through the gateway stands in its own configuration ([[anonymous]]).",
    r"InvalidRequest, instead got AccessDenied|BadRequest, instead got Forbidden|code to be 400, instead got 403"
    r"|HeadBucket: expected no error, instead got .* 403, .* Forbidden|GetObject, .* 403, .* AccessDenied: Access Denied"
    r"|Anonymous users cannot invoke this API\. Please authenticate\., instead got Access Denied\.",
)
WORDS_FOR_STRANGERS = Difference(
    "It wants versitygw's own words for a request without a signature to a private bucket. S3's, and ours, are Access"
    " Denied, with the same code and status.",
    r"error message to be Anonymous users cannot invoke this API\. Please authenticate\., instead got Access Denied\.$",
)
ADMINISTRATION = Difference(
    "It asks versitygw's own administration, which is no part of S3. Users of the storage are no users of the gateway,"
    " whose clients stand in its configuration.",
    r"code to be 40[04], instead got 405|exit status 1",
)
LISTED_CHECKSUM = Difference(
    "It wants to see in a listing which checksum an object was stored with. That is sealed with the object, and a listing"
    " opens none; HeadObject and GetObjectAttributes tell it.",
    lacks_listed_checksums,
)
NOT_MODIFIED = Difference(
    "It wants 304 where a copy's source matches If-None-Match or was not modified since. S3 answers a copy with 412 then"
    " (API reference, CopyObject and UploadPartCopy), and so do we.",
    r"code to be NotModified, instead got PreconditionFailed",
)
SIZES_SWAPPED = Difference(
    "The text that it wants for a wrong x-amz-mp-object-size takes the size that was computed for the one that was sent.",
    r"value (\d+) does not match what was computed: (\d+), instead got .* value \2 does not match what was computed: \1\b",
)
VERSION_OF_A_SOURCE = Difference(
    "It copies a version by an id that MinIO's versions cannot have. S3 says InvalidArgument then, of a copy as of a read"
    " (versity/versitygw#1638). MinIO says it to reads only; the gateway reads.",
    r"code to be NoSuchVersion, instead got InvalidArgument",
)
DOTS = Difference(
    "It sends keys whose dot segments lead out of the bucket and expects the code 400, which is no code of S3. We refuse"
    " them with InvalidURI, as AWS S3 does.",
    r"expected error code to be 400, instead got InvalidURI",
)
QUESTION_MARK = Difference(
    "It wants %3F in a copy's source taken for the question mark before versionId. That is how a question mark in a key is"
    " written (API reference, CopyObject).",
    r"code to be InvalidArgument, instead got NoSuchKey",
)
NULL = Difference(
    "It wants the word null for the checksum of an upload that has none. SDKs would take that for an algorithm; the elements"
    " are left out.",
    r"checksum type to be null, instead got\s*$",
)
ROLLED_UP_TWICE = Difference(
    "It wants a common prefix, on which a page ended, on the next page again. S3 shows each once, and so do we.",
    r"next upload id marker to be [\w-]+, instead got\s*$",
)
WRONG_CHECKSUM = Difference(
    "It completes an upload with the CRC-64/NVMe of other bytes, and wants success. S3 calls that header a check of the"
    " object's integrity (API reference, CompleteMultipartUpload). Every part's is known, so it is verified like any other:"
    " to pass over it would be to acknowledge an object that is not the client's.",
    r"api error BadDigest: The CRC64NVME you specified did not match",
)
AGE_OF_A_FORM = Difference(
    "It wants a form refused an hour after it was signed, whatever its policy says. In S3 a form is good until its policy"
    " expires (API reference, POST Policy), and SDKs sign for longer: minio-js for seven days.",
    r"^FAIL \w+: EOF$",
)
PLAIN_NAMES = Difference(
    "It wants the document of a 201 in S3's namespace. S3 and MinIO send it in none, and pages that look for Key or Location"
    " by an XPath without one would find nothing.",
    r"expected element <PostResponse> in name space \S+ but have no name space",
)
SESSION_TOKENS = Difference(
    "It wants a presigned URL with a session token refused as something that is not there. The gateway gives session tokens,"
    " and refuses one that it has not made as S3 does (API reference, Error responses, InvalidToken).",
    r"code to be AuthorizationQueryParametersError, instead got InvalidToken$",
)

# By upstream; "both" holds for either.
DECLARED = {
    "both": {
        "CopyObject_with_metadata": METADATA_NAME,
        "PutObject_with_metadata": METADATA_NAME,
    },
    "minio": {
        "Versioning_CopyObject_non_existing_version_id": VERSION_OF_A_SOURCE,
        "Versioning_UploadPartCopy_non_existing_versionId": VERSION_OF_A_SOURCE,
    },
    "posix": {
        "CompleteMultipartUpload_mpu_object_size": SIZES_SWAPPED,
        "CompleteMultipartUpload_racey_data_integrity": ENTITY_TAG,
        "CompleteMultipartUpload_should_ignore_the_final_checksum": WRONG_CHECKSUM,
        "CopyObject_conditional_reads": NOT_MODIFIED,
        "CopyObject_overwrite_same_dir_object": DIRECTORY,
        "CopyObject_overwrite_same_file_object": DIRECTORY,
        "CopyObject_should_replace_meta_props": METADATA_NAME,
        "CreateMultipartUpload_with_metadata": METADATA_NAME,
        "DeleteObject_directory_object": DIRECTORY,
        "DeleteObject_directory_object_noslash": DIRECTORY,
        "DeleteObject_non_empty_dir_obj": DIRECTORY,
        "GetObject_dir_object_checksum": DIRECTORY,
        "GetObject_dir_with_range": DIRECTORY,
        "GetObject_directory_object_noslash": DIRECTORY,
        "GetObject_directory_success": DIRECTORY,
        "GetObject_overrides_fail_public": UNSIGNED,
        "HeadObject_dir_with_range": DIRECTORY,
        "HeadObject_directory_object_noslash": DIRECTORY,
        "HeadObject_overrides_fail_public": UNSIGNED,
        "IAM_CreateBucket_empty_owner_header": ADMINISTRATION,
        "IAM_CreateBucket_non_existing_user": ADMINISTRATION,
        "IAM_ListBuckets": ADMINISTRATION,
        "ListMultipartUploads_delimiter_truncated": ROLLED_UP_TWICE,
        "ListObjectVersions_checksum": LISTED_CHECKSUM,
        "ListObjectVersions_containing_null_versionId_obj": LISTED_CHECKSUM,
        "ListObjectVersions_list_multiple_object_versions": LISTED_CHECKSUM,
        "ListObjectVersions_list_single_object_versions": LISTED_CHECKSUM,
        "ListObjectVersions_multiple_object_versions_truncated": LISTED_CHECKSUM,
        "ListObjectVersions_with_delete_markers": LISTED_CHECKSUM,
        "ListObjectsV2_single_dir_object_with_delim_and_prefix": DIRECTORY,
        "ListObjectsV2_with_owner": DIRECTORY,
        "ListObjects_check_owner": DIRECTORY,
        "ListObjects_nested_dir_file_objs": DIRECTORY,
        "ListObjects_with_checksum": LISTED_CHECKSUM,
        "ListParts_null_checksums": NULL,
        "PostObject_expired_due_to_date": AGE_OF_A_FORM,
        "PostObject_invalid_object_names": DOTS,
        "PostObject_success_status_201": PLAIN_NAMES,
        "PresignedAuth_security_token_not_supported": SESSION_TOKENS,
        "PublicBucket_default_private_bucket": WORDS_FOR_STRANGERS,
        "PublicBucket_incorrect_sha256_hash": UNSIGNED,
        "PublicBucket_policy_deny_overrides_public_acl": UNSIGNED,
        "PublicBucket_public_acl": UNSIGNED,
        "PublicBucket_public_bucket_policy": UNSIGNED,
        "PublicBucket_public_object_policy": UNSIGNED,
        "PublicBucket_signed_streaming_payload": UNSIGNED,
        "PutObject_dir_object_checksums_success": DIRECTORY,
        "PutObject_dir_object_default_checksum": DIRECTORY,
        "PutObject_invalid_object_names": DOTS,
        "PutObject_overwrite_dir_obj": DIRECTORY,
        "PutObject_overwrite_file_obj": DIRECTORY,
        "PutObject_success": ENTITY_TAG,
        "PutObject_tagging": DIRECTORY,
        "PutObject_with_slashes": ENTITY_TAG,
        "UploadPartCopy_conditional_reads": NOT_MODIFIED,
        "Versioning_CopyObject_encoded_versionid_separator_invalid_versionId": QUESTION_MARK,
        "Versioning_CopyObject_success": LISTED_CHECKSUM,
        "Versioning_DeleteObject_suspended": LISTED_CHECKSUM,
        "Versioning_DeleteObjects_success": LISTED_CHECKSUM,
        "Versioning_Multipart_Upload_overwrite_an_object": LISTED_CHECKSUM,
        "Versioning_PutObject_null_versionId_obj": LISTED_CHECKSUM,
        "Versioning_PutObject_overwrite_null_versionId_obj": LISTED_CHECKSUM,
        "Versioning_UploadPartCopy_encoded_versionid_separator_invalid_versionId": QUESTION_MARK,
        "Versioning_WORM_CompleteMultipartUpload_overwrite_locked_object": LISTED_CHECKSUM,
        "Versioning_WORM_CopyObject_overwrite_locked_object": LISTED_CHECKSUM,
        "Versioning_WORM_PutObject_overwrite_locked_object": LISTED_CHECKSUM,
        "Versioning_WORM_delete_marker_locked_object_compliance_retention": LISTED_CHECKSUM,
        "Versioning_WORM_delete_marker_locked_object_governance_retention": LISTED_CHECKSUM,
        "Versioning_WORM_delete_marker_locked_object_legal_hold": LISTED_CHECKSUM,
        "Versioning_WORM_remove_delete_marker_under_bucket_default_retention": LISTED_CHECKSUM,
    },
}


# Defects that are known and not mended yet. They neither fail a run nor are they forgotten: each run names those that are still lost, and
# those that pass by now and are to be taken out.
OPEN = {
    "both": {},
    "minio": {},
    "posix": {},
}


def still_open(upstream):
    """The defects of an upstream that are known."""
    return {**OPEN["both"], **OPEN[upstream]}


def declared(upstream):
    """The declared cases of an upstream with their differences."""
    return {**DECLARED["both"], **DECLARED[upstream]}
