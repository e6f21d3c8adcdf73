//! Integration tests: real processes, real servers, real clients
