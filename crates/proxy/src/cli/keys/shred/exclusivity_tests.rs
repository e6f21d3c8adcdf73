use proptest::prelude::*;

use super::super::names::own_names;
use super::super::test_configuration::config;
use super::*;
use crate::scan::census::Seen;

fn key(number: usize) -> KeyName {
    format!("aws-kms {number:016x}").parse().unwrap()
}

fn known() -> Vec<KnownKey> {
    let names = ["one", "two", "three", "four"];
    let known = names.iter().enumerate().map(|(place, name)| KnownKey {
        service: (*name).to_owned(),
        key: key(place),
        full_name: format!("arn:{name}"),
        availability: KeyAvailability::Enabled,
        related: Vec::new(),
    });
    known.collect()
}

const ALICE: &str =
    "{ buckets = [\"data\"], prefix = \"alice/\", name = \"alice\", key_services = [\"one\"] }";
const BOB: &str =
    "{ buckets = [\"data\"], prefix = \"bob/\", name = \"bob\", key_services = [\"two\"] }";
const REST: &str = "{ buckets = [\"*\"], key_services = [\"three\"] }";

fn tenants() -> Config {
    config(&format!("{ALICE}, {BOB}, {REST}"), "")
}

fn census(inside: &[usize], outside: &[usize]) -> Census {
    let mut census = Census::default();
    for number in inside {
        census.add(
            true,
            "data/alice/x",
            Seen::Sealed(vec![key(*number)].into()),
        );
    }
    for number in outside {
        census.add(false, "data/bob/y", Seen::Sealed(vec![key(*number)].into()));
    }
    census
}

fn causes(config: &Config, census: &Census, stated: &Stated) -> Vec<String> {
    causes_with(config, &[], census, stated)
}

/// The same with further key services whose keys are to go.
fn causes_with(config: &Config, also: &[&str], census: &Census, stated: &Stated) -> Vec<String> {
    let refusals = refusals(
        config,
        "alice",
        &known(),
        &going(config, also),
        census,
        stated,
    );
    refusals.into_iter().map(|refusal| refusal.cause).collect()
}

fn going(config: &Config, also: &[&str]) -> Vec<usize> {
    let also: Vec<_> = also.iter().map(|name| (*name).to_owned()).collect();
    chosen(config, "alice", &also)
}

#[track_caller]
fn accepted(causes: &[String]) {
    assert!(causes.is_empty(), "{causes:?}");
}

#[track_caller]
fn refused(causes: &[String], part: &str) {
    assert!(
        causes.len() == 1 && causes[0].contains(part),
        "{part:?} is not the one cause of {causes:?}"
    );
}

#[test]
fn a_domain_with_a_key_of_its_own_goes_with_that_key_alone() {
    let census = census(&[0], &[1, 2]);
    let none = Stated::default();
    accepted(&causes(&tenants(), &census, &none));
    assert_eq!(going(&tenants(), &[]), [0]);
}

#[test]
fn a_key_that_the_configuration_gives_to_others_too_is_refused_by_their_name() {
    let none = Stated::default();
    let shared = BOB.replace("\"two\"", "\"two\", \"one\"");
    for (domains, part) in [
        (format!("{ALICE}, {shared}, {REST}"), "the domain bob"),
        (
            format!("{ALICE}, {BOB}"),
            "every domain that no [[domain]] is about",
        ),
        (
            format!("{ALICE}, {}", REST.replace("three", "one")),
            "the domains of *",
        ),
    ] {
        refused(
            &causes(&config(&domains, ""), &census(&[], &[]), &none),
            part,
        );
    }
    // One key by two names, or in two Regions.
    let mut twins = known();
    twins[1].key = key(0);
    let mut related = known();
    related[1].related = vec![key(0)];
    for known in [twins, related] {
        let census = census(&[], &[]);
        let refusals = refusals(&tenants(), "alice", &known, &[0], &census, &none);
        assert!(
            refusals[0]
                .cause
                .contains("key service two is also that of the domain bob"),
            "{refusals:?}"
        );
    }
}

#[test]
fn a_domain_without_a_table_of_its_own_is_refused() {
    let config = tenants();
    for domain in ["rig/data", "rig/other", "none"] {
        assert!(own_names(&config, domain).is_err(), "{domain}");
    }
    assert_eq!(own_names(&config, "alice").unwrap(), ["alice"]);
    let per_bucket = super::super::test_configuration::config(
        "{ buckets = [\"a\", \"b\"], name = \"t/{bucket}\", key_services = [\"one\"] }",
        "",
    );
    assert!(
        own_names(&per_bucket, "t/a").is_err(),
        "one table, two domains"
    );
    let one_bucket = super::super::test_configuration::config(
        "{ buckets = [\"a\"], name = \"t/{bucket}\", key_services = [\"one\"] }",
        "",
    );
    assert_eq!(own_names(&one_bucket, "t/a").unwrap(), ["t/a"]);
}

