//! The journal of a copy, read as the list of what was copied. Whoever made the copy, or carried it, may have written it: every line is only a claim.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    ops::Bound,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};

use super::{
    files::Files,
    journal::{Line, Route, next_line},
};

/// The objects of a copied bucket. Only where their lines stand is kept in memory, because headers are long and buckets are large.
#[derive(Debug)]
pub(crate) struct Manifest {
    file: Mutex<File>,
    /// By key: where its latest line begins, and its length.
    lines: BTreeMap<String, (u64, usize)>,
    is_complete: bool,
}

impl Manifest {
    /// Reads the journal of the copy of `bucket` that lies in a directory; none where there is no journal.
    ///
    /// # Errors
    ///
    /// When it is no journal, or that of something else.
    pub(crate) fn open(directory: &Path, bucket: &str) -> anyhow::Result<Option<Self>> {
        let files = Files::look_at(directory);
        let path = files.journal();
        let shown = path.display();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("the journal {shown} cannot be opened"));
            }
        };
        let mut reader = BufReader::new(&file);
        let no_journal = |number: u64| {
            format!("line {number} of {shown} is not that of a copy; make the copy anew")
        };
        let Some(first) = next_line(&mut reader, &path, 1)? else {
            return Ok(None);
        };
        let route: Route = serde_json::from_slice(&first).with_context(|| no_journal(1))?;
        route
            .check_copy_of(bucket)
            .with_context(|| format!("{shown}"))?;
        let mut start = first.len() as u64;
        let mut lines = BTreeMap::new();
        let mut number = 2;
        while let Some(text) = next_line(&mut reader, &path, number)? {
            let line: Line = serde_json::from_slice(&text).with_context(|| no_journal(number))?;
            ensure!(line.version_id.is_none(), no_journal(number));
            lines.insert(line.key, (start, text.len()));
            start += text.len() as u64;
            number += 1;
        }
        Ok(Some(Self {
            file: Mutex::new(file),
            lines,
            is_complete: files.is_complete(),
        }))
    }

    /// Whether a copy was begun here, with a journal or the place of one. What has neither was made by something else.
    pub(crate) fn was_begun(directory: &Path) -> bool {
        Files::look_at(directory).own().is_dir()
    }

    /// Whether the command that made the copy ended well, and its journal is as long as it was then.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// What was copied of a key.
    pub(crate) fn line(&self, key: &str) -> io::Result<Option<Line>> {
        let Some(&(start, length)) = self.lines.get(key) else {
            return Ok(None);
        };
        let mut text = vec![0; length];
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut text)?;
        }
        let line: Line = serde_json::from_slice(&text)?;
        if line.key == key {
            return Ok(Some(line));
        }
        Err(io::Error::other("the journal was changed meanwhile"))
    }

    /// Keys in ascending order, from a bound.
    pub(crate) fn keys(&self, from: Bound<&str>) -> impl Iterator<Item = &str> {
        self.lines
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(key, _)| key.as_str())
    }
}
