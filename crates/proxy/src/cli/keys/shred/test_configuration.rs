//! A configuration for tests.

use std::path::Path;

use crate::config::{Config, Surroundings};

fn kms_table(name: &str) -> String {
    format!(
        "[[key_service]]\nname = \"{name}\"\ntype = \"aws-kms\"\nkey = \"alias/{name}\"\nregion = \"eu-1\"\n"
    )
}

/// Key services `one` to `four`, and these lines of `domain = […]`.
pub(super) fn config(domains: &str, more: &str) -> Config {
    let mut services = String::new();
    for name in ["one", "two", "three", "four"] {
        services.push_str(&kms_table(name));
    }
    let text = format!(
        "deployment = \"rig\"\ndomain = [{domains}]\n[listener]\naddress = \"127.0.0.1:0\"\n\
         [upstream]\nendpoint = \"http://127.0.0.1:9000\"\nregion = \"eu-1\"\n\
         credentials = {{ access_key_id = \"AKIA1\", secret_access_key = \"env:SECRET\" }}\n{services}{more}\n\
         [[identity]]\nname = \"app\"\n[[identity.credential]]\naccess_key_id = \"app-1\"\nsecret_access_key = \"env:SECRET\"\n"
    );
    let surroundings = Surroundings {
        directory: Path::new("/nonexistent"),
        environment: &|name| {
            (!name.starts_with("SEALGATE_")).then(|| "a secret of the tests".to_owned())
        },
    };
    Config::parse(&text, surroundings).unwrap()
}
