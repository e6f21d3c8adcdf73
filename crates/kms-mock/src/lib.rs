//! A key server that speaks the AWS KMS JSON protocol, for development and tests
