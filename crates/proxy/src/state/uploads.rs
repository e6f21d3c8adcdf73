//! Open uploads: their records, the records of their parts, and the parts that are held back (FORMAT.md section 9).

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use data_encoding::BASE64URL_NOPAD;
use quick_cache::{Weighter, sync::Cache};
use sealgate_envelope::{
    ObjectId, UploadHash,
    checksum::ChecksumKind,
    header::Header,
    key_service::UnwrapPermit,
    object::{ObjectSecrets, PartId},
    random::OsRandom,
    records::{
        MAXIMUM_RECORD_LENGTH, PartRecord, PartRecordName, UploadRecord, part_record_prefix,
        stash_name, upload_prefix, upload_record_name,
    },
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Entry, StateBucket, UploadMemory};
use crate::{
    config::{DomainRule, Mode},
    error::S3Error,
    gateway::{Gateway, now_in_milliseconds},
    object::open_header,
    upstream::DocumentShare,
};

/// Part records of one upload: every part uploaded three times over. Whoever can write to the state bucket can make more names than that;
/// they cost a bounded amount of work.
const MAXIMUM_PART_RECORDS: usize = 30_000;

/// Records of open uploads whose claims are kept in memory for listings, and the bytes that these may take.
const REMEMBERED_CLAIMS: usize = 100_000;
const CLAIMS_MEMORY: u64 = 48 << 20;

/// Listings of open uploads that read records at the same time; more wait.
const CONCURRENT_LISTINGS: usize = 2;

/// What the names of all state of uploads begin with.
const UPLOADS_PREFIX: &str = "uploads/";

/// The longest upload id that a client may send, in characters.
const MAXIMUM_UPLOAD_ID_LENGTH: usize = 4_096;

/// An upload id as clients see it: the object id and the storage's own upload id, so that every call can be checked against the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId {
    /// The id of the object to be.
    pub object_id: ObjectId,
    /// The storage's upload id.
    pub upstream: String,
}

impl UploadId {
    /// Reads what a client sent. Anything else than an id of ours names no upload.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAXIMUM_UPLOAD_ID_LENGTH {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (object_id, upstream) = bytes.split_first_chunk::<16>()?;
        let upstream = String::from_utf8(upstream.to_vec())
            .ok()
            .filter(|upstream| !upstream.is_empty())?;
        Some(Self {
            object_id: ObjectId::from_bytes(*object_id),
            upstream,
        })
    }

    /// What the state bucket's names are made of.
    pub fn hash(&self) -> UploadHash {
        UploadHash::of(&self.upstream)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [
            self.object_id.as_bytes().as_slice(),
            self.upstream.as_bytes(),
        ]
        .concat();
        f.write_str(&BASE64URL_NOPAD.encode(&bytes))
    }
}

/// An upload as a request names it.
#[derive(Debug, Clone, Copy)]
pub struct UploadReference<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The decoded key.
    pub key: &'a str,
    /// The upload id as the client sent it.
    pub upload_id: &'a str,
    /// The domain of the object to be.
    pub rule: &'a DomainRule,
    /// Whether the state bucket is to be asked even if the upload is in memory.
    pub fresh: bool,
}

/// An open upload whose record has been verified.
#[derive(Debug, Clone)]
pub struct OpenUpload {
    /// Its id.
    pub id: UploadId,
    /// Its record.
    pub record: UploadRecord,
    /// What its parts are sealed with.
    pub secrets: ObjectSecrets,
}

impl OpenUpload {
    /// The checksum that the client named when it began, if it did.
    pub fn checksum_kind(&self) -> Option<ChecksumKind> {
        self.record.checksum
    }
}

/// A part record that opened, and what the listing says of it.
#[derive(Debug, Clone)]
pub struct StoredPart {
    /// The record.
    pub record: PartRecord,
    /// When it was written, by the storage's clock.
    pub modified: SystemTime,
}

/// The records of open uploads, with the keys of some of them in memory.
pub struct Uploads {
    state: StateBucket,
    /// The keys of some of them.
    pub(crate) memory: UploadMemory,
    /// What the records of open uploads say that they are about, by the record's name. Nothing of it is verified: it tells only which records a
    /// listing need not read.
    claims: Cache<String, Arc<Claim>, ClaimWeight>,
    listings: Semaphore,
}

