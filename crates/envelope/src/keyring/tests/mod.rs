//! The keyring as a whole, over key services that fail on request.

mod opening;
mod sealing;
mod support;
