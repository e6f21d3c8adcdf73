"""Every length that a peer controls (FORMAT.md section 12)."""

PLAINTEXT = 2**46
HEADER_IN_S3 = 1_500
HEADER_IN_FILE = 65_536
WRAPS_IN_HEADER = 2
WRAPS_IN_REGISTRY = 16
WRAP_BLOB = 1_024
OBJECT_KEY = 1_024
DOMAIN = 255
PARTS = 10_000
RECORD = 65_536
"""Bytes of an upload record or of a registry record."""
