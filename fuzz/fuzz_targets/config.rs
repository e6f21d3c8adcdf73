//! A configuration is refused with problems that name a fix, or is complete; neither ever shows a secret.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sealgate::config::{Config, Surroundings, is_deployment_id};

/// What every environment variable holds.
const SECRET: &str = "q7Jx0vWn4Rk2Tz9LbY6c";

fuzz_target!(|text: &str| {
    if text.contains(SECRET) {
        return;
    }
    let environment = |_: &str| Some(SECRET.to_owned());
    let directory = Path::new("/nonexistent");
    match Config::parse(
        text,
        Surroundings {
            directory,
            environment: &environment,
        },
    ) {
        Ok(config) => {
            assert!(is_deployment_id(&config.deployment));
            assert!(!config.key_services.is_empty() && !config.identities.is_empty());
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            assert!(error.problems.iter().all(|problem| !problem.fix.is_empty()));
            assert!(!format!("{error} {error:?}").contains(SECRET));
        }
    }
});
