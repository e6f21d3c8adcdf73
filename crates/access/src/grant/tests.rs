//! Every way to cheat with a grant.

use std::collections::BTreeSet;

use super::*;
use crate::token::{NewSession, TOKEN_ENTROPY, TokenKeys};
use crate::{Action, PrivateKey, PublicKey, Signature};

const NOW: u64 = 1_800_000_000;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::parse(&PrivateKey::text_of_seed(&[seed; 32])).unwrap()
}

const ALICE: u8 = 1;
const BOB: u8 = 2;
const BOBS_OTHER: u8 = 3;
const REQUESTER: u8 = 4;
const REVOKER: u8 = 5;
const STRANGER: u8 = 6;

fn rules() -> Rules {
    let approver = |name: &str, seed| Approver {
        name: name.to_owned(),
        identities: BTreeSet::new(),
        key: key(seed).public_key(),
    };
    Rules {
        deployment: "d".to_owned(),
        requesters: ["oscar", "mallory"].map(str::to_owned).into(),
        approvers: vec![
            approver("alice", ALICE),
            approver("bob", BOB),
            approver("bob", BOBS_OTHER),
            approver("oscar", REQUESTER),
        ],
        quorum: 2,
        longest: 8 * 3_600,
    }
}

fn request() -> GrantRequest {
    GrantRequest {
        version: 1,
        deployment: "d".to_owned(),
        id: String::new(),
        nonce: "N".to_owned(),
        requester: "oscar".to_owned(),
        scope: Scope {
            bucket: "data".to_owned(),
            prefix: "case-7/".to_owned(),
            actions: vec!["s3:GetObject".to_owned(), "decrypt".to_owned()],
        },
        reason: "the customer asked for it".to_owned(),
        ticket: "T-7".to_owned(),
        made: NOW,
        not_before: NOW,
        expires: NOW + 3_600,
    }
    .identified()
    .unwrap()
}

/// Of a request that was changed, with the id that it has then.
fn grant_anew(request: &GrantRequest, approvers: &[u8]) -> Grant {
    grant_of(&request.clone().identified().unwrap(), approvers)
}

fn grant_of(request: &GrantRequest, approvers: &[u8]) -> Grant {
    let request = request.to_text().unwrap();
    let approvals = approvers
        .iter()
        .map(|seed| Approval::sign(&request, &key(*seed)).unwrap())
        .collect();
    Grant { request, approvals }
}

fn list(number: u64, revoked: &[&str]) -> RevocationList {
    RevocationList {
        version: 1,
        deployment: "d".to_owned(),
        number,
        issued: NOW,
        next_update: NOW + 7_200,
        revoked: revoked.iter().map(|id| (*id).to_owned()).collect(),
    }
}

fn signed(list: &RevocationList) -> SignedRevocationList {
    SignedRevocationList::sign(list, &key(REVOKER)).unwrap()
}

fn none_revoked() -> Revocations {
    let mut revocations = Revocations::new("d", vec![key(REVOKER).public_key()], 10_000);
    revocations.update(&signed(&list(1, &[])), NOW).unwrap();
    revocations
}

fn verify(grant: &Grant) -> Result<VerifiedGrant, GrantError> {
    grant.verify("oscar", &rules(), &none_revoked(), NOW + 10)
}

#[test]
fn a_grant_that_enough_others_approved_counts_within_its_scope() {
    let grant = grant_of(&request(), &[ALICE, BOB]);
    let text = grant.to_text().unwrap();
    let verified = verify(&Grant::of_text(&text).unwrap()).unwrap();
    assert_eq!(verified.approvers().len(), 2);
    assert!(verified.allows(Action::DECRYPT, "data", "case-7/report"));
    // Another prefix, bucket or action is another matter.
    assert!(!verified.allows(Action::DECRYPT, "data", "case-77"));
    assert!(!verified.allows(Action::DECRYPT, "other", "case-7/report"));
    assert!(!verified.allows(Action::PUT_OBJECT, "data", "case-7/report"));
}