#[test]
fn a_domain_whose_name_others_had_before_is_refused() {
    let names = |former: &str, bucket: &str| {
        let bob = BOB.replace("name =", &format!("former = [\"{former}\"], name ="));
        let bob = bob.replace("\"data\"", &format!("\"{bucket}\""));
        own_names(&config(&format!("{ALICE}, {bob}, {REST}"), ""), "alice")
    };
    // No bucket of bob gives it.
    assert_eq!(names("al{bucket}", "data").unwrap(), ["alice"]);
    for (former, bucket) in [
        ("alice", "data"),
        ("al{bucket}", "ice"),
        ("al{bucket}", "i*"),
    ] {
        let refused = names(former, bucket).unwrap_err();
        assert!(
            refused.cause.contains("bob had the name alice"),
            "{refused:?}"
        );
    }
}

#[test]
fn former_names_are_its_own_where_nobody_else_has_them() {
    let names = |domains: &str| own_names(&config(domains, ""), "alice").unwrap();
    let alice = ALICE.replace(
        "name =",
        "former = [\"old\", \"rig/data\", \"rig/gone\"], name =",
    );
    // The rest of the bucket is of rig/data, and so would a new bucket `gone` be of rig/gone.
    assert_eq!(names(&alice), ["alice", "old"]);
    let bob = BOB.replace("name =", "former = [\"old\"], name =");
    assert_eq!(names(&format!("{alice}, {bob}")), ["alice"]);
    let whole = "{ buckets = [\"data\"], name = \"alice\", former = [\"rig/data\"], key_services = [\"one\"] }";
    assert_eq!(names(whole), ["alice", "rig/data"]);
    // With the placeholder, it is that of the table's own buckets.
    let template = whole.replace("rig/data", "rig/{bucket}");
    assert_eq!(names(&template), ["alice", "rig/data"]);
}

#[test]
fn a_key_that_stays_and_has_wrapped_for_the_domain_is_refused_unless_it_is_said_to_be_gone() {
    let mut stated = Stated::default();
    let found = census(&[0, 9], &[]);
    refused(&causes(&tenants(), &found, &stated), "not configured");
    stated.destroyed = vec![key(9)];
    accepted(&causes(&tenants(), &found, &stated));
    // It is not gone for others.
    refused(
        &causes(&tenants(), &census(&[0, 9], &[9]), &stated),
        "for others, too",
    );
    stated.destroyed = vec![key(2)];
    refused(
        &causes(&tenants(), &census(&[0], &[]), &stated),
        "said to be destroyed",
    );
}

#[test]
fn what_is_stored_chooses_no_key() {
    let none = Stated::default();
    // A former key of somebody else, kept for reading: no table names it, and the storage shows one header that does.
    let found = census(&[0, 3], &[]);
    assert_eq!(going(&tenants(), &[]), [0]);
    refused(
        &causes(&tenants(), &found, &none),
        "the domain does not name it in its key_services",
    );
    // Only the operator chooses it.
    assert_eq!(going(&tenants(), &["four"]), [0, 3]);
    accepted(&causes_with(&tenants(), &["four"], &found, &none));
    // And not one that others use, or have used.
    refused(
        &causes(&tenants(), &census(&[0, 2], &[]), &none),
        "also that of the domains of *, has wrapped data/alice/x",
    );
    refused(
        &causes_with(&tenants(), &["three"], &census(&[0, 2], &[]), &none),
        "also that of the domains of *",
    );
    refused(
        &causes_with(&tenants(), &["four"], &census(&[0, 3], &[3]), &none),
        "has wrapped for others, too",
    );
    // A domain that names none has none that could be told from those of others.
    let unnamed = config(
        &format!("{{ buckets = [\"x\"], name = \"alice\" }}, {BOB}, {REST}"),
        "",
    );
    assert_eq!(going(&unnamed, &[]), [0_usize; 0]);
    refused(
        &causes(&unnamed, &census(&[], &[]), &none),
        "names no key_services",
    );
}

#[test]
fn a_recovery_key_has_to_be_the_domains_own_and_gone() {
    let public = "GkeHFtY8suFnhu6TAESG3BUemIs0tHUEPT4BdbsBxEQ";
    let table = format!("{{ public_key = \"{public}\", sender_key = \"env:SECRET\" }}");
    let recovery = recovery_name(&public.parse().unwrap()).unwrap();
    let stated = Stated {
        destroyed: vec![recovery.clone()],
        ..Stated::default()
    };
    let own = config(
        &format!(
            "{}, {BOB}, {REST}",
            ALICE.replace(" }", &format!(", recovery = {table} }}"))
        ),
        "",
    );
    refused(
        &causes(&own, &census(&[0], &[]), &Stated::default()),
        "would go on opening copies of the registry",
    );
    accepted(&causes(&own, &census(&[0], &[]), &stated));
    let with_file = Stated {
        recovery_file: Some(recovery.clone()),
        ..Stated::default()
    };
    accepted(&causes(&own, &census(&[0], &[]), &with_file));
    // That of the deployment is everybody's, whatever is said of it.
    let more = format!("[recovery]\npublic_key = \"{public}\"\nsender_key = \"env:SECRET\"\n");
    let shared = config(&format!("{ALICE}, {BOB}, {REST}"), &more);
    refused(
        &causes(&shared, &census(&[0], &[]), &stated),
        "is that of other domains, too",
    );
    // One that wraps for nobody any more, and did.
    let mut found = census(&[0], &[]);
    found.add(
        true,
        "a record",
        Seen::Sealed(vec![recovery.clone()].into()),
    );
    refused(
        &causes(&tenants(), &found, &Stated::default()),
        "would go on opening",
    );
    accepted(&causes(&tenants(), &found, &stated));
    found.add(false, "bob's record", Seen::Sealed(vec![recovery].into()));
    refused(&causes(&tenants(), &found, &stated), "bob's record");
}

