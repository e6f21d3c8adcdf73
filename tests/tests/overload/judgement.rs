//! What an answer has to be, whoever gets it.

use anyhow::{Result, ensure};
use sealgate_tests::raw_http::RawAnswer;

/// The code of a refusal; also of one that came too late for the status, as S3 has it for a Complete that takes long.
pub(crate) fn refusal(answer: &RawAnswer) -> Option<String> {
    let is_document = answer.header("content-type") == Some("application/xml");
    let is_late = is_document && memchr::memmem::find(&answer.body, b"<Error>").is_some();
    (answer.status >= 400 || is_late)
        .then(|| answer.error_code())
        .flatten()
}

/// What is counted of an answer: its status, and its code if it is an error.
///
/// # Errors
/// If it is no clear refusal: cut, without a code, or without a time to come again where that would help.
pub(crate) fn named(answer: &RawAnswer) -> Result<String> {
    ensure!(
        answer.is_complete,
        "an answer was cut: {} {:?}",
        answer.status,
        answer.headers
    );
    let code = refusal(answer);
    if answer.status < 400 {
        let code = code.map_or_else(String::new, |code| format!(" {code}"));
        return Ok(format!("{}{code}", answer.status));
    }
    let code = code.unwrap_or_default();
    ensure!(
        !code.is_empty(),
        "a refusal without a code: {} {}",
        answer.status,
        answer.text()
    );
    if answer.status == 503 {
        let wait = answer
            .header("retry-after")
            .and_then(|wait| wait.parse::<u64>().ok());
        ensure!(
            code == "SlowDown" && wait.is_some_and(|wait| (1..=60).contains(&wait)),
            "a refusal that does not say when to come again: {:?} {}",
            answer.headers,
            answer.text()
        );
    }
    ensure!(
        answer.status < 500 || answer.status == 503,
        "a fault and no refusal: {} {}",
        answer.status,
        answer.text()
    );
    Ok(format!("{} {code}", answer.status))
}
