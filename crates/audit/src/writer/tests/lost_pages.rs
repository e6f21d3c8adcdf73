//! A disk whose failed syncs lose what can still be read.

use std::{collections::HashMap, path::PathBuf, sync::Mutex};

use super::*;

/// A disk that may forget: after a sync that failed, what was written since the one before can be read and is nowhere, and no later sync of the
/// file brings it there.
#[derive(Clone, Debug, Default)]
struct Forgetful {
    fails: Arc<AtomicBool>,
    /// What really is on the disk.
    durable: Arc<Mutex<HashMap<PathBuf, Vec<u8>>>>,
}

struct ForgetfulFile {
    inner: Box<dyn Output>,
    path: PathBuf,
    offset: usize,
    /// What was written since the last sync, and where.
    dirty: Vec<(usize, Vec<u8>)>,
    disk: Forgetful,
}

impl Forgetful {
    fn keep(&self, path: &Path, offset: usize, bytes: &[u8]) {
        let mut durable = self.durable.lock().unwrap();
        let file = durable.entry(path.to_owned()).or_default();
        file.resize(file.len().max(offset + bytes.len()), b'?');
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn file(&self, inner: Box<dyn Output>, path: &Path, offset: usize) -> Box<dyn Output> {
        Box::new(ForgetfulFile {
            inner,
            path: path.to_owned(),
            offset,
            dirty: Vec::new(),
            disk: self.clone(),
        })
    }
}

impl Disk for Forgetful {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Output>> {
        let inner = FileSystem.open(path, length)?;
        let length = usize::try_from(length).unwrap();
        let mut durable = self.durable.lock().unwrap();
        durable.entry(path.to_owned()).or_default().truncate(length);
        drop(durable);
        Ok(self.file(inner, path, length))
    }

    fn rewrite(&self, path: &Path, from: u64, length: u64) -> io::Result<()> {
        FileSystem.rewrite(path, from, length)?;
        let (from, length) = (
            usize::try_from(from).unwrap(),
            usize::try_from(length).unwrap(),
        );
        self.keep(path, from, &fs::read(path)?[from..length]);
        Ok(())
    }

    fn open_journal(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(self.file(FileSystem.open_journal(path)?, path, 0))
    }
}

impl Output for ForgetfulFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(bytes)?;
        self.dirty.push((self.offset, bytes.to_vec()));
        self.offset += bytes.len();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        if self.disk.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk was away"));
        }
        for (offset, bytes) in dirty {
            self.disk.keep(&self.path, offset, &bytes);
        }
        self.inner.sync()
    }
}

#[test]
fn what_a_failed_sync_has_lost_is_written_again_before_the_journal_is() {
    let place = tempfile::tempdir().unwrap();
    let disk = Forgetful::default();
    let open = || {
        let settings = core::Settings {
            directory: Directory::new(place.path()),
            key: key(),
            segment_size: 1 << 20,
            checkpoint_interval: Duration::from_hours(1),
            software: "test".to_owned(),
        };
        core::Core::open(settings, Box::new(disk.clone())).unwrap()
    };
    fs::create_dir_all(Directory::new(place.path()).segments_directory()).unwrap();
    let mut first = open();
    let intent = Prepared::new(intent("acknowledged")).unwrap();
    first.commit(&[intent]).unwrap();
    // It is in the journal. The segment's own sync fails, and the process ends before it can mend that.
    disk.fails.store(true, Ordering::SeqCst);
    first.sign().unwrap_err();
    drop(first);
    disk.fails.store(false, Ordering::SeqCst);

    let mut second = open();
    second.close().unwrap();
    let directory = Directory::new(place.path());
    let segment = directory.segments().unwrap().pop().unwrap().path;
    for path in [segment, directory.checkpoints()] {
        let readable = fs::read(&path).unwrap();
        let durable = disk.durable.lock().unwrap()[&path].clone();
        assert_eq!(
            String::from_utf8_lossy(&durable),
            String::from_utf8_lossy(&readable)
        );
    }
    let found = checked(place.path());
    assert!(found.iter().any(|event| event.kind == Kind::Intent));
}