#[test]
fn it_counts_from_its_beginning_until_its_end_by_the_clock_that_is_asked() {
    let grant = grant_of(&request(), &[ALICE, BOB]);
    let at = |now| {
        let mut revocations = none_revoked();
        let fresh = RevocationList {
            issued: now,
            next_update: now + 60,
            ..list(2, &[])
        };
        revocations.update(&signed(&fresh), now).unwrap();
        grant.verify("oscar", &rules(), &revocations, now)
    };
    assert!(at(NOW).is_ok() && at(NOW + 3_599).is_ok());
    let expires = NOW + 3_600;
    assert_eq!(
        at(expires),
        Err(GrantError::Expired {
            expires,
            now: expires
        })
    );
    let now = NOW - 1;
    assert_eq!(
        at(now),
        Err(GrantError::NotYet {
            not_before: NOW,
            now
        })
    );
}

#[test]
fn nobody_else_uses_it() {
    let grant = grant_of(&request(), &[ALICE, BOB]);
    let error = grant
        .verify("mallory", &rules(), &none_revoked(), NOW)
        .unwrap_err();
    assert!(matches!(error, GrantError::OfSomebodyElse { .. }));
}

#[test]
fn who_may_not_ask_gets_nothing_however_many_approve() {
    let strange = GrantRequest {
        requester: "stranger".to_owned(),
        ..request()
    };
    let error = grant_anew(&strange, &[ALICE, BOB])
        .verify("stranger", &rules(), &none_revoked(), NOW)
        .unwrap_err();
    assert!(matches!(error, GrantError::NotARequester { .. }), "{error}");
}

#[test]
fn a_list_is_stale_when_it_is_older_than_the_gateway_allows_whatever_it_says_itself() {
    let mut revocations = Revocations::new("d", vec![key(REVOKER).public_key()], 60);
    revocations.update(&signed(&list(1, &[])), NOW).unwrap();
    assert_eq!(revocations.is_revoked("A", NOW + 59), Ok(false));
    assert_eq!(
        revocations.is_revoked("A", NOW + 60),
        Err(RevocationError::Stale {
            next_update: NOW + 60,
            now: NOW + 60
        })
    );
}

#[test]
fn a_grant_in_use_ends_by_its_time_and_by_revocation() {
    let mut revocations = none_revoked();
    let grant = grant_of(&request(), &[ALICE, BOB]);
    let verified = grant.verify("oscar", &rules(), &revocations, NOW).unwrap();
    assert_eq!(verified.still_counts(&revocations, NOW + 3_599), Ok(()));
    assert!(matches!(
        verified.still_counts(&revocations, NOW + 3_600),
        Err(GrantError::Expired { .. })
    ));
    let id = request().id;
    revocations.update(&signed(&list(2, &[&id])), NOW).unwrap();
    assert_eq!(
        verified.still_counts(&revocations, NOW + 1),
        Err(GrantError::Revoked)
    );
    let later = NOW + 7_200;
    assert!(matches!(
        verified.still_counts(&Revocations::new("d", Vec::new(), 60), later - 7_000),
        Err(GrantError::Revocations(RevocationError::Missing))
    ));
}

#[test]
fn of_what_fits_a_token_with_its_approvals_a_token_can_be_made() {
    let keys = TokenKeys::new("d", &[&[7; 32]]).unwrap();
    let mut outcomes = BTreeSet::new();
    // Each mark is one byte in the reason, two in the request, four in the grant and eight in the token.
    for count in (0..=800).step_by(50) {
        let request = GrantRequest {
            reason: "\"".repeat(count),
            ..request()
        }
        .identified()
        .unwrap();
        let fits = request.fits_a_token(2).is_ok();
        outcomes.insert(fits);
        if !fits {
            continue;
        }
        let names = "n".repeat(200);
        let new = NewSession {
            identity: &names,
            session: &names,
            source: &names,
            signed_by: "SGAAAAAAAAAAAAAAAAAA",
            lifetime: 3_600,
            grant: &grant_of(&request, &[ALICE, BOB]).to_text().unwrap(),
        };
        keys.issue(&new, NOW, &[0; TOKEN_ENTROPY]).unwrap();
    }
    assert_eq!(outcomes, BTreeSet::from([false, true]));
}

