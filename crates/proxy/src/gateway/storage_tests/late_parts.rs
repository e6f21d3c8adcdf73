//! Completions while another upload of a part arrives late: the first try of a client that gave up waiting and sent the part again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{
    BUCKET, Rig, content, request,
    storage::{Object, Part, Storage},
    upload_ends::OpenUpload,
};
use crate::error::S3Error;

/// The least length of a part that is not the last.
const PART: usize = 5 << 20;

/// What a late try brings, in the order in which it comes.
#[derive(Debug, Clone)]
struct Late {
    upload: String,
    number: u16,
    /// At the storage.
    part: Part,
    /// In the state bucket.
    record: (String, Object),
    state: String,
}

impl Late {
    /// Uploads a part, and takes back what became of it: as if it had been sent, and nothing had arrived.
    async fn send(rig: &Rig, upload: &OpenUpload, number: u16, body: Bytes) -> Self {
        let before = rig.storage.part(&upload.upstream, number);
        let records = upload.state(rig);
        upload.part(rig, number, body).await;
        let is_new = |(name, _): &(String, Object)| records.iter().all(|(known, _)| known != name);
        let late = Self {
            upload: upload.upstream.clone(),
            number,
            part: rig.storage.part(&upload.upstream, number).unwrap(),
            record: upload.state(rig).into_iter().find(is_new).unwrap(),
            state: rig.gateway.state.name().to_owned(),
        };
        rig.storage.take(&late.state, &late.record.0);
        match before {
            Some(part) => rig.storage.plant_parts(&late.upload, [(number, part)]),
            None => rig.storage.take_part(&late.upload, number),
        }
        late
    }

    fn is_stored(&self, storage: &Storage) {
        storage.plant_parts(&self.upload, [(self.number, self.part.clone())]);
    }

    fn is_recorded(&self, storage: &Storage) {
        storage.give(&self.state, [self.record.clone()]);
    }
}

/// An upload of two parts of 5 MiB, and its content.
async fn two_parts(rig: &Rig, key: &str) -> (OpenUpload, Bytes) {
    let mut upload = OpenUpload::begin(rig, key).await;
    let whole = content(2 * PART);
    for (number, bytes) in [(1, whole.slice(..PART)), (2, whole.slice(PART..))] {
        let tag = upload.part(rig, number, bytes).await;
        upload.named.push((number, tag));
    }
    (upload, whole)
}

/// How often the parts of an upload were listed.
fn listings(rig: &Rig) -> usize {
    let seen = rig.storage.take_seen();
    let lists = seen
        .iter()
        .filter(|seen| seen.method == Method::GET && seen.query.contains("part-number-marker="));
    lists.count()
}

/// When a late try lands: it is stored, or recorded, before such a question is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    Before,
    /// Before the second listing of whatever kind.
    BetweenListings,
    /// Before the records are listed a second time.
    AfterRecords,
    BeforeCompletion,
}

#[tokio::test]
async fn a_late_try_with_the_same_bytes_never_fails_a_completion() {
    for (stored, recorded) in [
        (When::Before, When::AfterRecords),
        (When::Before, When::BetweenListings),
        (When::BetweenListings, When::AfterRecords),
        (When::BeforeCompletion, When::BeforeCompletion),
        (When::BeforeCompletion, When::AfterRecords),
    ] {
        let rig = Rig::start("").await;
        let (upload, whole) = two_parts(&rig, "key").await;
        let late = Late::send(&rig, &upload, 2, whole.slice(PART..)).await;
        if stored == When::Before {
            late.is_stored(&rig.storage);
        }
        let state = late.state.clone();
        let (mut listings, mut listings_of_records) = (0, 0);
        let (mut is_stored, mut is_recorded) = (stored == When::Before, false);
        rig.storage.behaviour.hook.set(move |moment| {
            let of_records = moment.lists(&state);
            listings_of_records += usize::from(of_records);
            listings += usize::from(of_records || moment.lists_parts());
            let is_due = |when| match when {
                When::Before => true,
                When::BetweenListings => listings == 2,
                When::AfterRecords => listings_of_records == 2,
                When::BeforeCompletion => moment.completes(),
            };
            if !is_stored && is_due(stored) {
                late.is_stored(moment.storage);
                is_stored = true;
            }
            if !is_recorded && is_due(recorded) {
                late.is_recorded(moment.storage);
                is_recorded = true;
            }
            None
        });
        let outcome = upload.complete(&rig).await;
        rig.storage.behaviour.hook.clear();
        assert!(outcome.is_ok(), "{stored:?}, {recorded:?}: {outcome:?}");
        assert_eq!(rig.get("key").await, whole, "{stored:?}, {recorded:?}");
        assert_eq!(upload.state(&rig).len(), 0, "state is left");
    }
}

