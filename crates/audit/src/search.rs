//! Looks through the lines of a log, in bounded memory. Nothing is verified here.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    io::{self, BufReader},
    vec,
};

use crate::{
    directory::{Directory, Segment},
    event::{Event, Kind, Verdict},
    line::{self, Header},
    lines::Lines,
};

/// Requests whose outcomes are remembered to be wanted.
const REMEMBERED: usize = 65_536;

/// One line of a log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the log.
    pub header: Header,
    /// What it says.
    pub event: Event,
    /// Its bytes, with the line feed.
    pub bytes: Vec<u8>,
}

/// All lines of a log, in order. A line that is being written ends them; one that is no record is an error.
#[derive(Debug)]
pub struct Entries {
    directory: Directory,
    segments: vec::IntoIter<Segment>,
    current: Option<(Segment, Lines<BufReader<File>>)>,
    /// The sequence after the last line, while more may come.
    following: Option<u64>,
}

impl Entries {
    /// From the first line that is there, or from the segment that has line `start`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(directory: &Directory, start: u64) -> io::Result<Self> {
        let mut segments = directory.segments()?;
        let earlier = segments.partition_point(|segment| segment.first <= start);
        segments.drain(..earlier.saturating_sub(1));
        Ok(Self {
            directory: directory.clone(),
            segments: segments.into_iter(),
            current: None,
            following: None,
        })
    }

    /// The lines of the last segments, and whatever comes: after `None` it may be asked again.
    ///
    /// # Errors
    /// What the file system says.
    pub fn follow(directory: &Directory) -> io::Result<Self> {
        let segments = directory.segments()?;
        let start = segments.iter().rev().nth(1).or(segments.last());
        let start = start.map_or(0, |segment| segment.first);
        let mut entries = Self::open(directory, start)?;
        entries.following = Some(start);
        Ok(entries)
    }

    /// The next line.
    ///
    /// # Errors
    /// What the file system says, or where a line is no record.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if self.current.is_none() {
                let Some(segment) = self.segments.next() else {
                    return Ok(None);
                };
                let lines = Lines::open(&segment.path)?;
                self.current = Some((segment, lines));
            }
            let Some((segment, lines)) = &mut self.current else {
                continue;
            };
            match lines.next_line()? {
                Some(raw) if raw.is_whole => {
                    let (header, event) = line::read(&raw.bytes).map_err(|error| {
                        let (path, number) = (segment.path.display(), raw.number);
                        io::Error::other(format!(
                            "{path}, line {number}: {error}; `sealgate audit verify` says more"
                        ))
                    })?;
                    if let Some(following) = &mut self.following {
                        *following = header.seq + 1;
                    }
                    return Ok(Some(Entry {
                        header,
                        event,
                        bytes: raw.bytes,
                    }));
                }
                torn => {
                    if let Some(torn) = torn {
                        // The rest of it may come.
                        lines.seek(torn.offset)?;
                    }
                    match self.following {
                        Some(next) if self.segments.len() == 0 => {
                            let segment = self.directory.segment(next);
                            if !segment.path.exists() {
                                return Ok(None);
                            }
                            let lines = Lines::open(&segment.path)?;
                            self.current = Some((segment, lines));
                        }
                        _ => self.current = None,
                    }
                }
            }
        }
    }
}

/// What is looked for: everything that is set has to fit.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The identity.
    pub identity: Option<String>,
    /// The access key.
    pub access_key: Option<String>,
    /// The session: its access key id, or all that records have of it.
    pub session: Option<String>,
    /// The grant.
    pub grant: Option<String>,
    /// The id of the request.
    pub request: Option<String>,
    /// The source address.
    pub source: Option<String>,
    /// The S3 operation, or the action.
    pub action: Option<String>,
    /// The bucket.
    pub bucket: Option<String>,
    /// The object's key.
    pub key: Option<String>,
    /// What the object's key begins with.
    pub prefix: Option<String>,
    /// What else a storage may take a key for: a record whose key has such a name that fits, fits as well.
    pub other_names: Option<fn(&str) -> Vec<String>>,
    /// The hash that is recorded instead of a key.
    pub key_hash: Option<String>,
    /// What was decided.
    pub decision: Option<Verdict>,
    /// Not before this time, as records have it.
    pub since: Option<String>,
    /// Before this time, as records have it.
    pub until: Option<String>,
}

