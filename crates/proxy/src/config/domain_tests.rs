use proptest::prelude::*;

use super::*;

fn rule(buckets: &[&str], prefix: &str, name: Option<&str>) -> DomainConfig {
    DomainConfig {
        buckets: buckets.iter().map(|&bucket| bucket.to_owned()).collect(),
        prefix: prefix.to_owned(),
        name: name.map(str::to_owned),
        former: vec!["old/{bucket}".to_owned()],
        suite: CipherSuite::ChaCha20Poly1305,
        sealing: policy(1),
        recovery: None,
    }
}

fn policy(required_wraps: usize) -> Arc<SealingPolicy> {
    Arc::new(SealingPolicy {
        key_services: None,
        required_wraps,
        soft_age: Duration::from_secs(1),
        hard_age: Duration::from_secs(2),
    })
}

#[test]
fn the_first_match_counts_and_the_default_is_deployment_and_bucket() {
    let rules = [
        rule(&["logs-*"], "audit/", Some("audit")),
        rule(&["logs-*", "other"], "", None),
    ];
    let name = |bucket, key| resolve_with("prod", &rules, &policy(2), bucket, key).name;
    assert_eq!(name("logs-eu", "audit/1"), "audit");
    assert_eq!(name("logs-eu", "audit"), "prod/logs-eu");
    assert_eq!(name("data", "audit/1"), "prod/data");
    let matched = resolve_with("prod", &rules, &policy(2), "other", "x");
    assert_eq!(matched.former, ["old/other"]);
    assert_eq!(matched.suite, CipherSuite::ChaCha20Poly1305);
    let default = resolve_with("prod", &rules, &policy(2), "data", "x");
    assert!(default.former.is_empty());
    assert_eq!(default.suite, CipherSuite::Aes256Gcm);
    assert_eq!((matched.sealing, default.sealing), (policy(1), policy(2)));
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, text) in [
        ("*", ""),
        ("*", "a"),
        ("a*", "a"),
        ("*a", "ba"),
        ("a*b*c", "a-b-b-c"),
        ("a", "a"),
        ("a**c", "abc"),
    ] {
        assert!(matches_pattern(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("a", "ab"),
        ("a*a", "a"),
        ("*b*", "aca"),
        ("a*b", "abc"),
        ("", "a"),
        ("ab*bc", "abc"),
    ] {
        assert!(!matches_pattern(pattern, text), "{pattern} {text}");
    }
}

#[test]
fn a_table_that_never_counts_is_seen() {
    assert!(hides(&rule(&["*"], "", None), &rule(&["a"], "x/", None)));
    assert!(hides(
        &rule(&["a*"], "x", None),
        &rule(&["ab*", "a"], "x/", None)
    ));
    assert!(!hides(&rule(&["a"], "x/", None), &rule(&["a"], "", None)));
    assert!(!hides(
        &rule(&["a"], "", None),
        &rule(&["a", "b"], "", None)
    ));
    assert!(!hides(&rule(&["ab*"], "", None), &rule(&["a*"], "", None)));
}

proptest! {
    #[test]
    fn a_pattern_agrees_with_trying_every_split(pattern in "[ab*]{0,6}", text in "[ab]{0,7}") {
        prop_assert_eq!(matches_pattern(&pattern, &text), matches_slowly(pattern.as_bytes(), text.as_bytes()));
    }
}

#[test]
fn patterns_overlap_where_one_name_matches_both() {
    for (one, other, expected) in [
        ("data", "data", true),
        ("data", "date", false),
        ("a*", "*b", true),
        ("a*", "b*", false),
        ("*", "", true),
        ("ab*", "a", false),
        ("a*c", "ab*", true),
        ("a*c", "ab", false),
    ] {
        assert_eq!(overlap(one, other), expected, "{one} {other}");
        assert_eq!(overlap(other, one), expected, "{other} {one}");
    }
}

#[test]
fn a_bucket_that_stays_one_domain_is_not_divided_among_key_services() {
    let table = |prefix: &str, name: Option<&str>, wraps| DomainConfig {
        sealing: policy(wraps),
        ..rule(&["data*"], prefix, name)
    };
    let divided = |rules: &[DomainConfig]| {
        let defaults = Defaults {
            key_services: &[],
            sealing: &policy(1),
            recovery: None,
        };
        divided_bucket(rules, defaults).is_some()
    };
    assert!(divided(&[table("a/", None, 2)]), "the rest has the default");
    assert!(divided(&[table("a/", None, 1), table("", None, 2)]));
    assert!(divided(&[table("a/", None, 2), table("b/", None, 1)]));
    assert!(!divided(&[table("a/", Some("a"), 2)]));
    assert!(!divided(&[table("a/", None, 2), table("", None, 2)]));
    assert!(!divided(&[
        table("a/", None, 2),
        table("", Some("rest"), 1)
    ]));
    assert!(!divided(&[table("", None, 2)]), "a whole bucket");
}

proptest! {
    #[test]
    fn two_patterns_that_match_a_name_overlap(one in "[ab*]{0,5}", other in "[ab*]{0,5}", name in "[ab]{0,6}") {
        prop_assert!(!(matches_pattern(&one, &name) && matches_pattern(&other, &name)) || overlap(&one, &other));
    }
}

fn matches_slowly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', pattern_rest)), _) => {
            (0..=text.len()).any(|taken| matches_slowly(pattern_rest, &text[taken..]))
        }
        (Some((expected, pattern_rest)), Some((found, text_rest))) => {
            expected == found && matches_slowly(pattern_rest, text_rest)
        }
        _ => false,
    }
}