/// What the record of an open upload says that it is about. Nothing of it is verified.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The bucket.
    pub bucket: String,
    /// The decoded key.
    pub key: String,
    /// The upload's id.
    pub id: UploadId,
}

/// Claims are weighed by the bytes of their texts.
#[derive(Debug, Clone)]
struct ClaimWeight;

impl Weighter<String, Arc<Claim>> for ClaimWeight {
    fn weight(&self, name: &String, claim: &Arc<Claim>) -> u64 {
        let texts = [name, &claim.bucket, &claim.key, &claim.id.upstream];
        texts.map(String::len).into_iter().sum::<usize>() as u64 + 192
    }
}

/// Everything that the state bucket holds of an upload.
#[derive(Debug)]
pub struct UploadState {
    /// The part records that opened.
    pub parts: Vec<StoredPart>,
    /// All names, its record's among them.
    names: Vec<String>,
    /// Of the memory of documents: as many requests as there are places may each look at the records of 10,000 parts.
    _share: Option<DocumentShare>,
}

impl Uploads {
    /// Uploads whose records are in this bucket. Their keys are kept in memory for at most `age`, as working keys are.
    pub fn new(state: StateBucket, age: Duration) -> Self {
        Self {
            state,
            memory: UploadMemory::new(age),
            claims: Cache::with_weighter(REMEMBERED_CLAIMS, CLAIMS_MEMORY, ClaimWeight),
            listings: Semaphore::new(CONCURRENT_LISTINGS),
        }
    }

    /// Writes the record of a new upload, before its id is told to anyone; none where a record of this id exists, so that the storage's upload
    /// is somebody else's. `flushes` are those before its keys were made.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be written.
    #[expect(clippy::too_many_arguments, reason = "a record is about all of these")]
    pub async fn begin(
        &self,
        flushes: u64,
        bucket: &str,
        key: &str,
        upload_id: &str,
        checksum_kind: Option<ChecksumKind>,
        header: &Header,
        secrets: &ObjectSecrets,
    ) -> Result<Option<UploadId>, S3Error> {
        let record = UploadRecord {
            created: now_in_milliseconds(),
            checksum: checksum_kind,
            bucket: bucket.to_owned(),
            object_key: key.to_owned(),
            upload_id: upload_id.to_owned(),
            header: header.clone(),
        };
        let id = UploadId {
            object_id: secrets.object_id(),
            upstream: upload_id.to_owned(),
        };
        let name = upload_record_name(id.hash());
        if !self.state.put_new(&name, record.encode(secrets)?).await? {
            return Ok(None);
        }
        let upload = OpenUpload {
            id: id.clone(),
            record,
            secrets: secrets.clone(),
        };
        self.memory.remember(flushes, id.hash(), Arc::new(upload));
        Ok(Some(id))
    }

    /// Opens the upload that a client names.
    ///
    /// # Errors
    ///
    /// `NoSuchUpload` when there is no record, or it is about another object.
    pub async fn open(
        &self,
        gateway: &Gateway,
        permit: &UnwrapPermit,
        reference: &UploadReference<'_>,
    ) -> Result<Arc<OpenUpload>, S3Error> {
        let UploadReference {
            bucket,
            key,
            upload_id,
            rule,
            fresh,
        } = *reference;
        let id = UploadId::parse(upload_id).ok_or_else(S3Error::no_such_upload)?;
        let hash = id.hash();
        let remembered = if fresh {
            None
        } else {
            self.memory.recall(hash)
        };
        let upload = if let Some(upload) = remembered {
            upload
        } else {
            let flushes = self.memory.flushes();
            let Some(bytes) = self
                .state
                .get(&upload_record_name(hash), MAXIMUM_RECORD_LENGTH)
                .await?
            else {
                self.memory.forget(hash);
                return Err(S3Error::no_such_upload());
            };
            let unverified =
                UploadRecord::parse(&bytes).map_err(|error| not_this_upload(error.into()))?;
            let (opened, _) = open_header(gateway, permit, rule, unverified.header(), key)
                .await
                .map_err(|error| match gateway.config.mode {
                    Mode::WriteOnly if error.status == http::StatusCode::FORBIDDEN => {
                        begun_before(&error)
                    }
                    _ => not_this_upload(error),
                })?;
            let record = unverified
                .verify(opened.secrets(), bucket, key, hash)
                .map_err(|error| not_this_upload(error.into()))?;
            // The object id of the record and not the client's: a wrong one must not spoil what is remembered for others.
            let upload = Arc::new(OpenUpload {
                id: UploadId {
                    object_id: opened.secrets().object_id(),
                    upstream: id.upstream.clone(),
                },
                record,
                secrets: opened.secrets().clone(),
            });
            self.memory.remember(flushes, hash, Arc::clone(&upload));
            upload
        };
        let same =
            upload.id == id && upload.record.bucket == bucket && upload.record.object_key == key;
        if same {
            Ok(upload)
        } else {
            Err(S3Error::no_such_upload())
        }
    }