#[test]
fn the_file_of_a_recovery_key_is_destroyed_only_if_it_is_the_domains() {
    let public = "GkeHFtY8suFnhu6TAESG3BUemIs0tHUEPT4BdbsBxEQ";
    let recovery = recovery_name(&public.parse().unwrap()).unwrap();
    let file = Stated {
        recovery_file: Some(recovery.clone()),
        ..Stated::default()
    };
    let tables = format!(
        "{}, {BOB}, {REST}",
        ALICE.replace(" }", ", recovery = false }")
    );
    // The deployment's, although the domain has none.
    let more = format!("[recovery]\npublic_key = \"{public}\"\nsender_key = \"env:SECRET\"\n");
    let of_deployment = config(&tables, &more);
    let found = causes(&of_deployment, &census(&[0], &[]), &file);
    assert!(
        found.len() == 2 && found[0].contains("is that of other domains, too"),
        "{found:?}"
    );
    // Nobody's, as far as the configuration knows: it has to have wrapped something of the domain, and nothing of others.
    let of_nobody = config(&tables, "");
    refused(
        &causes(&of_nobody, &census(&[0], &[]), &file),
        "has wrapped nothing of it",
    );
    let mut found = census(&[0], &[]);
    found.add(
        true,
        "a record",
        Seen::Sealed(vec![recovery.clone()].into()),
    );
    accepted(&causes(&of_nobody, &found, &file));
    found.add(false, "bob's record", Seen::Sealed(vec![recovery].into()));
    refused(&causes(&of_nobody, &found, &file), "bob's record");
}

#[test]
fn what_is_in_the_clear_or_cannot_be_told_is_refused() {
    let mut found = census(&[0], &[]);
    found.add(true, "data/alice/plain", Seen::Clear);
    refused(
        &causes(&tenants(), &found, &Stated::default()),
        "data/alice/plain",
    );
    let mut found = census(&[0], &[]);
    found.add(false, "data/z", Seen::Unknown("damaged".to_owned()));
    refused(
        &causes(&tenants(), &found, &Stated::default()),
        "data/z: damaged",
    );
}

proptest! {
    /// Whatever lies where: nothing is let go that has wrapped for others, and nothing stays that has wrapped for the domain.
    #[test]
    fn keys_go_only_if_they_are_the_domains_and_all_of_them_do(
        inside in prop::collection::vec(0_usize..7, 0..5),
        outside in prop::collection::vec(0_usize..7, 0..5),
        stated in prop::collection::vec(4_usize..7, 0..3),
        also in any::<bool>(),
    ) {
        let config = tenants();
        let found = census(&inside, &outside);
        let stated = Stated {
            destroyed: stated.into_iter().map(key).collect(),
            recovery_file: None,
        };
        let also: &[&str] = if also { &["four"] } else { &[] };
        if causes_with(&config, also, &found, &stated).is_empty() {
            let known = known();
            let going: Vec<_> = going(&config, also)
                .into_iter()
                .map(|place| known[place].key.clone())
                .collect();
            prop_assert!(going.contains(&key(0)));
            prop_assert!(!going.contains(&key(1)) && !going.contains(&key(2)), "keys of others");
            prop_assert!(also.contains(&"four") || !going.contains(&key(3)), "nobody has chosen it");
            for number in inside {
                let gone = going.contains(&key(number)) || stated.destroyed.contains(&key(number));
                prop_assert!(gone, "{number} stays");
            }
            for number in outside {
                prop_assert!(!going.contains(&key(number)), "{number} goes");
            }
        }
    }
}

#[test]
fn a_key_of_the_same_name_that_stays_is_refused_wherever_it_lies() {
    let config = tenants();
    let mut known = known();
    let alice = going(&config, &[])[0];
    assert_eq!(namesakes(&config, &known, &[alice], alice), []);
    // Another server has a key of the same name, as after a move; `old` stays.
    known[3].key = key(alice);
    let refused = namesakes(&config, &known, &[alice], alice);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].fix.contains("four"), "{refused:?}");
    let both = going(&config, &["four"]);
    assert_eq!(namesakes(&config, &known, &both, alice), []);
}
