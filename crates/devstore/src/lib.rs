//! The embedded S3 store of `sealgate dev`: durable, in one directory, reached over HTTP like any upstream
