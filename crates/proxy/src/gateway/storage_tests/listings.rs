//! Listings that pass while they arrive.

use bytes::Bytes;
use http::Method;
use tokio::sync::mpsc;

use super::Rig;
use crate::upstream::{AnswerBody, BodyFailure, Target, UpstreamRequest};

fn entries(count: usize) -> Bytes {
    let entry = "<Contents><Key>a key of some length</Key><Size>413</Size></Contents>";
    Bytes::from(entry.repeat(count))
}

/// Begins to read a listing whose pieces come from the returned sender; so much was sent already.
async fn begin(rig: &Rig, first: usize) -> (mpsc::Sender<Result<Bytes, BodyFailure>>, AnswerBody) {
    let (pieces, receiver) = mpsc::channel(1_000);
    *rig.storage.behaviour.listing.lock().unwrap() = Some(receiver);
    let start = Bytes::from_static(b"<ListBucketResult>");
    pieces.send(Ok(start)).await.unwrap();
    pieces.send(Ok(entries(first))).await.unwrap();
    let request = UpstreamRequest::new(Method::GET, Target::bucket("scripted"));
    let answer = rig.call(request.query("list-type=2")).await.unwrap();
    (pieces, answer.into_parts().1)
}

/// Bytes that the client gets until it has seen so many entries.
async fn read_entries(body: &mut AnswerBody, count: usize) -> usize {
    let (mut text, mut length) = (String::new(), 0);
    while text.matches("</Contents>").count() < count {
        let piece = body.next().await.unwrap().unwrap();
        length += piece.len();
        text += std::str::from_utf8(&piece).unwrap();
    }
    assert!(!text.contains(">413<"), "sizes of the ciphertext");
    length
}

#[tokio::test]
async fn the_answer_begins_before_the_storages_document_has_ended_and_100_000_keys_pass() {
    let rig = Rig::start("").await;
    let (pieces, mut body) = begin(&rig, 2_000).await;
    read_entries(&mut body, 2_000).await;
    let sender = tokio::spawn(async move {
        for _ in 0..98 {
            pieces.send(Ok(entries(1_000))).await.unwrap();
        }
        let end = Bytes::from_static(b"</ListBucketResult>");
        pieces.send(Ok(end)).await.unwrap();
    });
    let mut last = Bytes::new();
    let mut length = 0;
    while let Some(piece) = body.next().await.unwrap() {
        length += piece.len();
        last = piece;
    }
    sender.await.unwrap();
    assert!(last.ends_with(b"</ListBucketResult>"));
    assert_eq!(
        length,
        entries(98_000).len() - 2 * 98_000 + "</ListBucketResult>".len()
    );
}

#[tokio::test]
async fn a_listing_that_goes_wrong_after_its_beginning_ends_in_a_broken_connection() {
    let rig = Rig::start("").await;
    for wrong in ["<Contents><Size>x</Size></Contents>", "</Other>", "<a>"] {
        let (pieces, mut body) = begin(&rig, 2_000).await;
        read_entries(&mut body, 2_000).await;
        pieces.send(Ok(Bytes::from(wrong))).await.unwrap();
        drop(pieces);
        let end = loop {
            match body.next().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert!(end.is_err(), "{wrong}: a clean end");
    }
}

#[tokio::test]
async fn a_small_listing_has_a_length_and_an_error_of_its_own() {
    let rig = Rig::start("").await;
    let (pieces, receiver) = mpsc::channel(10);
    *rig.storage.behaviour.listing.lock().unwrap() = Some(receiver);
    let wrong = Bytes::from_static(b"<ListBucketResult><Contents><Size>x</Size>");
    pieces.send(Ok(wrong)).await.unwrap();
    drop(pieces);
    let request = UpstreamRequest::new(Method::GET, Target::bucket("scripted"));
    let error = rig.call(request.query("list-type=2")).await.unwrap_err();
    assert_eq!(
        (error.status.as_u16(), &*error.code),
        (500, "InternalError")
    );
    rig.put("key", "abc").await.unwrap();
    let request = UpstreamRequest::new(Method::GET, Target::bucket(super::BUCKET));
    let answer = rig.call(request.query("list-type=2")).await.unwrap();
    assert!(answer.content_length().is_some());
    let text = answer.document(1 << 20).await.unwrap();
    assert!(String::from_utf8_lossy(&text).contains("<Size>3</Size>"));
}

#[tokio::test]
async fn a_page_of_1_000_keys_takes_one_request_to_the_storage() {
    let rig = Rig::start("").await;
    rig.put("key", "abc").await.unwrap();
    for index in 0..999 {
        rig.storage
            .duplicate(super::BUCKET, "key", format!("key-{index:04}"));
    }
    rig.storage.take_seen();
    for query in [
        "list-type=2",
        "",
        "list-type=2&fetch-owner=true",
        "versions",
    ] {
        let listing = UpstreamRequest::new(Method::GET, Target::bucket(super::BUCKET));
        let text = rig.text(listing.query(query)).await;
        assert_eq!(text.matches("<Size>3</Size>").count(), 1_000, "{query}");
        let seen = rig.storage.take_seen();
        assert_eq!(seen.len(), 1, "{query}: {seen:?}");
        assert_eq!(seen[0].bucket, super::BUCKET);
    }
}