impl Query {
    /// Whether a line fits by itself.
    pub fn fits(&self, event: &Event) -> bool {
        let is =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let names_fit = |name: &str| {
            let is_wanted = |wanted: &String| wanted == name;
            let is_below = |prefix: &String| name.starts_with(prefix.as_str());
            self.key.as_ref().is_none_or(is_wanted) && self.prefix.as_ref().is_none_or(is_below)
        };
        let by_key = |key: &str| {
            let other_names =
                |of: fn(&str) -> Vec<String>| of(key).iter().any(|name| names_fit(name));
            names_fit(key) || self.other_names.is_some_and(other_names)
        };
        // Of a role, the record has the session's name and who got it behind the access key id.
        let in_session = |wanted: &String| {
            let found = event.session.as_deref().unwrap_or_default();
            found == wanted || found.split(' ').next() == Some(wanted)
        };
        is(&self.identity, &event.identity)
            && is(&self.access_key, &event.access_key)
            && self.session.as_ref().is_none_or(in_session)
            && is(&self.grant, &event.grant)
            && is(&self.request, &event.request)
            && is(&self.source, &event.source)
            && (is(&self.action, &event.action) || is(&self.action, &event.operation))
            && is(&self.bucket, &event.bucket)
            && (self.key.is_none() && self.prefix.is_none()
                || event.key.as_deref().is_some_and(by_key))
            && is(&self.key_hash, &event.key_hash)
            && (self.decision.is_none() || self.decision == event.decision)
            && self.since.as_ref().is_none_or(|since| event.time >= *since)
            && self.until.as_ref().is_none_or(|until| event.time < *until)
    }
}

/// A query that also finds what came of the requests that fit.
#[derive(Debug)]
pub struct Finder {
    query: Query,
    order: VecDeque<String>,
    requests: HashSet<String>,
}

impl Finder {
    /// Looks for this.
    pub fn new(query: Query) -> Self {
        Self {
            query,
            order: VecDeque::new(),
            requests: HashSet::new(),
        }
    }

    /// Whether the next line is wanted.
    pub fn wants(&mut self, event: &Event) -> bool {
        if event.kind == Kind::Outcome
            && let Some(request) = &event.request
            && self.requests.remove(request)
        {
            return true;
        }
        let fits = self.query.fits(event);
        if fits
            && event.kind == Kind::Intent
            && let Some(request) = &event.request
            && self.requests.insert(request.clone())
        {
            self.order.push_back(request.clone());
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.requests.remove(&oldest);
            }
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decision, Log, LogOptions, Outcome, Purpose, SigningKey};

    fn intent(request: &str, identity: &str, key: &str) -> Event {
        Event::intent(Decision {
            request: request.to_owned(),
            identity: identity.to_owned(),
            operation: "GetObject".to_owned(),
            action: Some("decrypt"),
            bucket: Some("b".to_owned()),
            key: Some(key.to_owned()),
            ..Decision::new(Verdict::Allow)
        })
    }

    #[test]
    fn a_session_is_found_by_its_access_key_id_and_by_all_that_is_known_of_it() {
        let mut event = intent("1", "backup", "a");
        event.session = Some("SGT1 nightly alice".to_owned());
        let fits = |session: &str| {
            let query = Query {
                session: Some(session.to_owned()),
                ..Query::default()
            };
            query.fits(&event)
        };
        assert!(fits("SGT1") && fits("SGT1 nightly alice"));
        assert!(!fits("SGT") && !fits("nightly") && !fits("SGT1 nightly"));
        event.session = None;
        let query = Query {
            session: Some("SGT1".to_owned()),
            ..Query::default()
        };
        assert!(!query.fits(&event));
    }