    /// Writes the record of a part, after which the part exists.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be written.
    pub async fn record_part(
        &self,
        upload: &OpenUpload,
        record: &PartRecord,
    ) -> Result<(), S3Error> {
        let name = record.seal_name(&upload.secrets, upload.id.hash(), &mut OsRandom)?;
        self.state.put(&name, bytes::Bytes::new()).await
    }

    /// All part records of an upload that open. Others, forged or of another upload, are passed over: the parts that they should prove are
    /// missing then.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be listed, or holds too many records of this upload.
    pub async fn parts(&self, upload: &OpenUpload) -> Result<UploadState, S3Error> {
        let prefix = part_record_prefix(upload.id.hash());
        let (entries, share) = self.state.list_held(&prefix, MAXIMUM_PART_RECORDS).await?;
        Ok(UploadState {
            parts: open_parts(upload, &entries),
            names: Vec::new(),
            _share: share,
        })
    }

    /// Everything that there is of an upload, in one listing: its parts, and the names that [`Self::forget_all`] deletes once it is completed.
    ///
    /// # Errors
    ///
    /// As [`Self::parts`].
    pub async fn whole_state(&self, upload: &OpenUpload) -> Result<UploadState, S3Error> {
        let hash = upload.id.hash();
        let (entries, share) = self
            .state
            .list_held(&upload_prefix(hash), MAXIMUM_PART_RECORDS * 2)
            .await?;
        let parts_prefix = part_record_prefix(hash);
        let (parts, others): (Vec<Entry>, Vec<Entry>) = entries
            .into_iter()
            .partition(|entry| entry.name.starts_with(&parts_prefix));
        if parts.len() > MAXIMUM_PART_RECORDS {
            return Err(S3Error::slow_down(format!(
                "more than {MAXIMUM_PART_RECORDS} records under {parts_prefix}"
            )));
        }
        Ok(UploadState {
            parts: open_parts(upload, &parts),
            names: parts
                .into_iter()
                .chain(others)
                .map(|entry| entry.name)
                .collect(),
            _share: share,
        })
    }

    /// Where a part is held back until its upload is completed.
    pub fn stash_name(&self, upload: &OpenUpload, part: PartId) -> String {
        stash_name(upload.id.hash(), part)
    }

    /// The state bucket.
    pub fn state(&self) -> &StateBucket {
        &self.state
    }

