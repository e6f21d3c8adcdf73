//! No token of a web identity counts that its provider did not sign, whatever keys the provider publishes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_access::web_identity::Provider;

/// The public key of RFC 8037, appendix A.2; its private key signs nothing here.
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fuzz_target!(|input: (&str, &str)| {
    let (keys, token) = input;
    let audiences = ["sealgate".to_owned()];
    let provider = Provider::new("https://issuer.example", &audiences, KEYS).expect("a key");
    assert!(provider.verify(token, 1_800_000_000).is_err());
    // Keys of which anything is wrong are an error, or verify nothing that is not signed.
    if let Ok(provider) = Provider::new("https://issuer.example", &audiences, keys) {
        assert!(provider.verify("e30.e30.", 1_800_000_000).is_err());
    }
});
