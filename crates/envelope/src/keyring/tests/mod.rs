//! The keyring as a whole, over key services that fail on request.

mod opening;
mod rotation;
mod sealing;
mod support;