#[test]
fn an_identity_of_another_name_or_letter_case_is_still_the_approver() {
    let known = ["alice-laptop", "provider/ÄLIÇE@EXAMPLE.COM"];
    for (requester, identities) in [
        ("Alice", vec![]),
        ("alice-laptop", known.to_vec()),
        ("provider/äliçe@example.com", known.to_vec()),
    ] {
        let mut rules = rules();
        rules.requesters.insert(requester.to_owned());
        rules.approvers[0].identities = identities.into_iter().map(str::to_owned).collect();
        let request = GrantRequest {
            requester: requester.to_owned(),
            ..request()
        };
        let error = grant_anew(&request, &[ALICE, BOB])
            .verify(requester, &rules, &none_revoked(), NOW)
            .unwrap_err();
        assert!(matches!(error, GrantError::SelfApproved { .. }), "{error}");
    }
    // Two spellings of one name are one of the quorum.
    let mut rules = rules();
    rules.approvers[1].name = "BÖB".to_owned();
    rules.approvers[2].name = "böb".to_owned();
    let error = grant_of(&request(), &[BOB, BOBS_OTHER])
        .verify("oscar", &rules, &none_revoked(), NOW)
        .unwrap_err();
    assert!(
        matches!(error, GrantError::TooFewApprovals { .. }),
        "{error}"
    );
}

