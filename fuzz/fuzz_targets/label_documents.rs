//! Labels, versions and tags of objects: no document is read as two kinds, what passes as a label is what the gateway itself reads as one, and
//! a listing of versions in the clear keeps its keys and sizes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::xml::MAX_ENTRIES;
use sealgate::xml::labels::{grants_beyond_the_owner, parse_tags, parse_versioning};
use sealgate::xml::listing::{ClearEntry, rewrite_mixed_objects};
use sealgate::xml::requests::{MAX_LABEL_BYTES, MAX_TAGS, PassedDocument, Tagging};
use sealgate::xml::upstream_listings::parse_objects;
use sealgate::xml::upstream_versions::parse_versions;

const LABELS: [&str; 4] = [
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectTagging",
];

fn passes(operation: &str, document: &[u8]) -> bool {
    let own = |bucket: &str| bucket == "state";
    PassedDocument::of(operation).check(document, own).is_ok()
}

fuzz_target!(|document: &[u8]| {
    let tags = parse_tags(document);
    let versions = parse_versions(document);
    let kinds = [
        tags.is_ok(),
        grants_beyond_the_owner(document).is_ok(),
        parse_versioning(document).is_ok(),
        versions.is_ok(),
        parse_objects(document).is_ok(),
    ];
    assert!(kinds.iter().filter(|accepted| **accepted).count() <= 1);

    if !document.is_empty() {
        let accepted: Vec<_> = LABELS
            .iter()
            .filter(|label| passes(label, document))
            .collect();
        assert!(accepted.len() <= 1, "{accepted:?}");
        if !accepted.is_empty() {
            assert!(document.len() <= MAX_LABEL_BYTES);
            let text = std::str::from_utf8(document).expect("UTF-8");
            assert!(!text.contains("<!--"), "a comment may hold anything");
        }
    }
    // Whatever a configuration looks like, the name of our bucket is not in its place.
    if passes("PutBucketLogging", document) {
        let text = String::from_utf8_lossy(document);
        assert!(!text.contains("<TargetBucket>state</TargetBucket>") || text.contains("<!"));
    }

    if let Ok(read) = Tagging::parse(document) {
        let tags = tags.expect("the stricter reader took it");
        assert!(tags.len() <= MAX_TAGS);
        let pairs = read
            .to_header()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .count();
        assert_eq!(pairs, tags.len());
    }

    let Ok(before) = versions else {
        return;
    };
    assert!(before.versions.len() <= MAX_ENTRIES);
    let clear = before.versions.iter().map(|_| Some(ClearEntry::default()));
    let rewritten = rewrite_mixed_objects(document, clear, |_| panic!("none of them is sealed"));
    // Entries have a bound of their own there, so that not all that can be read can be rewritten.
    if let Ok(rewritten) = rewritten {
        let after = parse_versions(&rewritten).expect("a rewritten listing can be read");
        let shown = |page: &sealgate::xml::upstream_versions::VersionsPage| {
            let versions = page.versions.iter();
            versions
                .map(|version| {
                    (
                        version.key.clone(),
                        version.version_id.clone(),
                        version.size,
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&after), shown(&before));
    }
});
