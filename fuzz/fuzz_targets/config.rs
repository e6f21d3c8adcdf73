//! A configuration is refused with problems that name a fix, or is complete; neither ever shows a secret.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sealgate::config::{Config, Surroundings, is_deployment_id};

/// What each environment variable holds that the configuration names. Those that it does not name can make it wrong by themselves.
const SECRET: &str = "q7Jx0vWn4Rk2Tz9LbY6cE1sHu8Mf5Pd3";

/// What stands in the file that configurations may name.
const SECRET_IN_FILE: &str = "h3Xc8Lm1Fp6Yd0Us5Oa7Ge2Ri9Tk4Wb";

/// The directory of the configuration.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/surroundings");

fuzz_target!(|text: &str| {
    if text.contains(SECRET) || text.contains(SECRET_IN_FILE) {
        return;
    }
    let environment = |name: &str| {
        let is_named = text.contains(&format!("env:{name}"));
        is_named.then(|| SECRET.to_owned())
    };
    let directory = Path::new(DIRECTORY);
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
            let texts = format!("{error} {error:?}");
            assert!(!texts.contains(SECRET) && !texts.contains(SECRET_IN_FILE));
        }
    }
});
