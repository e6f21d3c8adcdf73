//! The grants, revocations and checkpoints that seeds hold, signed with keys of this package: the same in every run, since Ed25519 draws nothing.

use std::collections::BTreeSet;

use sealgate_access::PrivateKey;
use sealgate_access::grant::{
    Approval, Approver, Denial, Grant, GrantRecord, GrantRequest, NONCE_ENTROPY, RevocationList,
    Revocations, Rules, Scope, SignedRevocationList, nonce_of,
};
use sealgate_audit::checkpoint::Checkpoint;
use sealgate_audit::merkle::{Frontier, Hash};
use sealgate_audit::{Note, Purpose, SigningKey};
use zeroize::Zeroizing;

/// The time in all of them, in seconds since 1970.
pub const NOW: u64 = 1_800_000_000;

/// The deployment that they are about.
pub const DEPLOYMENT: &str = "fuzz";

/// Who asks for the grant.
pub const REQUESTER: &str = "oscar";

/// Who approves or denies it, each with the first byte of their key.
const APPROVERS: [(&str, u8); 3] = [("alice", 1), ("bob", 2), ("carol", 3)];

/// The key of whoever revokes.
const REVOKER: u8 = 4;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::parse(&PrivateKey::text_of_seed(&[seed; 32])).expect("a key")
}

/// Two of three have to approve.
pub fn rules() -> Rules {
    let approver = |(name, seed): (&str, u8)| Approver {
        name: name.to_owned(),
        identities: BTreeSet::new(),
        key: key(seed).public_key(),
    };
    Rules {
        deployment: DEPLOYMENT.to_owned(),
        requesters: [REQUESTER.to_owned()].into(),
        approvers: APPROVERS.map(approver).into(),
        quorum: 2,
        longest: 3_600,
    }
}

/// The only request that was ever signed with these keys.
///
/// # Panics
/// Never, like everything here: the documents are allowed.
pub fn request() -> GrantRequest {
    let request = GrantRequest {
        version: GrantRequest::VERSION,
        deployment: DEPLOYMENT.to_owned(),
        id: String::new(),
        nonce: nonce_of(&[7; NONCE_ENTROPY]),
        requester: REQUESTER.to_owned(),
        scope: Scope {
            bucket: "data".to_owned(),
            prefix: "case-7/".to_owned(),
            actions: vec!["s3:GetObject".to_owned(), "decrypt".to_owned()],
        },
        reason: "the customer \"Süd\" asked for it".to_owned(),
        ticket: "T-7".to_owned(),
        made: NOW,
        not_before: NOW,
        expires: NOW + 3_600,
    };
    request.identified().expect("an allowed request")
}

/// Its text.
///
/// # Panics
/// As [`request`].
pub fn request_text() -> String {
    request().to_text().expect("a short request")
}

/// The approval of one of the approvers.
///
/// # Panics
/// As [`request`].
pub fn approval(approver: usize) -> Approval {
    Approval::sign(&request_text(), &key(APPROVERS[approver].1)).expect("a signature")
}

/// The grant that two of them make.
pub fn grant() -> Grant {
    Grant {
        request: request_text(),
        approvals: vec![approval(0), approval(1)],
    }
}

/// A record with an approval and a denial.
///
/// # Panics
/// As [`request`].
pub fn record() -> GrantRecord {
    let denial = Denial::sign(&request_text(), &key(APPROVERS[2].1)).expect("a signature");
    GrantRecord {
        approvals: vec![approval(0)],
        denials: vec![denial],
        ..GrantRecord::new(request_text())
    }
}

/// The list of this number; only 1 and 2 were ever signed. The second revokes a grant, of which nobody asks.
///
/// # Panics
/// As [`request`].
pub fn revocation_list(number: u64) -> SignedRevocationList {
    let revoked = (number > 1).then(|| "A".repeat(32));
    let list = RevocationList {
        version: RevocationList::VERSION,
        deployment: DEPLOYMENT.to_owned(),
        number,
        issued: NOW,
        next_update: NOW + 3_600,
        revoked: revoked.into_iter().collect(),
    };
    SignedRevocationList::sign(&list, &key(REVOKER)).expect("a short list")
}

/// What is known after the first list.
///
/// # Panics
/// As [`request`].
pub fn revocations() -> Revocations {
    let mut revocations = Revocations::new(DEPLOYMENT, vec![key(REVOKER).public_key()], 3_600);
    let first = revocations.update(&revocation_list(1), NOW);
    first.expect("the first list");
    revocations
}

/// The key of the log.
///
/// # Panics
/// As [`request`].
pub fn log_key() -> SigningKey {
    SigningKey::of_seed("log.example", Purpose::Log, Zeroizing::new([5; 32])).expect("a name")
}

/// The key of a receiver of that log.
///
/// # Panics
/// As [`request`].
pub fn receiver_key() -> SigningKey {
    let seed = Zeroizing::new([6; 32]);
    SigningKey::of_seed("receiver.example", Purpose::Cosigner, seed).expect("a name")
}

/// The only checkpoint that the log ever signed.
pub fn checkpoint() -> Note {
    let mut frontier = Frontier::new();
    for line in ["one\n", "two\n", "three\n"] {
        frontier.append(Hash::leaf(line.as_bytes()));
    }
    Checkpoint::of("log.example", &frontier).sign(&log_key())
}

/// The same with the cosignature of the receiver.
pub fn cosigned_checkpoint() -> Note {
    let mut note = checkpoint();
    note.cosign(&receiver_key(), NOW);
    note
}
