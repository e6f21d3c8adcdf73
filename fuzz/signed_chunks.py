"""Writes the signed `aws-chunked` bodies into seeds/aws_chunked_signed, with the key and the plaintext of src/chunks.rs.

It computes the signatures on its own (Amazon S3 API Reference, "Transferring Payload in Multiple Chunks"), so the target also
shows that the decoder agrees with another implementation. Standard library only: `python3 fuzz/signed_chunks.py`.
"""

import hashlib
import hmac
import pathlib

PLAINTEXT = b"the quick brown fox jumps over the lazy dog"
LONG = PLAINTEXT * 200  # more than one chunk: all but the last must have 8 KiB
SCOPE = "20260101/us-east-1/s3/aws4_request"
DATE = "20260101T000000Z"
SEED_SIGNATURE = "5" * 64


def mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def sign(kind: str, previous: str, hashes: str) -> str:
    key = b"AWS4fuzz-secret"
    for element in SCOPE.split("/"):
        key = mac(key, element)
    return mac(key, "\n".join([f"AWS4-HMAC-SHA256-{kind}", DATE, SCOPE, previous, hashes])).hex()


def body(plaintext: bytes, trailers: list[bytes] | None) -> bytes:
    chunk_length = 8192
    encoded, signature = b"", SEED_SIGNATURE
    for start in range(0, len(plaintext) + chunk_length, chunk_length):
        chunk = plaintext[start : start + chunk_length]
        digests = [hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()]
        signature = sign("PAYLOAD", signature, "\n".join(digests))
        encoded += b"%x;chunk-signature=%b\r\n" % (len(chunk), signature.encode())
        if chunk:
            encoded += chunk + b"\r\n"
    if trailers is not None:
        lines = b"".join(trailer + b"\n" for trailer in trailers)
        signature = sign("TRAILER", signature, hashlib.sha256(lines).hexdigest())
        encoded += b"".join(trailer + b"\r\n" for trailer in trailers) + b"x-amz-trailer-signature:" + signature.encode() + b"\r\n"
    return encoded + b"\r\n"


def main() -> None:
    directory = pathlib.Path(__file__).parent / "seeds" / "aws_chunked_signed"
    directory.mkdir(parents=True, exist_ok=True)
    trailers = [b"x-amz-checksum-crc32:QU+jkw==", b"x-amz-meta-note: a second line"]
    # The target reads whether there is a trailer, and the length of the pieces, in front of the body.
    (directory / "one-chunk").write_bytes(b"\x00\x07" + body(PLAINTEXT, None))
    (directory / "two-chunks").write_bytes(b"\x00\xff" + body(LONG, None))
    (directory / "trailer").write_bytes(b"\x01\x05" + body(PLAINTEXT, trailers[:1]))
    (directory / "two-chunks-and-trailers").write_bytes(b"\x01\xff" + body(LONG, trailers))
    # As minio-go sends it.
    blank = body(PLAINTEXT, trailers[:1]).replace(b"x-amz-trailer", b"\r\nx-amz-trailer")
    (directory / "blank-before-signature").write_bytes(b"\x01\x05" + blank)


if __name__ == "__main__":
    main()