    /// A place among the few listings of open uploads that may read records at the same time. `None` never comes: the places are not closed.
    pub async fn listing_place(&self) -> Option<SemaphorePermit<'_>> {
        self.listings.acquire().await.ok()
    }

    /// The names of the records of all open uploads, at most `limit`.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be listed, or holds more than that.
    pub async fn open_names(&self, limit: usize) -> Result<Vec<String>, S3Error> {
        let prefixes = self.state.list_prefixes(UPLOADS_PREFIX, limit).await?;
        Ok(prefixes
            .into_iter()
            .map(|prefix| format!("{prefix}record"))
            .collect())
    }

    /// What the record of this name says that it is about; none where it is gone meanwhile, cannot be read, or is about another upload than its
    /// name. A record that was read before is not read again: listings name it first, so it is there.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be read.
    pub async fn claim(&self, name: &str) -> Result<Option<Arc<Claim>>, S3Error> {
        if let Some(claim) = self.claims.get(name) {
            return Ok(Some(claim));
        }
        let Some(bytes) = self.state.get(name, MAXIMUM_RECORD_LENGTH).await? else {
            return Ok(None);
        };
        let Ok(unverified) = UploadRecord::parse(&bytes) else {
            tracing::warn!(name, "an upload record cannot be read and is passed over");
            return Ok(None);
        };
        let record = unverified.claim();
        let claim = Claim {
            bucket: record.bucket.clone(),
            key: record.object_key.clone(),
            id: UploadId {
                object_id: unverified.header().object_id(),
                upstream: record.upload_id.clone(),
            },
        };
        if name != upload_record_name(claim.id.hash()) {
            return Ok(None);
        }
        let claim = Arc::new(claim);
        self.claims.insert(name.to_owned(), Arc::clone(&claim));
        Ok(Some(claim))
    }

    /// Opens the upload that a record claims to be of; none where the record is gone meanwhile, or does not verify.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be read, or the upload's keys cannot be had now.
    pub async fn open_claimed(
        &self,
        gateway: &Gateway,
        permit: &UnwrapPermit,
        claim: &Claim,
        rule: &DomainRule,
    ) -> Result<Option<Arc<OpenUpload>>, S3Error> {
        let reference = UploadReference {
            bucket: &claim.bucket,
            key: &claim.key,
            upload_id: &claim.id.to_string(),
            rule,
            fresh: false,
        };
        match self.open(gateway, permit, &reference).await {
            Err(error) if error.code == "NoSuchUpload" => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Deletes all state of an upload that was aborted, or completed by somebody else, its record last: as long as there is anything, `gc` finds
    /// it. Of an upload with more state than any honest one has, `gc` deletes the rest.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be listed or written.
    pub async fn forget(&self, hash: UploadHash) -> Result<(), S3Error> {
        let names = self
            .state
            .list_first(&upload_prefix(hash), MAXIMUM_PART_RECORDS * 2)
            .await?
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        self.delete_names(hash, names).await
    }

    /// As [`Self::forget`], of an upload that was completed with what this listing found: nothing is listed again. What came since, from a
    /// request that was late, `gc` deletes.
    ///
    /// # Errors
    ///
    /// When the state bucket cannot be written.
    pub async fn forget_all(&self, hash: UploadHash, state: UploadState) -> Result<(), S3Error> {
        self.delete_names(hash, state.names).await
    }

    async fn delete_names(&self, hash: UploadHash, mut names: Vec<String>) -> Result<(), S3Error> {
        self.memory.forget(hash);
        let record = upload_record_name(hash);
        self.claims.remove(&record);
        names.retain(|name| *name != record);
        names.push(record);
        self.state.delete(&names).await
    }
}

fn open_parts(upload: &OpenUpload, entries: &[Entry]) -> Vec<StoredPart> {
    let hash = upload.id.hash();
    let mut parts = Vec::with_capacity(entries.len());
    for Entry { name, modified, .. } in entries {
        match PartRecordName::parse(name).and_then(|parsed| parsed.open(&upload.secrets, hash)) {
            Ok(record) => parts.push(StoredPart {
                record,
                modified: *modified,
            }),
            Err(error) => tracing::warn!(
                name,
                detail = error.detail(),
                "a part record does not open and is passed over"
            ),
        }
    }
    parts
}

/// The record of an upload is sealed like everything, and a write-only gateway opens only what it has sealed since its start.
fn begun_before(error: &S3Error) -> S3Error {
    S3Error::new(
        http::StatusCode::FORBIDDEN,
        "AccessDenied",
        "This gateway is write-only, and the upload was begun before it started or its keys were flushed, or through another gateway, so it cannot open the upload's record. \
         Begin a new upload; complete or abort this one through a gateway that may decrypt.",
    )
    .with_detail(error)
}

/// A record that does not verify for this bucket and key names no upload of theirs. Operators see why.
fn not_this_upload(error: S3Error) -> S3Error {
    if error.status == http::StatusCode::INTERNAL_SERVER_ERROR {
        return S3Error::no_such_upload().with_detail(error);
    }
    error
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_id_carries_the_object_id_and_the_storages_own() {
        let id = UploadId {
            object_id: ObjectId::from_bytes([7; 16]),
            upstream: "2~abc.def+/=".to_owned(),
        };
        assert_eq!(UploadId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn anything_else_names_no_upload() {
        let only_object_id = BASE64URL_NOPAD.encode(&[7; 16]);
        let not_text = BASE64URL_NOPAD.encode(&[0xff; 20]);
        for text in [
            "",
            "x",
            "2~abc",
            "AAAA====",
            only_object_id.as_str(),
            not_text.as_str(),
            &"A".repeat(5_000),
        ] {
            assert_eq!(UploadId::parse(text), None, "{text}");
        }
    }
}
