"""One suite of S3 behaviour for every endpoint: bare storage, and the gateway in front of it."""
