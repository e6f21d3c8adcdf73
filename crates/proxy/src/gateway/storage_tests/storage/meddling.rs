//! What a test does to open uploads and to single requests behind the gateway's back.

use super::*;

/// A request that is about to be answered.
pub(in super::super) struct Moment<'a> {
    pub(in super::super) storage: &'a Storage,
    pub(in super::super) method: &'a Method,
    pub(in super::super) bucket: &'a str,
    pub(in super::super) query: &'a str,
}

impl Moment<'_> {
    /// Whether the parts of an upload are listed.
    pub(in super::super) fn lists_parts(&self) -> bool {
        self.method == Method::GET && self.query.contains("uploadId=")
    }

    /// Whether an upload is completed.
    pub(in super::super) fn completes(&self) -> bool {
        self.method == Method::POST && self.query.contains("uploadId=")
    }

    /// Whether the names of a bucket are listed.
    pub(in super::super) fn lists(&self, bucket: &str) -> bool {
        self.method == Method::GET && self.bucket == bucket && self.query.contains("list-type=2")
    }
}

/// An error to answer with, if any.
type Meddling = Option<(StatusCode, &'static str)>;

type Meddle = dyn FnMut(&Moment<'_>) -> Meddling + Send;

/// What is done before a request is answered.
#[derive(Default)]
pub(in super::super) struct Hook(Mutex<Option<Box<Meddle>>>);

impl Hook {
    pub(in super::super) fn set(&self, hook: impl FnMut(&Moment<'_>) -> Meddling + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(hook));
    }

    pub(in super::super) fn clear(&self) {
        *self.0.lock().unwrap() = None;
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Storage {
    pub(super) fn meddle(&self, method: &Method, bucket: &str, query: &str) -> Meddling {
        let mut hook = self.behaviour.hook.0.lock().unwrap();
        hook.as_mut()?(&Moment {
            storage: self,
            method,
            bucket,
            query,
        })
    }

    /// Puts parts into an open upload.
    pub(in super::super) fn plant_parts(
        &self,
        upload: &str,
        parts: impl IntoIterator<Item = (u16, Part)>,
    ) {
        let mut held = self.held();
        held.uploads.get_mut(upload).unwrap().parts.extend(parts);
    }

    /// A part of an open upload.
    pub(in super::super) fn part(&self, upload: &str, number: u16) -> Option<Part> {
        self.held().uploads[upload].parts.get(&number).cloned()
    }

    /// Takes a part out of an open upload.
    pub(in super::super) fn take_part(&self, upload: &str, number: u16) {
        let mut held = self.held();
        held.uploads
            .get_mut(upload)
            .unwrap()
            .parts
            .remove(&number)
            .unwrap();
    }

    /// All objects of a bucket whose names begin so.
    pub(in super::super) fn objects(&self, bucket: &str, prefix: &str) -> Vec<(String, Object)> {
        let held = self.held();
        let found = held.objects.iter();
        found
            .filter(|((of, key), _)| of == bucket && key.starts_with(prefix))
            .map(|((_, key), object)| (key.clone(), object.clone()))
            .collect()
    }

    /// Takes an object away.
    pub(in super::super) fn take(&self, bucket: &str, key: &str) {
        let place = (bucket.to_owned(), key.to_owned());
        self.held().objects.remove(&place).unwrap();
    }

    /// Puts objects into a bucket.
    pub(in super::super) fn give(
        &self,
        bucket: &str,
        objects: impl IntoIterator<Item = (String, Object)>,
    ) {
        let named = |(key, object)| ((bucket.to_owned(), key), object);
        self.held().objects.extend(objects.into_iter().map(named));
    }

    /// Ends all uploads, as a lifecycle rule does.
    pub(in super::super) fn end_uploads(&self) {
        self.held().uploads.clear();
    }

    pub(in super::super) fn open_uploads(&self) -> usize {
        self.held().uploads.len()
    }
}
