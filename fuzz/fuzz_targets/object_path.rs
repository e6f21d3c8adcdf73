//! A key has one wire form, which decodes to it; a path gives the same bucket and key in both ways of addressing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::object_key::{ObjectKey, ObjectPath, Target};

fuzz_target!(|path: &str| {
    let Ok(parsed) = ObjectPath::parse(None, &[], path) else {
        return;
    };
    assert_eq!(parsed.wire_path(), path);
    let Target::Object(bucket, key) = parsed.target() else {
        return;
    };
    let wire = key.to_wire();
    assert_eq!(ObjectKey::from_wire(&wire).as_ref(), Ok(key));
    let host = format!("{bucket}.s3.example.com:8014");
    let virtual_host = ObjectPath::parse(
        Some(&host),
        &["s3.example.com".to_owned()],
        &format!("/{wire}"),
    );
    assert_eq!(
        virtual_host.expect("the same object").target(),
        parsed.target()
    );
});