    #[test]
    fn a_key_is_found_by_whatever_it_may_be_taken_for() {
        let event = intent("1", "mallory", "/photos/a");
        let fits = |key: Option<&str>, prefix: Option<&str>| {
            let query = |other_names| Query {
                key: key.map(str::to_owned),
                prefix: prefix.map(str::to_owned),
                other_names,
                ..Query::default()
            };
            let trimmed: fn(&str) -> Vec<String> =
                |key| vec![key.trim_start_matches('/').to_owned()];
            (query(None).fits(&event), query(Some(trimmed)).fits(&event))
        };
        assert_eq!(fits(Some("/photos/a"), None), (true, true));
        assert_eq!(fits(Some("photos/a"), None), (false, true));
        assert_eq!(fits(None, Some("photos/")), (false, true));
        assert_eq!(fits(Some("photos/a"), Some("photos/")), (false, true));
        assert_eq!(fits(Some("photos/a"), Some("/")), (false, false));
        assert_eq!(fits(None, Some("videos/")), (false, false));
    }

    #[tokio::test]
    async fn what_fits_is_found_with_its_outcome() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::new(place.path());
        let key = SigningKey::generate("example.com/one", Purpose::Log).unwrap();
        let log = Log::open(LogOptions {
            segment_size: 1_000,
            ..LogOptions::new(directory.clone(), key)
        });
        let log = log.unwrap();
        for (request, identity, key) in [
            ("1", "alice", "photos/a"),
            ("2", "bob", "photos/b"),
            ("3", "alice", "videos/c"),
        ] {
            log.record(vec![intent(request, identity, key)])
                .await
                .unwrap();
            log.submit(Event::outcome(Outcome {
                request: request.to_owned(),
                ..Outcome::default()
            }));
        }
        log.close();
        let found = |query: Query| {
            let mut finder = Finder::new(query);
            let mut entries = Entries::open(&directory, 0).unwrap();
            let mut found = Vec::new();
            while let Some(entry) = entries.next_entry().unwrap() {
                if finder.wants(&entry.event) {
                    found.push((entry.event.request.unwrap_or_default(), entry.event.kind));
                }
            }
            found
        };
        let alice = found(Query {
            identity: Some("alice".to_owned()),
            ..Query::default()
        });
        let both = |request: &str| {
            [
                (request.to_owned(), Kind::Intent),
                (request.to_owned(), Kind::Outcome),
            ]
        };
        assert_eq!(alice, [both("1"), both("3")].concat());
        let photos = found(Query {
            prefix: Some("photos/".to_owned()),
            action: Some("decrypt".to_owned()),
            ..Query::default()
        });
        assert_eq!(photos, [both("1"), both("2")].concat());
        let denied = found(Query {
            decision: Some(Verdict::Deny),
            ..Query::default()
        });
        assert_eq!(denied, []);
        let late = found(Query {
            since: Some("2999".to_owned()),
            ..Query::default()
        });
        assert_eq!(late, []);
        assert!(found(Query::default()).len() >= 10);
    }

    #[tokio::test]
    async fn who_follows_sees_what_comes_over_the_beginning_of_files() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::new(place.path());
        let key = SigningKey::generate("example.com/one", Purpose::Log).unwrap();
        let log = Log::open(LogOptions {
            segment_size: 500,
            ..LogOptions::new(directory.clone(), key)
        });
        let log = log.unwrap();
        let mut entries = Entries::follow(&directory).unwrap();
        let mut seen = Vec::new();
        for _ in 0..9 {
            log.record(vec![intent("1", "alice", "a")]).await.unwrap();
            while let Some(entry) = entries.next_entry().unwrap() {
                seen.push(entry.header.seq);
            }
        }
        // The log begins files by itself, and a line can be read a moment before it counts as durable.
        for _ in 0..500 {
            while let Some(entry) = entries.next_entry().unwrap() {
                seen.push(entry.header.seq);
            }
            if seen.len() as u64 == log.position().size {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>());
        assert_eq!(seen.len() as u64, log.position().size);
        assert!(directory.segments().unwrap().len() > 2);
    }

    #[test]
    fn a_start_skips_the_files_before_it() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::new(place.path());
        directory.create().unwrap();
        for first in [0, 10, 20] {
            std::fs::write(directory.segment(first).path, b"").unwrap();
        }
        for (start, left) in [(0, 3), (9, 3), (10, 2), (25, 1)] {
            let entries = Entries::open(&directory, start).unwrap();
            assert_eq!(entries.segments.len(), left, "{start}");
        }
    }
}
