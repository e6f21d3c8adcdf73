//! What clients are told, and whether that may be.

use std::collections::BTreeMap;

use aws_sdk_s3::Client as Connection;
use bytes::Bytes;

use crate::{
    failure::{Failure, answered},
    model::Known,
    world::{BUCKET, World, limit},
};

/// Keys of one page of a listing: few, so that there are several pages.
const PAGE: i32 = 25;

/// What an answer is noted as.
pub(crate) fn told<T>(outcome: &Result<T, Failure>) -> String {
    match outcome {
        Ok(_) => "acknowledged".to_owned(),
        Err(failure) => failure.to_string(),
    }
}

/// Notes that something is not as it has to be.
pub(crate) fn lose(world: &World, known: &Known, problem: &str) {
    let story = known.story(&world.timeline);
    world.timeline.lose(&format!("{problem}\n{story}"));
}

/// The body of an object, or of its range, if it comes whole.
pub(crate) async fn read(
    connection: &Connection,
    key: &str,
    range: Option<(usize, usize)>,
    longest: usize,
) -> Result<Bytes, Failure> {
    let reading = async {
        let request = connection.get_object().bucket(BUCKET).key(key);
        let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let answer = answered(limit(0), request.set_range(range).send()).await?;
        let body = answer.body.collect().await;
        Ok(body.map_err(|_| Failure::named("answer cut"))?.into_bytes())
    };
    tokio::time::timeout(limit(longest), Box::pin(reading))
        .await
        .unwrap_or_else(|_| Err(Failure::named("timed out")))
}

/// Judges what a read gave. Returns whether it gave an object that was never acknowledged.
pub(crate) fn judge(
    world: &World,
    known: &Known,
    range: Option<(usize, usize)>,
    outcome: Result<Bytes, Failure>,
) -> bool {
    match outcome {
        Ok(bytes) => {
            let found = known.may_be(&world.source, range, &bytes);
            if found.is_none() {
                let problem = format!(
                    "{} bytes (range {range:?}) that it cannot hold",
                    bytes.len()
                );
                lose(world, known, &problem);
            }
            found == Some(true)
        }
        Err(failure) => {
            if failure.is_not_found() && !known.may_be_absent() {
                lose(world, known, &format!("GET says {failure}"));
            }
            false
        }
    }
}

/// The keys with this prefix, and their lengths, page by page.
pub(crate) async fn listed(
    connection: &Connection,
    prefix: &str,
) -> Result<BTreeMap<String, usize>, Failure> {
    let mut found = BTreeMap::new();
    let mut next = None;
    loop {
        let request = connection.list_objects_v2().bucket(BUCKET).prefix(prefix);
        let request = request.max_keys(PAGE).set_continuation_token(next);
        let page = answered(limit(0), request.send()).await?;
        for object in page.contents() {
            let length = usize::try_from(object.size().unwrap_or(-1)).unwrap_or(usize::MAX);
            found.insert(object.key().unwrap_or_default().to_owned(), length);
        }
        next = page.next_continuation_token;
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Whether a listing tells what may be there, and all that has to be.
pub(crate) fn judge_listing<'a>(
    world: &World,
    all: impl Iterator<Item = &'a Known>,
    found: &BTreeMap<String, usize>,
) {
    let mut left = found.clone();
    for known in all {
        match left.remove(&known.key) {
            Some(length) if !known.may_have_length(length) => {
                lose(world, known, &format!("listed with {length} bytes"));
            }
            None if !known.may_be_absent() => lose(world, known, "not listed"),
            _ => {}
        }
    }
    for key in left.keys() {
        world
            .timeline
            .lose(&format!("{key} is listed, which nobody has written"));
    }
}