#[tokio::test]
async fn a_late_try_at_a_part_that_is_not_named_does_not_take_the_place_of_the_commit_region() {
    let rig = Rig::start("").await;
    let (upload, whole) = two_parts(&rig, "key").await;
    let late = Late::send(&rig, &upload, 3, content(PART)).await;
    let mut lands = true;
    rig.storage.behaviour.hook.set(move |moment| {
        if moment.completes() && std::mem::take(&mut lands) {
            late.is_stored(moment.storage);
            late.is_recorded(moment.storage);
        }
        None
    });
    upload.complete(&rig).await.unwrap();
    assert_eq!(rig.get("key").await, whole);
}

#[tokio::test]
async fn a_repeated_completion_finds_the_object_that_was_made_of_a_late_try() {
    let rig = Rig::start("").await;
    let (upload, whole) = two_parts(&rig, "key").await;
    let late = Late::send(&rig, &upload, 2, whole.slice(PART..)).await;
    late.is_stored(&rig.storage);
    late.is_recorded(&rig.storage);
    let state = upload.state(&rig);
    upload.complete(&rig).await.unwrap();
    // As if the gateway had been killed before it deleted the state.
    rig.storage.give(&late.state, state);
    upload.complete(&rig).await.unwrap();
    assert_eq!(upload.state(&rig).len(), 0, "state is left");
    // Nothing tells any more which attempts were interchangeable.
    assert_eq!(code(upload.complete(&rig).await), "NoSuchUpload");
}

fn code<T: std::fmt::Debug>(outcome: Result<T, S3Error>) -> String {
    outcome.unwrap_err().code.to_string()
}

#[tokio::test]
async fn a_wrong_request_is_refused_at_the_first_look() {
    let rig = Rig::start("").await;
    let (mut upload, _) = two_parts(&rig, "key").await;
    let right = upload.named.clone();
    let other = format!("\"{}-01\"", "0".repeat(32));
    let missing = (3, right[1].1.clone());
    for named in [
        vec![right[0].clone(), (2, other)],
        vec![right[0].clone(), right[1].clone(), missing],
    ] {
        upload.named = named;
        rig.storage.take_seen();
        assert_eq!(code(upload.complete(&rig).await), "InvalidPart");
        assert_eq!(listings(&rig), 1);
    }
    // Replaced by other bytes, which are recorded.
    upload.part(&rig, 2, content(PART + 1)).await;
    upload.named = right;
    rig.storage.take_seen();
    assert_eq!(code(upload.complete(&rig).await), "InvalidPart");
    assert_eq!(listings(&rig), 1);
}

#[tokio::test]
async fn what_never_comes_is_waited_for_two_seconds() {
    let rig = Rig::start("").await;
    let (upload, whole) = two_parts(&rig, "key").await;
    let late = Late::send(&rig, &upload, 2, whole.slice(PART..)).await;
    let took_part_of = async |upload: &OpenUpload| {
        rig.storage.take_seen();
        let start = Instant::now();
        let error = upload.complete(&rig).await.unwrap_err();
        let taken = start.elapsed();
        assert!(taken > Duration::from_secs(1), "{taken:?}");
        assert!(taken < Duration::from_secs(8), "{taken:?}");
        let listings = listings(&rig);
        assert!((2..=6).contains(&listings), "{listings} listings");
        error
    };
    // The storage refuses what it lists.
    rig.storage.behaviour.hook.set(|moment| {
        let refuses = moment.completes();
        refuses.then_some((StatusCode::BAD_REQUEST, "InvalidPart"))
    });
    assert_eq!(took_part_of(&upload).await.code, "InvalidPart");
    rig.storage.behaviour.hook.clear();
    // It has lost the part.
    let part = rig.storage.part(&upload.upstream, 2).unwrap();
    rig.storage.take_part(&upload.upstream, 2);
    assert_eq!(took_part_of(&upload).await.code, "InvalidPart");
    rig.storage.plant_parts(&upload.upstream, [(2, part)]);
    // The late try is stored, and its record does not come: the client is told to ask again.
    late.is_stored(&rig.storage);
    let error = took_part_of(&upload).await;
    assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(error.message.starts_with("Part 2 "), "{error}");
    late.is_recorded(&rig.storage);
    upload.complete(&rig).await.unwrap();
    assert!(!rig.storage.objects(BUCKET, "key").is_empty());
    assert_eq!(rig.get("key").await, whole);
    rig.call(request(Method::DELETE, "key")).await.unwrap();
}
