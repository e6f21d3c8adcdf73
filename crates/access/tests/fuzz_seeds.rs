//! What fuzzing begins with: a seed that no longer parses shows it nothing of what comes behind.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use sealgate_access::grant::{
    Approval, DENIAL_NAMESPACE, GRANT_NAMESPACE, Grant, GrantRecord, GrantRequest,
    REVOCATIONS_NAMESPACE, SignedRevocationList,
};
use sealgate_access::{PrivateKey, PublicKey, Signature};

fn seed(name: &str) -> String {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/seeds/grant_documents"
    );
    std::fs::read_to_string(format!("{directory}/{name}")).unwrap()
}

fn verify(namespace: &str, text: &str, key: &str, signature: &str) {
    let signature = Signature::decode(signature).unwrap();
    let key = PublicKey::parse(key).unwrap();
    key.verify(namespace, text.as_bytes(), &signature).unwrap();
}

#[test]
fn every_kind_of_document_has_a_seed_that_is_read_and_verifies() {
    let request = GrantRequest::of_text(&seed("request")).unwrap();
    request.check_texts().unwrap();
    assert_eq!(request.version, GrantRequest::VERSION);

    let grant = Grant::of_text(&seed("grant")).unwrap();
    let record = GrantRecord::of_text(&seed("record")).unwrap();
    let approval = Approval::of_text(&seed("approval")).unwrap();
    let approvals = grant.approvals.iter().chain(&record.approvals);
    for Approval { key, signature } in approvals.chain([&approval]) {
        verify(GRANT_NAMESPACE, &seed("request"), key, signature);
    }
    assert_eq!((grant.approvals.len(), record.denials.len()), (2, 1));
    for denial in &record.denials {
        let (key, signature) = (&denial.key, &denial.signature);
        verify(DENIAL_NAMESPACE, &seed("request"), key, signature);
    }

    let revoker = PrivateKey::parse(&PrivateKey::text_of_seed(&[4; 32])).unwrap();
    let revoker = revoker.public_key().to_string();
    for name in ["revocations-1", "revocations-2"] {
        let signed = SignedRevocationList::of_text(&seed(name)).unwrap();
        signed.unverified("fuzz").unwrap();
        let SignedRevocationList { list, signature } = &signed;
        verify(REVOCATIONS_NAMESPACE, list, &revoker, signature);
    }
}
