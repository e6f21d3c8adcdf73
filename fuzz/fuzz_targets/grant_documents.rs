//! Requests, grants, their records and revocation lists, as storage or mail brings them: what is read is the only text of what it says, so that
//! a signature covers nothing else, and what nobody signed neither grants, nor counts as a vote, nor revokes or resets anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_access::grant::{Approval, Grant, GrantRecord, GrantRequest, SignedRevocationList};
use sealgate_fuzz::documents::{
    DEPLOYMENT, NOW, REQUESTER, request, request_text, revocation_list, revocations, rules,
};

fuzz_target!(|text: &str| {
    if let Ok(request) = GrantRequest::of_text(text) {
        assert_eq!(request.to_text().as_deref(), Ok(text));
        if request.check_texts().is_ok() {
            // Whoever names its id means this text and no other.
            assert_eq!(request.clone().identified().as_ref(), Ok(&request));
        }
        let _ = request.fits(&rules());
        let _ = request.fits_a_token(2);
    }
    let _ = Approval::of_text(text);
    if let Ok(grant) = Grant::of_text(text) {
        assert_eq!(grant.to_text().as_deref(), Ok(text));
        if let Ok(verified) = grant.verify(REQUESTER, &rules(), &revocations(), NOW) {
            assert_eq!(verified.request(), &request());
            assert!(verified.approvers().len() >= 2);
        }
    }
    if let Ok(record) = GrantRecord::of_text(text) {
        assert_eq!(record.to_text().as_deref(), Ok(text));
        let votes = record.votes(REQUESTER, &rules());
        let has_votes = !votes.approved.is_empty() || !votes.denied.is_empty();
        assert!(!has_votes || record.request == request_text());
        let grant = record.grant(REQUESTER, &rules());
        let verified = grant.verify(REQUESTER, &rules(), &revocations(), NOW);
        assert!(verified.is_err() || votes.approved.len() >= 2);
    }
    if let Ok(list) = SignedRevocationList::of_text(text) {
        assert_eq!(list.to_text().as_deref(), Ok(text));
        let _ = list.unverified(DEPLOYMENT);
        let mut known = revocations();
        let taken = known.update(&list, NOW);
        let signed = [1, 2].map(revocation_list);
        if !signed.iter().any(|signed| signed.list == list.list) {
            assert!(taken.is_err());
            assert_eq!(known.number(), Some(1));
            assert_eq!(known.is_revoked(&request().id, NOW), Ok(false));
        }
    }
});