#[test]
fn what_makes_no_sense_or_could_deceive_an_approver_is_not_granted() {
    let scope = |bucket: &str, prefix: &str, actions: &[&str]| Scope {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        actions: actions.iter().map(|&name| name.to_owned()).collect(),
    };
    let good = ["decrypt"];
    let of_scope = |scope| GrantRequest { scope, ..request() };
    for (unsound, part) in [
        (
            GrantRequest {
                not_before: NOW - 1,
                ..request()
            },
            "beginning",
        ),
        (
            GrantRequest {
                made: NOW - 8 * 24 * 3_600,
                ..request()
            },
            "beginning",
        ),
        (of_scope(scope("", "", &good)), "bucket"),
        (of_scope(scope("a/b", "", &good)), "bucket"),
        (of_scope(scope("data", "", &[])), "actions"),
        (of_scope(scope("data", "", &["s3:Everything"])), "actions"),
        (of_scope(scope("data", "a\u{202e}b", &good)), "prefix"),
        (
            GrantRequest {
                reason: "a\u{9b}2J".to_owned(),
                ..request()
            },
            "reason",
        ),
        (
            GrantRequest {
                reason: " ".to_owned(),
                ..request()
            },
            "reason",
        ),
        (
            GrantRequest {
                ticket: "T\u{200b}".to_owned(),
                ..request()
            },
            "ticket",
        ),
    ] {
        let error = verify(&grant_anew(&unsound, &[ALICE, BOB])).unwrap_err();
        assert!(matches!(error, GrantError::Unsound { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn an_id_means_one_text() {
    assert!(is_id(&request().id), "{}", request().id);
    for other in [
        "",
        "../../x",
        &"a".repeat(32),
        &"1".repeat(32),
        &"A".repeat(33),
    ] {
        assert!(!is_id(other), "{other}");
    }
    // Another text under an id that approvers have seen, signed by all of them.
    let wider = GrantRequest {
        scope: Scope {
            prefix: String::new(),
            ..request().scope
        },
        ..request()
    };
    let error = verify(&grant_of(&wider, &[ALICE, BOB])).unwrap_err();
    assert!(error.to_string().contains("request's id"), "{error}");
    assert_ne!(wider.identified().unwrap().id, request().id);
    let again = GrantRequest {
        nonce: "M".to_owned(),
        ..request()
    };
    assert_ne!(again.identified().unwrap().id, request().id);
}

#[test]
fn who_acts_as_another_identity_is_still_themselves() {
    let mut rules = rules();
    rules.requesters.insert("on-call".to_owned());
    rules.approvers[0].identities = ["corp/alice@example.org".to_owned()].into();
    let request = GrantRequest {
        requester: "on-call".to_owned(),
        ..request()
    };
    let grant = grant_anew(&request, &[ALICE, BOB]);
    let by = |person| {
        let user = User {
            identity: "on-call",
            person,
        };
        grant.verify(user, &rules, &none_revoked(), NOW)
    };
    by("corp/carol@example.org").unwrap();
    for person in ["corp/alice@example.org", "Alice", "bob"] {
        let error = by(person).unwrap_err();
        assert!(matches!(error, GrantError::SelfApproved { .. }), "{error}");
    }
}

#[test]
fn nobody_approves_for_themselves() {
    let grant = grant_of(&request(), &[ALICE, BOB, REQUESTER]);
    assert!(matches!(
        verify(&grant),
        Err(GrantError::SelfApproved { .. })
    ));
    // Nor under another name with the same key, whichever stands first.
    for first in [true, false] {
        let mut rules = rules();
        let disguised = Approver {
            name: "olga".to_owned(),
            identities: BTreeSet::new(),
            key: key(REQUESTER).public_key(),
        };
        rules
            .approvers
            .insert(if first { 0 } else { rules.approvers.len() }, disguised);
        let grant = grant_of(&request(), &[ALICE, REQUESTER]);
        let error = grant
            .verify("oscar", &rules, &none_revoked(), NOW)
            .unwrap_err();
        assert!(matches!(error, GrantError::SelfApproved { .. }), "{error}");
    }
}

#[test]
fn one_approver_counts_once() {
    let too_few = GrantError::TooFewApprovals {
        found: 1,
        quorum: 2,
    };
    for approvers in [[ALICE, ALICE], [BOB, BOBS_OTHER]] {
        let error = verify(&grant_of(&request(), &approvers)).unwrap_err();
        assert_eq!(error, too_few, "{approvers:?}");
    }
    assert_eq!(
        verify(&grant_of(&request(), &[ALICE])).unwrap_err(),
        too_few
    );
    let none = GrantError::TooFewApprovals {
        found: 0,
        quorum: 1,
    };
    let rules = Rules {
        quorum: 0,
        ..rules()
    };
    let grant = grant_of(&request(), &[]);
    assert_eq!(
        grant.verify("oscar", &rules, &none_revoked(), NOW),
        Err(none)
    );
    assert!(matches!(
        verify(&grant_of(&request(), &[ALICE; 17])),
        Err(GrantError::TooManyApprovals { count: 17 })
    ));
}

#[test]
fn forged_approvals_make_a_grant_fail_whatever_the_others_are() {
    let genuine = grant_of(&request(), &[ALICE, BOB]);
    let stranger = grant_of(&request(), &[ALICE, BOB, STRANGER]);
    assert_eq!(verify(&stranger), Err(GrantError::ForgedApproval));
    // The stranger's signature under an approver's key.
    let mut borrowed = grant_of(&request(), &[ALICE, STRANGER]);
    borrowed.approvals[1].key = key(BOB).public_key().to_string();
    assert_eq!(verify(&borrowed), Err(GrantError::ForgedApproval));
    // An approval of another request.
    let other = grant_of(
        &GrantRequest {
            id: "B".repeat(32),
            ..request()
        },
        &[BOB],
    );
    let mut moved = grant_of(&request(), &[ALICE]);
    moved.approvals.push(other.approvals[0].clone());
    assert_eq!(verify(&moved), Err(GrantError::ForgedApproval));
    // A signature of the same text for another purpose.
    let mut repurposed = genuine.clone();
    let signature = key(BOB)
        .sign(REVOCATIONS_NAMESPACE, genuine.request.as_bytes())
        .unwrap();
    repurposed.approvals[1].signature = signature.encode();
    assert_eq!(verify(&repurposed), Err(GrantError::ForgedApproval));
    // The bare signature of the text, without the frame of OpenSSH.
    let mut bare = genuine.clone();
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[BOB; 32]).unwrap();
    let raw = pair.sign(genuine.request.as_bytes());
    bare.approvals[1].signature = data_encoding::BASE64URL_NOPAD.encode(raw.as_ref());
    assert_eq!(verify(&bare), Err(GrantError::ForgedApproval));
    // Another writing of the same key, or of the same signature.
    let mut rewritten = genuine.clone();
    rewritten.approvals[1].key.push_str(" bob@home");
    assert_eq!(verify(&rewritten), Err(GrantError::ForgedApproval));
    let mut padded = genuine;
    padded.approvals[1].signature.push_str("==");
    assert_eq!(verify(&padded), Err(GrantError::ForgedApproval));
}

#[test]
fn whatever_is_changed_in_the_request_no_signature_fits_any_more() {
    let genuine = grant_of(&request(), &[ALICE, BOB]);
    for changed in [
        GrantRequest {
            expires: NOW + 7_200,
            ..request()
        },
        GrantRequest {
            scope: Scope {
                prefix: String::new(),
                ..request().scope
            },
            ..request()
        },
        GrantRequest {
            reason: "another".to_owned(),
            ..request()
        },
        GrantRequest {
            nonce: "B".to_owned(),
            ..request()
        },
    ] {
        let tampered = Grant {
            request: changed.identified().unwrap().to_text().unwrap(),
            approvals: genuine.approvals.clone(),
        };
        assert_eq!(verify(&tampered), Err(GrantError::ForgedApproval));
    }
}

#[test]
fn a_request_has_one_encoding() {
    let text = request().to_text().unwrap();
    assert_eq!(GrantRequest::of_text(&text), Ok(request()));
    let spaced = text.replacen(":1,", ": 1,", 1);
    let escaped = text.replacen("oscar", "\\u006fscar", 1);
    let reordered = text.replacen(
        "\"version\":1,\"deployment\":\"d\"",
        "\"deployment\":\"d\",\"version\":1",
        1,
    );
    let twice = text.replacen("\"version\":1", "\"version\":2,\"version\":1", 1);
    let more = text.replacen("{\"version\"", "{\"admin\":true,\"version\"", 1);
    let trailing = format!("{text}\n");
    let float = text.replacen(&NOW.to_string(), &format!("{NOW}.0"), 1);
    for other in [spaced, escaped, reordered, twice, more, trailing, float] {
        assert_ne!(other, text);
        assert!(GrantRequest::of_text(&other).is_err(), "{other}");
        // Nor does it help to have it signed.
        let approvals = [ALICE, BOB]
            .map(|seed| Approval::sign(&other, &key(seed)).unwrap())
            .to_vec();
        let grant = Grant {
            request: other,
            approvals,
        };
        assert!(matches!(verify(&grant), Err(GrantError::Document(_))));
    }
    let long = GrantRequest {
        reason: "r".repeat(2_048),
        ..request()
    };
    assert!(long.to_text().is_err());
}

#[test]
fn other_deployments_other_versions_and_long_grants_do_not_count() {
    for foreign in [
        GrantRequest {
            deployment: "e".to_owned(),
            ..request()
        },
        GrantRequest {
            version: 2,
            ..request()
        },
    ] {
        assert_eq!(
            verify(&grant_anew(&foreign, &[ALICE, BOB])),
            Err(GrantError::Foreign)
        );
    }
    for (not_before, expires) in [(NOW, NOW + 8 * 3_600 + 1), (NOW, NOW), (NOW + 9, NOW)] {
        let long = GrantRequest {
            not_before,
            expires,
            ..request()
        };
        let error = verify(&grant_anew(&long, &[ALICE, BOB])).unwrap_err();
        assert!(matches!(error, GrantError::TooLong { .. }), "{error}");
    }
}

#[test]
fn a_revoked_grant_fails_and_so_does_every_grant_without_a_fresh_list() {
    let grant = grant_of(&request(), &[ALICE, BOB]);
    let with = |revocations: &Revocations, now| {
        grant
            .verify("oscar", &rules(), revocations, now)
            .map(|_| ())
    };
    let mut revocations = Revocations::new("d", vec![key(REVOKER).public_key()], 10_000);
    assert_eq!(
        with(&revocations, NOW),
        Err(RevocationError::Missing.into())
    );
    revocations.update(&signed(&list(1, &["C"])), NOW).unwrap();
    assert_eq!(with(&revocations, NOW), Ok(()));
    revocations
        .update(&signed(&list(2, &[&request().id])), NOW)
        .unwrap();
    assert_eq!(with(&revocations, NOW), Err(GrantError::Revoked));

    // The provider hides the newer list, and later serves the older one.
    let back = revocations.update(&signed(&list(1, &["C"])), NOW);
    assert_eq!(back, Err(RevocationError::RolledBack { found: 1, seen: 2 }));
    assert_eq!(
        with(&revocations, NOW),
        Err(RevocationError::RolledBack { found: 1, seen: 2 }.into())
    );
    revocations
        .update(&signed(&list(2, &[&request().id])), NOW)
        .unwrap();
    assert_eq!(with(&revocations, NOW), Err(GrantError::Revoked));
    let fork = revocations.update(&signed(&list(2, &[])), NOW);
    assert_eq!(fork, Err(RevocationError::Forked { number: 2 }));
    // Nobody knows what is revoked until there is a list of a higher number: each of the two may lack what the other one has.
    let forked = Err(RevocationError::Forked { number: 2 }.into());
    assert_eq!(with(&revocations, NOW), forked);
    assert!(
        revocations
            .update(&signed(&list(2, &[&request().id])), NOW)
            .is_err()
    );
    assert!(revocations.update(&signed(&list(1, &["C"])), NOW).is_err());
    assert_eq!(with(&revocations, NOW), forked);
    assert_eq!(revocations.number(), Some(2));
    // What was revoked once stays so here, though somebody signs a list without it.
    revocations.update(&signed(&list(3, &["C"])), NOW).unwrap();
    assert_eq!(with(&revocations, NOW), Err(GrantError::Revoked));
    assert_eq!(revocations.dropped(), 1);
    let all = ["C", &request().id];
    revocations.update(&signed(&list(4, &all)), NOW).unwrap();
    assert_eq!(revocations.dropped(), 0);
    let last = revocations.update(&signed(&list(u64::MAX, &all)), NOW);
    assert!(matches!(last, Err(RevocationError::FarAhead { .. })));
    revocations.update(&signed(&list(5, &all)), NOW).unwrap();

    let mut stale = none_revoked();
    let next_update = NOW + 7_200;
    let long = Rules {
        longest: 36_000,
        ..rules()
    };
    let lasting = grant_anew(
        &GrantRequest {
            expires: NOW + 30_000,
            ..request()
        },
        &[ALICE, BOB],
    );
    let error = lasting
        .verify("oscar", &long, &stale, next_update)
        .unwrap_err();
    assert_eq!(
        error,
        RevocationError::Stale {
            next_update,
            now: next_update
        }
        .into()
    );
    let late = stale.update(&signed(&list(3, &[])), next_update);
    assert_eq!(
        late,
        Err(RevocationError::Stale {
            next_update,
            now: next_update
        })
    );
    // A clock that is set back makes nothing fresh.
    let error = with(&stale, NOW - 100).unwrap_err();
    assert!(matches!(error, GrantError::NotYet { .. }));
    assert!(matches!(
        stale.is_revoked("A", NOW - 100),
        Err(RevocationError::FromTheFuture { .. })
    ));
}

#[test]
fn lists_of_others_for_others_and_of_the_future_are_refused() {
    let mut revocations = none_revoked();
    let by = |seed, list: &RevocationList| SignedRevocationList::sign(list, &key(seed)).unwrap();
    for seed in [STRANGER, ALICE] {
        let error = revocations
            .update(&by(seed, &list(9, &[])), NOW)
            .unwrap_err();
        assert!(matches!(error, RevocationError::Signature(_)));
    }
    let mut tampered = signed(&list(9, &["C"]));
    tampered.list = tampered.list.replace("[\"C\"]", "[]");
    assert!(matches!(
        revocations.update(&tampered, NOW),
        Err(RevocationError::Signature(_))
    ));
    let foreign = RevocationList {
        deployment: "e".to_owned(),
        ..list(9, &[])
    };
    assert_eq!(
        revocations.update(&signed(&foreign), NOW),
        Err(RevocationError::Foreign)
    );
    let early = RevocationList {
        issued: NOW + 61,
        ..list(9, &[])
    };
    let error = revocations.update(&signed(&early), NOW).unwrap_err();
    assert!(matches!(error, RevocationError::FromTheFuture { .. }));
    // It is newer all the same, so that what it revokes does not count by the one before, and nothing else does.
    assert_eq!(revocations.number(), Some(9));
    assert!(matches!(
        revocations.is_revoked("A", NOW),
        Err(RevocationError::FromTheFuture { .. })
    ));
    assert!(revocations.update(&signed(&list(2, &[])), NOW).is_err());
    let text = signed(&list(10, &["C"])).to_text().unwrap();
    revocations
        .update(&SignedRevocationList::of_text(&text).unwrap(), NOW)
        .unwrap();
}

/// Made with `ssh-keygen -t ed25519 -N "" -C approver@example`; protects nothing.
const OPENSSH_KEY: &str = include_str!("openssh/approver");
const OPENSSH_PUBLIC: &str = include_str!("openssh/approver.pub");
/// `printf %s sealgate | ssh-keygen -Y sign -n sealgate-grant -f approver`
const OPENSSH_SIGNATURE: &str = include_str!("openssh/sealgate.sig");
const OPENSSH_OTHER_NAMESPACE: &str = include_str!("openssh/other-namespace.sig");
const OPENSSH_SHA256: &str = include_str!("openssh/sha256.sig");
const OPENSSH_ECDSA_PUBLIC: &str = include_str!("openssh/ecdsa.pub");
const OPENSSH_ECDSA_SIGNATURE: &str = include_str!("openssh/ecdsa.sig");
const OPENSSH_SEALED_KEY: &str = include_str!("openssh/with-passphrase");

#[test]
fn keys_and_signatures_of_openssh_are_taken() {
    let public = PublicKey::parse(OPENSSH_PUBLIC).unwrap();
    assert!(OPENSSH_PUBLIC.starts_with(&public.to_string()));
    let approval = Approval::of_openssh("sealgate", OPENSSH_SIGNATURE).unwrap();
    // Ed25519 signs the same text the same way, so ours is the one that ssh-keygen made.
    let ours = Approval::sign("sealgate", &PrivateKey::parse(OPENSSH_KEY).unwrap()).unwrap();
    assert_eq!(approval, ours);
    let signature = Signature::decode(&ours.signature).unwrap();
    assert!(
        public
            .verify(GRANT_NAMESPACE, b"sealgate", &signature)
            .is_ok()
    );
}

#[test]
fn other_algorithms_purposes_and_texts_of_openssh_are_refused() {
    assert!(Approval::of_openssh("another text", OPENSSH_SIGNATURE).is_err());
    for signature in [
        OPENSSH_OTHER_NAMESPACE,
        OPENSSH_SHA256,
        OPENSSH_ECDSA_SIGNATURE,
        "nothing",
    ] {
        assert!(
            Approval::of_openssh("sealgate", signature).is_err(),
            "{signature}"
        );
    }
    let error = PublicKey::parse(OPENSSH_ECDSA_PUBLIC).unwrap_err();
    assert!(error.to_string().contains("Ed25519"), "{error}");
    assert!(PublicKey::parse("ssh-ed25519 AAAA").is_err());
    let error = PrivateKey::parse(OPENSSH_SEALED_KEY).unwrap_err();
    assert!(error.to_string().contains("ssh-keygen -Y sign"), "{error}");
    assert!(PrivateKey::parse("sealgate-approver-key-1 AAAA").is_err());
}

#[test]
fn a_list_counts_no_more_than_the_key_that_signed_it() {
    let by = |list: &RevocationList, seed| SignedRevocationList::sign(list, &key(seed)).unwrap();
    let both = vec![key(REVOKER).public_key(), key(BOB).public_key()];
    let mut known = Revocations::new("d", both, 10_000);
    known.update(&by(&list(1, &["A"]), REVOKER), NOW).unwrap();
    // A thief of Bob's key signs with a number that leaves little room, and leaves A out.
    known.update(&by(&list(1 << 30, &["B"]), BOB), NOW).unwrap();
    assert_eq!(known.is_revoked("C", NOW), Ok(false));
    let mut without = known.with(vec![key(REVOKER).public_key()], 10_000);
    assert_eq!(
        without.is_revoked("C", NOW),
        Err(RevocationError::Missing),
        "nobody who may has signed"
    );
    without.update(&by(&list(2, &["A"]), REVOKER), NOW).unwrap();
    let revoked = |id| without.is_revoked(id, NOW);
    assert_eq!(
        [revoked("A"), revoked("B"), revoked("C")],
        [Ok(true), Ok(true), Ok(false)]
    );
    // One whose key stays goes on to count, also after a time without any rules.
    let same = known
        .with(Vec::new(), 0)
        .with(vec![key(BOB).public_key()], 10_000);
    assert_eq!(same.is_revoked("C", NOW), Ok(false));
}
