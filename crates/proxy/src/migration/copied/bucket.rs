//! One copied bucket: which objects it has, and where each of them lies.

use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata},
    io,
    ops::Bound,
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use http::{HeaderMap, HeaderName, HeaderValue};
use sealgate_envelope::header::HEADER_METADATA_NAME;
use sha2::{Digest as _, Sha256};

use crate::{
    migration::export::{Manifest, OWN_PREFIX, describes},
    xml::labels::Tag,
};

/// The longest entity tag that is taken over; those of S3 have 32 characters and a count.
const MAXIMUM_TAG: usize = 128;

/// The last second of the year 9999.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// The longest header that is read from an extended attribute, in bytes: S3 keeps 2 KB.
#[cfg(target_os = "linux")]
const MAXIMUM_ATTRIBUTE: usize = 16 << 10;

/// Where the objects of a bucket are.
#[derive(Debug)]
enum Index {
    /// As the journal of the copy says.
    Manifest(Manifest),
    /// Each under its key.
    Files(BTreeSet<String>),
}

/// A copied bucket.
#[derive(Debug)]
pub(super) struct CopiedBucket {
    directory: PathBuf,
    index: Index,
}

/// What a copy has of an object. None of it is verified.
#[derive(Debug)]
pub(super) struct Found {
    /// The file.
    pub(super) file: File,
    /// Its length in bytes.
    pub(super) length: u64,
    /// A tag that changes with the object, without quotes.
    pub(super) entity_tag: String,
    /// Content headers and user metadata, the sealed header among them.
    pub(super) headers: HeaderMap,
    /// When it was written.
    pub(super) modified: SystemTime,
    /// Its tags.
    pub(super) tags: Vec<Tag>,
}

impl CopiedBucket {
    /// Reads the journal, or else goes through the files.
    ///
    /// # Errors
    ///
    /// When either cannot be read, or a file has a name that is no key.
    pub(super) fn open(directory: &Path, name: &str) -> anyhow::Result<Self> {
        let index = match Manifest::open(directory, name)? {
            Some(manifest) => Index::Manifest(manifest),
            None => Index::Files(walk(directory)?),
        };
        Ok(Self {
            directory: directory.to_owned(),
            index,
        })
    }

    /// Refuses a copy that has lost every header, as tools make it that copy bytes and nothing else.
    ///
    /// # Errors
    ///
    /// When there are files, and none has a header.
    pub(super) fn require_headers(&self) -> anyhow::Result<()> {
        let Index::Files(keys) = &self.index else {
            return Ok(());
        };
        let has_header = |key: &String| {
            let found = self.find(key);
            found.is_ok_and(|found| {
                found.is_some_and(|found| found.headers.contains_key(HEADER_METADATA_NAME))
            })
        };
        ensure!(
            keys.is_empty() || keys.iter().any(has_header),
            "no file below {} has the header of its object, without which nothing opens: `aws s3 sync`, and rclone without --metadata, copy bytes and leave metadata behind. \
             Make copies with `sealgate recovery copy`, with `rclone copy --metadata` to a file system with extended attributes, or to another S3 storage",
            self.directory.display()
        );
        Ok(())
    }

    /// Whether the copy says of itself that it lacks something. One that was begun and has no line in its journal was cut off
    /// before the first; one that was made by something else says nothing.
    pub(super) fn is_incomplete(&self) -> bool {
        match &self.index {
            Index::Manifest(manifest) => !manifest.is_complete(),
            Index::Files(_) => Manifest::was_begun(&self.directory),
        }
    }

