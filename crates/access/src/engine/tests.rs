//! What policies decide.

use std::net::IpAddr;

use proptest::prelude::*;
use time::macros::{datetime, time};

use super::*;
use crate::Role;

fn rule(id: &str, identity: &str, allow: &[&str]) -> Rule {
    Rule {
        id: id.to_owned(),
        identities: vec![identity.to_owned()],
        allow: strings(allow),
        ..Rule::default()
    }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn principals() -> Principals {
    let mut principals = Principals::default();
    principals.add("app", strings(&["tenants"]));
    principals.add("ops", []);
    principals
}

fn engine(rules: &[Rule], cedar: &str) -> Engine {
    let files = [PolicyFile {
        name: "own.cedar".to_owned(),
        text: cedar.to_owned(),
    }];
    Engine::compile(&principals(), rules, &files).unwrap()
}

/// Thursday afternoon, from 10.1.2.3, without TLS.
fn circumstances() -> Circumstances {
    Circumstances {
        source: "10.1.2.3".parse().unwrap(),
        ..Circumstances::local(datetime!(2026-11-26 15:30 UTC))
    }
}

fn ask(engine: &Engine, who: &str, action: Action, place: &str) -> Decision {
    ask_in(engine, who, action, place, &circumstances())
}

fn ask_in(
    engine: &Engine,
    who: &str,
    action: Action,
    place: &str,
    circumstances: &Circumstances,
) -> Decision {
    let resource = match place.split_once('/') {
        None if place.is_empty() => Resource::Service,
        None => Resource::Bucket(place),
        Some((bucket, key)) => Resource::Object { bucket, key },
    };
    engine.decide(&Question {
        principal: Principal::Identity(who),
        action,
        resource,
        circumstances,
    })
}

fn lists(engine: &Engine, prefix: &str) -> bool {
    let circumstances = Circumstances {
        prefix: Some(prefix.to_owned()),
        ..circumstances()
    };
    ask_in(engine, "app", Action::LIST_BUCKET, "data", &circumstances).is_allowed()
}

#[test]
fn nothing_is_allowed_that_no_policy_allows() {
    let engine = engine(&[rule("r", "app", &["reader"])], "");
    let decision = ask(&engine, "app", Action::PUT_OBJECT, "data/x");
    assert!(!decision.is_allowed() && decision.policies().is_empty());
    assert_eq!(decision.to_string(), "denied, because no policy allows it");
    assert!(!ask(&engine, "ops", Action::GET_OBJECT, "data/x").is_allowed());
    assert!(!ask(&engine, "nobody", Action::GET_OBJECT, "data/x").is_allowed());
    let decision = ask(&engine, "app", Action::GET_OBJECT, "data/x");
    assert_eq!(decision.to_string(), "allowed by r");
}

#[test]
fn what_forbids_beats_what_permits() {
    let deny = Rule {
        deny: strings(&["decrypt"]),
        allow: Vec::new(),
        prefixes: strings(&["secret/"]),
        ..rule("no-secrets", "*", &[])
    };
    let engine = engine(&[rule("all", "app", &["admin"]), deny], "");
    assert!(ask(&engine, "app", Action::DECRYPT, "data/x").is_allowed());
    let decision = ask(&engine, "app", Action::DECRYPT, "data/secret/x");
    assert!(!decision.is_allowed());
    assert_eq!(decision.to_string(), "forbidden by no-secrets");
    assert!(ask(&engine, "app", Action::GET_OBJECT, "data/secret/x").is_allowed());
}

#[test]
fn every_role_allows_exactly_its_actions() {
    for role in Role::ALL {
        let engine = engine(&[rule("r", "app", &[role.name()])], "");
        for action in Action::all() {
            let (place, prefix) = match action.level() {
                crate::Level::Service => ("", None),
                crate::Level::Bucket => ("data", None),
                crate::Level::Listing => ("data", Some(String::new())),
                crate::Level::Object => ("data/x", None),
            };
            let circumstances = Circumstances {
                prefix,
                ..circumstances()
            };
            let decision = ask_in(&engine, "app", action, place, &circumstances);
            let expected = role.actions().any(|allowed| allowed == action);
            assert_eq!(
                decision.is_allowed(),
                expected,
                "{role:?} {action}: {decision}"
            );
        }
    }
}

#[test]
fn a_tenant_stays_below_its_prefix() {
    let engine = engine(
        &[Rule {
            buckets: strings(&["data"]),
            prefixes: strings(&["tenant-a/"]),
            ..rule("tenant", "app", &["reader", "writer"])
        }],
        "",
    );
    assert!(ask(&engine, "app", Action::GET_OBJECT, "data/tenant-a/x").is_allowed());
    assert!(!ask(&engine, "app", Action::GET_OBJECT, "data/tenant-ab").is_allowed());
    assert!(!ask(&engine, "app", Action::GET_OBJECT, "other/tenant-a/x").is_allowed());
    assert!(lists(&engine, "tenant-a/") && lists(&engine, "tenant-a/deep/"));
    assert!(!lists(&engine, "") && !lists(&engine, "tenant-a") && !lists(&engine, "tenant-b/"));
    // Clients ask whether the bucket is there before anything else.
    assert!(ask(&engine, "app", Action::HEAD_BUCKET, "data").is_allowed());
    assert!(!ask(&engine, "app", Action::LIST_ALL_MY_BUCKETS, "").is_allowed());
}

#[test]
fn forbidding_a_prefix_forbids_listings_that_would_show_it() {
    let deny = Rule {
        deny: strings(&["s3:ListBucket"]),
        prefixes: strings(&["sé/"]),
        ..rule("hidden", "*", &[])
    };
    let engine = engine(&[rule("all", "app", &["admin"]), deny], "");
    for hidden in ["", "s", "sé", "sé/", "sé/x"] {
        assert!(!lists(&engine, hidden), "{hidden}");
    }
    for shown in ["t", "sa", "sé!"] {
        assert!(lists(&engine, shown), "{shown}");
    }
}

#[test]
fn where_and_when_a_request_comes_matters() {
    let narrow = Rule {
        sources: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        hours: Some((time!(08:00), time!(18:00))),
        weekdays: vec![time::Weekday::Thursday],
        not_before: Some(datetime!(2026-11-01 00:00 +1)),
        not_after: Some(datetime!(2026-12-01 00:00 UTC)),
        tls: Some(true),
        certificates: strings(&["backup.example"]),
        ..rule("narrow", "app", &["reader"])
    };
    let engine = engine(&[narrow], "");
    let right = Circumstances {
        tls: true,
        certificates: Arc::from(strings(&["other", "backup.example"])),
        ..circumstances()
    };
    let decide = |change: fn(&mut Circumstances)| {
        let mut circumstances = right.clone();
        change(&mut circumstances);
        ask_in(&engine, "app", Action::GET_OBJECT, "data/x", &circumstances).is_allowed()
    };
    assert!(decide(|_| ()));
    assert!(decide(|it| it.source = "fd00::1".parse().unwrap()));
    assert!(decide(|it| it.source = "::ffff:10.9.9.9".parse().unwrap()));
    assert!(!decide(|it| it.source = IpAddr::from([192, 168, 0, 1])));
    assert!(!decide(|it| it.source = "::1".parse().unwrap()));
    assert!(!decide(
        |it| it.time = datetime!(2026-11-26 07:59:59.999 UTC)
    ));
    assert!(decide(|it| it.time = datetime!(2026-11-26 08:00 UTC)));
    // The same moment, said elsewhere.
    assert!(decide(|it| it.time = datetime!(2026-11-26 23:30 +8)));
    assert!(!decide(|it| it.time = datetime!(2026-11-26 18:00 UTC)));
    assert!(!decide(|it| it.time = datetime!(2026-11-27 12:00 UTC)));
    assert!(!decide(|it| it.time = datetime!(2026-10-29 12:00 UTC)));
    assert!(!decide(|it| it.time = datetime!(2026-12-03 12:00 UTC)));
    assert!(!decide(|it| it.tls = false));
    assert!(!decide(|it| it.certificates = Arc::default()));
    assert!(!decide(
        |it| it.certificates = Arc::from(strings(&["other"]))
    ));
}

/// Who may read at a place of the bucket `data`, and not at another one in the same circumstances.
fn gains(engine: &Engine, to: &str, from: &str) -> Option<String> {
    let object = |key| Resource::Object {
        bucket: "data",
        key,
    };
    engine.gains((object(to), false), (object(from), false), false)
}

#[test]
fn whoever_may_ever_read_at_one_place_only_gains_by_a_copy_there() {
    let by_night = Rule {
        hours: Some((time!(00:00), time!(01:00))),
        prefixes: strings(&["tmp/"]),
        ..rule("by-night", "ops", &["reader"])
    };
    let never = Rule {
        deny: strings(&["decrypt"]),
        prefixes: strings(&["tmp/sealed/"]),
        ..rule("never", "*", &[])
    };
    let not_by_day = Rule {
        deny: strings(&["decrypt"]),
        hours: Some((time!(08:00), time!(18:00))),
        ..rule("not-by-day", "ops", &[])
    };
    let mine = Rule {
        prefixes: strings(&["mine/", "yours/"]),
        ..rule("mine", "app", &["reader"])
    };
    let engine = engine(
        &[
            rule("operator", "ops", &["operator"]),
            by_night,
            never,
            not_by_day,
            mine,
        ],
        "permit (principal, action == Action::\"decrypt\", resource) when { context has grant };",
    );
    assert!(!ask(&engine, "ops", Action::DECRYPT, "data/tmp/x").is_allowed());
    assert_eq!(gains(&engine, "tmp/x", "drawer/x").as_deref(), Some("ops"));
    assert_eq!(gains(&engine, "mine/x", "drawer/x").as_deref(), Some("app"));
    assert_eq!(gains(&engine, "mine/x", "tmp/x").as_deref(), Some("app"));
    // Nobody reads there, or only who reads here, too.
    assert_eq!(gains(&engine, "tmp/sealed/x", "drawer/x"), None);
    assert_eq!(gains(&engine, "drawer/x", "tmp/x"), None);
    assert_eq!(gains(&engine, "tmp/y", "tmp/x"), None);
    assert_eq!(gains(&engine, "yours/x", "mine/x"), None);
    // What is forbidden here and not there would be read there.
    assert_eq!(
        gains(&engine, "tmp/x", "tmp/sealed/x").as_deref(),
        Some("ops")
    );
}

#[test]
fn whoever_reads_by_one_policy_here_and_by_another_there_gains_unless_the_first_always_holds() {
    let of = |id: &str, prefix: &str, tls| Rule {
        tls,
        prefixes: strings(&[prefix]),
        ..rule(id, "app", &["reader"])
    };
    let gained = |here, there| {
        let engine = engine(
            &[of("here", "here/", here), of("there", "there/", there)],
            "",
        );
        gains(&engine, "there/x", "here/x").is_some()
    };
    assert!(!gained(None, None));
    assert!(!gained(None, Some(true)));
    assert!(gained(Some(true), None));
    assert!(gained(Some(true), Some(false)));
}

#[test]
fn a_condition_for_everything_changes_nothing_and_one_for_some_places_does() {
    let reader = [rule("reader", "app", &["reader"])];
    for (policy, gained) in [
        (
            "forbid (principal, action, resource) unless { context.tls };",
            false,
        ),
        (
            "forbid (principal, action, resource) when { resource.key like \"from/*\" && !context.tls };",
            true,
        ),
        (
            "forbid (principal, action, resource) unless { resource has key && resource.key like \"to/*\" || context.tls };",
            true,
        ),
        (
            "forbid (principal, action, resource) unless { context.tls && !(resource has key && resource.key like \"from/*\") };",
            true,
        ),
        (
            "forbid (principal, action == Action::\"s3:GetObject\", resource) when { resource.key like \"from/*\" };",
            true,
        ),
    ] {
        let policy = policy.replace(
            "action, resource)",
            "action == Action::\"decrypt\", resource)",
        );
        let engine = engine(&reader, &policy);
        let found = gains(&engine, "to/x", "from/x");
        assert_eq!(found.is_some(), gained, "{policy}");
    }
}

#[test]
fn a_permission_that_does_without_a_grant_at_times_is_one() {
    let permit = |condition: &str| {
        let text = format!(
            "permit (principal == Identity::\"ops\", action in [Action::\"s3:GetObject\", Action::\"decrypt\"], resource) {condition};"
        );
        gains(&engine(&[], &text), "tmp/x", "drawer/x").is_some()
    };
    let there = "when { resource.key like \"tmp/*\" }";
    assert!(!permit(&format!("{there} when {{ context has grant }}")));
    assert!(permit(&format!(
        "{there} when {{ context has grant || context.time.toTime() >= duration(\"8h\") }}"
    )));
    assert!(permit(&format!("{there} unless {{ context has grant }}")));
}

#[test]
fn without_a_signature_nobody_gains_but_where_the_source_is_closed() {
    let engine = engine(&[], "permit (principal is Anonymous, action, resource);");
    let object = |key| Resource::Object {
        bucket: "data",
        key,
    };
    let gains = |to, from| engine.gains((object("to"), to), (object("from"), from), false);
    assert!(gains(true, false).is_some());
    assert_eq!(gains(true, true), None);
    assert_eq!(gains(false, false), None);
}

#[test]
fn an_old_version_shows_to_who_may_read_old_versions_and_its_copy_to_who_may_read_the_newest() {
    let object = |key| Resource::Object {
        bucket: "data",
        key,
    };
    let gains = |allow: &[&str], more: &str, is_old: bool| {
        let engine = engine(
            &[rule("app", "app", allow)],
            &format!("permit (principal is Anonymous, action, resource); {more}"),
        );
        engine.gains((object("x"), false), (object("x"), false), is_old)
    };
    let newest: &[&str] = &["s3:GetObject", "s3:GetObjectAttributes", "decrypt"];
    assert_eq!(gains(&["reader"], "", true), None);
    assert_eq!(gains(newest, "", false), None);
    assert_eq!(gains(newest, "", true).as_deref(), Some("app"));
    let old = "Action::\"s3:GetObjectVersion\"";
    for more in [
        format!("forbid (principal, action == {old}, resource);"),
        format!("forbid (principal, action == {old}, resource) unless {{ context.tls }};"),
        // Whether this holds depends on what is done, and not on the circumstances alone.
        format!(
            "forbid (principal, action, resource) unless {{ context.tls && !(action == {old}) }};"
        ),
    ] {
        assert_eq!(gains(&["reader"], &more, false), None, "{more}");
        assert!(gains(&["reader"], &more, true).is_some(), "{more}");
    }
    // Without a signature, no old version is shown.
    let engine = engine(&[], "permit (principal is Anonymous, action, resource);");
    let gains = |is_old| engine.gains((object("x"), true), (object("x"), true), is_old);
    assert_eq!(gains(false), None);
    assert!(gains(true).is_some());
}

#[test]
fn a_place_is_sealed_for_somebody_whatever_the_circumstances_are() {
    let deny = |id: &str, prefix: &str, tls| Rule {
        deny: strings(&["decrypt"]),
        prefixes: strings(&[prefix]),
        tls,
        ..rule(id, "ops", &[])
    };
    let engine = engine(
        &[
            deny("always", "backup/", None),
            deny("in-clear", "tmp/", Some(false)),
        ],
        "",
    );
    let seals = |who, key| {
        engine.seals(
            who,
            Resource::Object {
                bucket: "data",
                key,
            },
        )
    };
    assert!(seals("ops", "backup/x"));
    assert!(!seals("ops", "tmp/x") && !seals("ops", "x"));
    assert!(!seals("app", "backup/x") && !seals("unknown", "backup/x"));
}

#[test]
fn what_is_denied_to_everybody_is_denied_to_nobody_too() {
    let drawer = Rule {
        deny: strings(&["decrypt"]),
        prefixes: strings(&["drawer/"]),
        ..rule("drawer", "*", &[])
    };
    let engine = engine(
        &[drawer],
        "permit (principal is Anonymous, action, resource);",
    );
    let reads = |key| {
        let question = Question {
            principal: Principal::Anonymous,
            action: Action::DECRYPT,
            resource: Resource::Object {
                bucket: "data",
                key,
            },
            circumstances: &circumstances(),
        };
        engine.decide(&question).is_allowed()
    };
    assert!(reads("site/x") && !reads("drawer/x"));
}

#[test]
fn whoever_may_do_nothing_anywhere_is_known_before_a_place_is() {
    let engine = engine(&[rule("writer", "app", &["writer"])], "");
    let deletes = |name| engine.may_anything(Principal::Identity(name), Action::DELETE_OBJECT);
    assert!(deletes("app") && !deletes("ops") && !deletes("unknown"));
    assert!(!engine.may_anything(Principal::Anonymous, Action::DELETE_OBJECT));
}

#[test]
fn hours_may_go_over_midnight() {
    let night = Rule {
        hours: Some((time!(22:00), time!(04:00))),
        ..rule("night", "app", &["reader"])
    };
    let engine = engine(&[night], "");
    for (hour, allowed) in [(21, false), (22, true), (3, true), (4, false)] {
        let circumstances = Circumstances {
            time: datetime!(2026-11-26 00:30 UTC).replace_hour(hour).unwrap(),
            ..circumstances()
        };
        let decision = ask_in(&engine, "app", Action::GET_OBJECT, "data/x", &circumstances);
        assert_eq!(decision.is_allowed(), allowed, "{hour}");
    }
}

#[test]
fn members_of_a_group_have_its_rights() {
    let group = Rule {
        identities: Vec::new(),
        groups: strings(&["tenants"]),
        ..rule("tenants-read", "app", &["reader"])
    };
    let cedar = r#"@id("ban") forbid (principal in Group::"tenants", action, resource in Bucket::"closed");"#;
    let engine = engine(&[group, rule("ops", "ops", &["reader"])], cedar);
    assert!(ask(&engine, "app", Action::GET_OBJECT, "data/x").is_allowed());
    let decision = ask(&engine, "app", Action::GET_OBJECT, "closed/x");
    assert_eq!(decision.to_string(), "forbidden by own.cedar:ban");
    assert!(ask(&engine, "ops", Action::GET_OBJECT, "closed/x").is_allowed());
}

#[test]
fn nobody_may_do_only_what_names_nobody() {
    let engine = engine(
        &[rule("all", "*", &["admin"])],
        r"permit (principal is Anonymous, action, resource);",
    );
    let only_identities =
        Engine::compile(&principals(), &[rule("all", "*", &["admin"])], &[]).unwrap();
    for (engine, expected) in [(&engine, true), (&only_identities, false)] {
        let decision = engine.decide(&Question {
            principal: Principal::Anonymous,
            action: Action::GET_OBJECT,
            resource: Resource::Object {
                bucket: "data",
                key: "x",
            },
            circumstances: &circumstances(),
        });
        assert_eq!(decision.is_allowed(), expected);
    }
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies() {
    // Within the schema, and beyond the range of a long.
    let cedar = "permit (principal, action, resource); @id(\"broken\") forbid (principal, action, resource) when { context.weekday + 9223372036854775807 > 0 };";
    let engine = engine(&[], cedar);
    let decision = ask(&engine, "app", Action::GET_OBJECT, "data/x");
    assert!(!decision.is_allowed());
    assert!(
        decision.to_string().contains("own.cedar:broken"),
        "{decision}"
    );
}

#[test]
fn what_does_not_fit_the_schema_is_refused_at_load() {
    let refused = |text: &str| {
        let file = PolicyFile {
            name: "own.cedar".to_owned(),
            text: text.to_owned(),
        };
        Engine::compile(&principals(), &[], &[file])
            .unwrap_err()
            .to_string()
    };
    for (text, part) in [
        (
            "permit (principal, action == Action::\"s3:GetObjekt\", resource);",
            "GetObjekt",
        ),
        (
            "permit (principal == User::\"app\", action, resource);",
            "User",
        ),
        (
            "permit (principal, action, resource) when { resource.owner == \"x\" };",
            "owner",
        ),
        (
            "permit (principal, action, resource) when { context.time > 7 };",
            "own.cedar:policy0",
        ),
        // Not every action has a prefix.
        (
            "permit (principal, action, resource) when { context.prefix like \"a*\" };",
            "prefix",
        ),
        (
            "permit (principal == ?principal, action, resource);",
            "template",
        ),
        ("allow everything", "own.cedar"),
        (
            "@id(\"a\") permit (principal, action, resource); @id(\"a\") permit (principal, action, resource);",
            "named",
        ),
    ] {
        let error = refused(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn rules_that_say_what_cannot_be_meant_are_refused() {
    let refused = |rule: Rule| {
        let error = Engine::compile(&principals(), &[rule], &[]).unwrap_err();
        match error {
            PolicyError::Rule { error, .. } => error,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(rule("r", "app", &[])), RuleError::Nothing);
    let nobody = Rule {
        identities: Vec::new(),
        ..rule("r", "app", &["reader"])
    };
    assert_eq!(refused(nobody), RuleError::Nobody);
    let both = Rule {
        deny: strings(&["decrypt"]),
        ..rule("r", "app", &["reader"])
    };
    assert_eq!(refused(both), RuleError::Both);
    let name = "s3:GetObjects".to_owned();
    assert_eq!(
        refused(rule("r", "app", &[&name])),
        RuleError::UnknownAction { name }
    );
    let below = Rule {
        prefixes: strings(&["a/"]),
        ..rule("r", "app", &["s3:PutBucketPolicy"])
    };
    let action = Action::PUT_BUCKET_POLICY;
    assert_eq!(refused(below), RuleError::PrefixOfBucketAction { action });
    let empty = Rule {
        prefixes: strings(&[""]),
        ..rule("r", "app", &["reader"])
    };
    assert_eq!(refused(empty), RuleError::EmptyPrefix);
    let of_bucket = Rule {
        buckets: strings(&["data"]),
        ..rule("r", "app", &["s3:ListAllMyBuckets"])
    };
    let action = Action::LIST_ALL_MY_BUCKETS;
    assert_eq!(
        refused(of_bucket),
        RuleError::BucketOfServiceAction { action }
    );
}

#[test]
fn names_that_nobody_has_are_warned_about() {
    let engine = engine(
        &[rule("r", "apq", &["reader"])],
        r#"permit (principal in Group::"x", action, resource);"#,
    );
    let warnings = engine.warnings().join("\n");
    assert!(
        warnings.contains("\"apq\"") && warnings.contains("\"x\""),
        "{warnings}"
    );
}

proptest! {
    /// Whatever a prefix and a key hold, quotes, stars and backslashes included, a rule means a beginning of characters and nothing else.
    #[test]
    fn prefixes_mean_what_they_say(prefix in "[a*\\\\\"?{}\\n ü/]{1,6}", key in "[a*\\\\\"?{}\\n ü/]{0,8}") {
        let engine = engine(&[Rule { prefixes: vec![prefix.clone()], ..rule("r", "app", &["reader"]) }], "");
        for key in [key.clone(), format!("{prefix}{key}")] {
            let decision = ask(&engine, "app", Action::GET_OBJECT, &format!("data/{key}"));
            prop_assert_eq!(decision.is_allowed(), key.starts_with(&prefix));
        }
    }
}

/// The decision as it is made without anything that was decided before.
fn anew(engine: &Engine, question: &Question<'_>) -> Decision {
    let (slices, entity) = engine.principal(question.principal).unwrap();
    let action = &engine.actions[question.action.index()];
    let slice = slices
        .get(question.action, action, &engine.policies)
        .unwrap();
    engine.evaluate(slice, entity, action, question)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was decided about other keys changes nothing: the outcome and the policies are those of this one.
    #[test]
    fn a_remembered_decision_is_the_one_that_would_be_made(
        asked in prop::collection::vec(("(app|ops)", "(data|data-2|logs)", "(a|a/|ab|b/|b/x|c|s\\*|s/x|x)[ab/]{0,2}", 0..4_usize), 1..60),
    ) {
        let rules = [
            Rule { prefixes: strings(&["a", "b/"]), buckets: strings(&["data*"]), ..rule("tenant", "app", &["reader", "writer"]) },
            Rule { allow: vec![], deny: strings(&["decrypt"]), prefixes: strings(&["a/", "s*"]), ..rule("drawer", "*", &[]) },
            Rule { buckets: strings(&["logs"]), ..rule("logs", "ops", &["reader"]) },
            Rule { sources: vec!["10.0.0.0/8".parse().unwrap()], buckets: strings(&["data"]), ..rule("office", "ops", &["s3:PutObject"]) },
        ];
        let engine = engine(&rules, r#"
            @id("one") permit (principal == Identity::"ops", action == Action::"decrypt", resource == Object::"data/c");
            @id("all") permit (principal in Group::"tenants", action == Action::"s3:DeleteObject", resource in Bucket::"logs");
            @id("exact") forbid (principal, action == Action::"s3:GetObject", resource) when { resource.key == "ab" };
        "#);
        let actions = [Action::GET_OBJECT, Action::DECRYPT, Action::PUT_OBJECT, Action::DELETE_OBJECT];
        let circumstances = circumstances();
        for (who, bucket, key, action) in &asked {
            let question = Question {
                principal: Principal::Identity(who),
                action: actions[*action],
                resource: Resource::Object { bucket, key },
                circumstances: &circumstances,
            };
            prop_assert_eq!(engine.decide(&question), anew(&engine, &question), "{:?}", question);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Where nobody gains, whoever reads the one place reads the other in the same circumstances.
    #[test]
    fn where_nobody_gains_whoever_reads_there_reads_here(
        policies in prop::collection::vec((any::<bool>(), 0..4_usize, 0..4_usize, 0..6_usize, 0..8_usize), 1..6),
        is_old in any::<bool>(),
    ) {
        let all_actions = [
            "[Action::\"decrypt\", Action::\"s3:GetObject\"]", "[Action::\"s3:GetObjectVersion\"]",
            "[Action::\"decrypt\", Action::\"s3:GetObject\", Action::\"s3:GetObjectVersion\"]", "[Action::\"s3:GetObject\"]",
        ];
        let principals = ["principal", "principal == Identity::\"app\"", "principal in Group::\"tenants\"", "principal is Identity"];
        let places = [
            "", "when { principal == Identity::\"ops\" }", "when { resource.key like \"from/*\" }", "when { resource.key like \"to/*\" }",
            "unless { resource.key == \"to/x\" }", "when { resource.bucket == \"data\" }",
        ];
        let circumstances_of = [
            "", "when { context.tls }", "unless { context.tls }", "when { context has grant }", "unless { context has grant }",
            "when { context.tls || resource.key like \"to/*\" }", "unless { context.tls || context has grant }",
            "when { context.tls && context has grant }",
        ];
        let texts: Vec<_> = policies.iter().map(|(permits, who, actions, place, circumstances)| {
            let effect = if *permits { "permit" } else { "forbid" };
            let (who, place, when) = (principals[*who], places[*place], circumstances_of[*circumstances]);
            let actions = all_actions[*actions];
            format!("{effect} ({who}, action in {actions}, resource) {place} {when};\n")
        }).collect();
        let text = texts.concat();
        let engine = engine(&[], &text);
        let object = |key| Resource::Object { bucket: "data", key };
        if engine.gains((object("to/x"), false), (object("from/x"), false), is_old).is_some() {
            return Ok(());
        }
        for (who, tls) in [("app", false), ("app", true), ("ops", false), ("ops", true)] {
            let circumstances = Circumstances { tls, ..circumstances() };
            let reads = |place, by| [Action::DECRYPT, by].into_iter().all(|action| ask_in(&engine, who, action, place, &circumstances).is_allowed());
            let before = if is_old { Action::GET_OBJECT_VERSION } else { Action::GET_OBJECT };
            let reads_before = reads("data/from/x", before);
            prop_assert!(!reads("data/to/x", Action::GET_OBJECT) || reads_before, "{who} {tls} {is_old}: {text}");
        }
    }
}

#[test]
fn those_whom_no_policy_tells_apart_are_looked_at_once() {
    let mut principals = Principals::default();
    for number in 0..1000 {
        principals.add(format!("app-{number}"), strings(&["tenants"]));
    }
    principals.add("ops", []);
    let readers = |rules: &[Rule], cedar: &str| {
        let files = [PolicyFile {
            name: "own.cedar".to_owned(),
            text: cedar.to_owned(),
        }];
        let engine = Engine::compile(&principals, rules, &files).unwrap();
        engine.readers.len()
    };
    let everybody = rule("everybody", "*", &["reader"]);
    let one = rule("one", "app-7", &["reader"]);
    let of_tenants = "permit (principal in Group::\"tenants\", action, resource);";
    assert_eq!(readers(std::slice::from_ref(&everybody), ""), 1);
    assert_eq!(readers(&[everybody.clone(), one.clone()], ""), 2);
    assert_eq!(readers(&[one], of_tenants), 3);
    let looks = "forbid (principal, action, resource) unless { principal in Group::\"tenants\" };";
    assert_eq!(readers(&[everybody], looks), 1001);
}

#[test]
fn an_identity_that_asks_for_nothing_takes_little_memory() {
    // A thousand identities, twice while policies are exchanged.
    let inline = Action::count() * size_of::<std::sync::OnceLock<Box<Slice>>>();
    assert!(inline <= 2_048, "{inline}");
}

#[test]
fn a_decision_about_the_circumstances_is_never_remembered() {
    let office = Rule {
        sources: vec!["10.0.0.0/8".parse().unwrap()],
        ..rule("office", "app", &["reader"])
    };
    let engine = engine(&[office], "");
    let home = Circumstances {
        source: "192.0.2.1".parse().unwrap(),
        ..circumstances()
    };
    for _ in 0..3 {
        assert!(ask(&engine, "app", Action::GET_OBJECT, "data/k").is_allowed());
        let away = ask_in(&engine, "app", Action::GET_OBJECT, "data/k", &home);
        assert!(!away.is_allowed());
    }
}

#[test]
fn a_bucket_an_object_and_two_principals_are_decided_about_apart() {
    let engine = engine(
        &[],
        r#"permit (principal == Identity::"app", action, resource is Object in Bucket::"data");"#,
    );
    for _ in 0..2 {
        assert!(ask(&engine, "app", Action::GET_OBJECT, "data/k").is_allowed());
        assert!(!ask(&engine, "ops", Action::GET_OBJECT, "data/k").is_allowed());
        assert!(!ask(&engine, "app", Action::GET_OBJECT, "data").is_allowed());
        assert!(!ask(&engine, "app", Action::GET_OBJECT, "logs/k").is_allowed());
    }
}

#[test]
fn a_role_that_is_denied_below_a_prefix_keeps_the_bucket_and_that_is_told() {
    let compile = |deny: &[&str], prefixes: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rule = Rule {
            id: "drawer".to_owned(),
            identities: vec!["*".to_owned()],
            deny: texts(deny),
            prefixes: texts(prefixes),
            ..Rule::default()
        };
        let mut principals = Principals::default();
        principals.add("app", []);
        let engine = Engine::compile(&principals, &[rule], &[]).unwrap();
        engine.warnings().join("\n")
    };
    let told = compile(&["admin"], &["drawer/"]);
    assert!(
        told.contains("\"drawer\"") && told.contains("whole buckets"),
        "{told}"
    );
    assert!(!compile(&["admin"], &[]).contains("whole buckets"));
    assert!(!compile(&["reader"], &["drawer/"]).contains("whole buckets"));
}