    /// Keys that begin with `prefix`, in ascending order, behind `after`.
    pub(super) fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let begins = move |key: &&str| key.starts_with(prefix);
        match &self.index {
            Index::Manifest(manifest) => Box::new(manifest.keys(from).take_while(begins)),
            Index::Files(keys) => {
                let keys = keys.range::<str, _>((from, Bound::Unbounded));
                Box::new(keys.map(String::as_str).take_while(begins))
            }
        }
    }

    /// What there is of a key; none where the copy never had it.
    ///
    /// # Errors
    ///
    /// When the copy had it, and its file is missing or no regular file inside of the copy.
    pub(super) fn find(&self, key: &str) -> io::Result<Option<Found>> {
        match &self.index {
            Index::Manifest(manifest) => {
                let Some(line) = manifest.line(key)? else {
                    return Ok(None);
                };
                let (file, metadata) = self.open_file(Path::new(&line.target))?;
                let mut headers = HeaderMap::new();
                for (name, value) in &line.headers {
                    let name = HeaderName::try_from(name).map_err(io::Error::other)?;
                    if describes(&name) {
                        let value = HeaderValue::try_from(value).map_err(io::Error::other)?;
                        headers.append(name, value);
                    }
                }
                let modified = line.last_modified.as_deref();
                Ok(Some(Found {
                    file,
                    length: metadata.len(),
                    entity_tag: plain(&line.entity_tag),
                    headers,
                    modified: modified
                        .and_then(|date| httpdate::parse_http_date(date).ok())
                        .unwrap_or(UNIX_EPOCH),
                    tags: line
                        .tags
                        .into_iter()
                        .map(|(key, value)| Tag { key, value })
                        .collect(),
                }))
            }
            Index::Files(keys) => {
                if !keys.contains(key) {
                    return Ok(None);
                }
                let (file, metadata) = self.open_file(Path::new(key))?;
                // A time that no date of HTTP can say is none.
                let age = metadata.modified()?.duration_since(UNIX_EPOCH);
                let age = age.unwrap_or_default().min(LATEST);
                Ok(Some(Found {
                    headers: attributes(&file)?,
                    file,
                    length: metadata.len(),
                    entity_tag: format!("{:x}-{:x}", metadata.len(), age.as_nanos()),
                    modified: UNIX_EPOCH + age,
                    tags: Vec::new(),
                }))
            }
        }
    }

    /// Opens a regular file inside of the copy. No part of its path may be a symbolic link, which would lead who knows where.
    fn open_file(&self, path: &Path) -> io::Result<(File, Metadata)> {
        let shown = path.display();
        let outside = || io::Error::other(format!("{shown:?} is no path inside of the copy"));
        let mut full = self.directory.clone();
        let mut parts = path.components().peekable();
        let mut is_empty = true;
        while let Some(part) = parts.next() {
            let Component::Normal(part) = part else {
                return Err(outside());
            };
            is_empty = false;
            full.push(part);
            let metadata = fs::symlink_metadata(&full)
                .map_err(|error| io::Error::new(error.kind(), format!("{shown:?}: {error}")))?;
            let is_right = if parts.peek().is_some() {
                metadata.is_dir()
            } else {
                metadata.is_file()
            };
            if !is_right {
                return Err(outside());
            }
        }
        if is_empty {
            return Err(outside());
        }
        let file = File::open(&full)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }
}

/// The paths of all regular files, as keys. Symbolic links are passed over, and so is what is the command's own.
fn walk(directory: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let full = directory.join(&below);
        let entries =
            fs::read_dir(&full).with_context(|| format!("{} cannot be listed", full.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            let path = below.join(entry.file_name());
            let key = path.to_str().with_context(|| {
                format!(
                    "the name of {} is not UTF-8, so it is no key",
                    entry.path().display()
                )
            })?;
            if key.starts_with(OWN_PREFIX) {
                continue;
            }
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                keys.insert(key.to_owned());
            }
        }
    }
    Ok(keys)
}

/// A tag that can stand in a header and in XML.
fn plain(tag: &str) -> String {
    let is_plain = (1..=MAXIMUM_TAG).contains(&tag.len())
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if is_plain {
        return tag.to_owned();
    }
    data_encoding::HEXLOWER.encode(&Sha256::digest(tag.as_bytes()))
}

/// The sealed header in a file's extended attribute; none where it has no such attribute.
#[cfg(target_os = "linux")]
fn attributes(file: &File) -> io::Result<HeaderMap> {
    use rustix::io::Errno;

    let mut headers = HeaderMap::new();
    let name = HEADER_METADATA_NAME.strip_prefix("x-amz-meta-");
    let name = format!("user.{}", name.unwrap_or_default());
    let mut text = vec![0; MAXIMUM_ATTRIBUTE];
    match rustix::fs::fgetxattr(file, name.as_str(), text.as_mut_slice()) {
        Ok(length) => {
            text.truncate(length);
            let value = HeaderValue::try_from(text).map_err(io::Error::other)?;
            headers.insert(HeaderName::from_static(HEADER_METADATA_NAME), value);
            Ok(headers)
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(headers),
        Err(error) => Err(error.into()),
    }
}

/// Extended attributes are read on Linux only.
#[cfg(not(target_os = "linux"))]
fn attributes(_: &File) -> io::Result<HeaderMap> {
    Ok(HeaderMap::new())
}
