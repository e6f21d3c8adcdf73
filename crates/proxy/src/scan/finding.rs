//! What is not well, where, and what to do about it.

use crate::error::S3Error;

/// Findings that are kept in a report; more are only counted. Each is told as it is found.
const MAXIMUM_KEPT: usize = 100_000;

/// What kind of thing is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// An object has no sealed header, and its place is not marked migrating.
    InTheClear,
    /// The same, in a bucket that holds registry records: another deployment's state bucket, or so somebody makes it look.
    OtherState,
    /// What stands in the place of a sealed header is none of a known version.
    Header,
    /// The object has not the length that its header demands, or one that no sealed object has.
    Length,
    /// The commit region at its end is not there, or has not the shape of one.
    CommitRegion,
    /// The storage has user metadata beside the sealed header.
    ForeignMetadata,
    /// The working key is of another domain than the place where the object lies.
    OtherDomain,
    /// No key service of the configuration has a key that wrapped the working key.
    UnknownKey,
    /// The registry has no record of the working key.
    RegistryMissing,
    /// A registry record cannot be read, or does not verify.
    RegistryDamaged,
    /// The record of an open upload cannot be read, or is about another upload.
    UploadRecord,
    /// The storage lists it and does not have it.
    Missing,
    /// The key service refuses the wrap of the working key here: another deployment or domain sealed it, or it was altered.
    KeyRefused,
    /// Something does not verify under its key: header, commit record or segments.
    Damaged,
    /// The bytes verify, and do not have the checksum that is kept with them.
    Checksum,
    /// A storage or key service that was away, so that nothing is known.
    NotChecked,
}

impl Class {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::InTheClear => "in-the-clear",
            Self::OtherState => "other-state",
            Self::Header => "header",
            Self::Length => "length",
            Self::CommitRegion => "commit-region",
            Self::ForeignMetadata => "foreign-metadata",
            Self::OtherDomain => "other-domain",
            Self::UnknownKey => "unknown-key",
            Self::RegistryMissing => "registry-missing",
            Self::RegistryDamaged => "registry-damaged",
            Self::UploadRecord => "upload-record",
            Self::Missing => "missing",
            Self::KeyRefused => "key-refused",
            Self::Damaged => "damaged",
            Self::Checksum => "checksum",
            Self::NotChecked => "not-checked",
        }
    }

    /// What to do about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::InTheClear => {
                "seal it with `sealgate migrate`, with its place marked [[migrating]] meanwhile; delete it if nobody knows where it comes from"
            }
            Self::OtherState => {
                "if the bucket is another deployment's state bucket, leave it alone and name the buckets of data with --bucket; if there is no other deployment, `deployment` in the configuration is not what it was. If the bucket holds data, somebody has put registry records there: find out who"
            }
            Self::Header | Self::Length | Self::CommitRegion | Self::Damaged | Self::Checksum => {
                "restore the object from a backup, or make an older version of it the current one; it was altered at the storage, or never written whole"
            }
            Self::KeyRefused => {
                "compare `deployment` and the name of the [[domain]] in the configuration with those that it was sealed under: with another one, all objects look like this, and none is damaged. If they are right, its header or record was altered at the storage: restore it from a backup"
            }
            Self::Missing => {
                "restore the object from a backup; the storage names it in listings and answers that it is not there"
            }
            Self::ForeignMetadata => {
                "find out who writes to the storage beside the gateway; clients never see it, and writing the object again through the gateway removes it"
            }
            Self::OtherDomain => {
                "if the place had that domain before, list it as `former` in its [[domain]]; else the object was brought here from elsewhere: restore the one that belongs here"
            }
            Self::UnknownKey => {
                "configure the key service that has the key, and run `sealgate keys rewrap`; without it, only the recovery key opens the object, if there is one. Only if its domain was destroyed with `keys shred`, and its record in the registry is missing, too, remove what is left of its objects; else its header may have been altered: compare it with a backup"
            }
            Self::RegistryMissing => {
                "if it is so of every object, `deployment` or [state] in the configuration is not what it was; if its domain was destroyed with `keys shred`, remove what is left of its objects; else restore the record from a backup of the state bucket: until then its objects open by the wraps in their headers alone, and no rotation of keys reaches them"
            }
            Self::RegistryDamaged => {
                "restore the record from a backup, or an older version, of the state bucket"
            }
            Self::UploadRecord => {
                "restore the record from a backup of the state bucket, or let the client abort the upload and begin anew"
            }
            Self::NotChecked => {
                "run the command again when the storage and the key services can be reached"
            }
        }
    }
}

/// One thing that is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The bucket: the state bucket for the gateway's own records.
    pub bucket: String,
    /// The decoded key, or the record's name.
    pub key: String,
    /// The version, where versions were asked for.
    pub version_id: Option<String>,
    /// What kind of thing.
    pub class: Class,
    /// What was found.
    pub cause: String,
}

/// A finding that has no place yet.
pub(super) type Fault = (Class, String);

/// A fault that an error of reading tells of: `class`, unless something was only away.
pub(super) fn fault(class: Class, error: &S3Error) -> Fault {
    let is_away = error.status.is_server_error() && error.code != "InternalError";
    let refused = error.status.is_client_error() && error.code != "PreconditionFailed";
    if is_away || refused {
        return (Class::NotChecked, error.to_string());
    }
    let cause = error.detail.clone();
    // Nothing says that it was altered.
    let class = if error.lacks_key {
        Class::UnknownKey
    } else if error.is_refused_wrap {
        Class::KeyRefused
    } else {
        class
    };
    (class, cause.unwrap_or_else(|| error.to_string()))
}

/// All findings of a run.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub kept: Vec<Finding>,
}

impl Findings {
    /// Takes in one more.
    pub fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.kept.len() < MAXIMUM_KEPT {
            self.kept.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_away_is_no_damage() {
        let away = S3Error::unavailable("x", "y");
        assert_eq!(fault(Class::Damaged, &away).0, Class::NotChecked);
        let denied = S3Error::access_denied("x");
        assert_eq!(fault(Class::Damaged, &denied).0, Class::NotChecked);
        let lacking = S3Error::key_not_configured("no configured key service has the key");
        assert_eq!(fault(Class::Damaged, &lacking).0, Class::UnknownKey);
        assert_eq!(lacking.message, S3Error::stored_data("x").message);
        let refused = S3Error::refused_wrap("InvalidCiphertextException");
        assert_eq!(fault(Class::Damaged, &refused).0, Class::KeyRefused);
        assert!(Class::KeyRefused.fix().starts_with("compare `deployment`"));
        assert_eq!(refused.message, S3Error::stored_data("x").message);
        let damaged = S3Error::stored_data("a segment does not verify");
        assert_eq!(
            fault(Class::Damaged, &damaged),
            (Class::Damaged, "a segment does not verify".to_owned())
        );
    }

    #[test]
    fn findings_are_counted_beyond_what_is_kept() {
        let mut findings = Findings::default();
        for number in 0..=MAXIMUM_KEPT {
            findings.add(Finding {
                bucket: "b".to_owned(),
                key: number.to_string(),
                version_id: None,
                class: Class::Header,
                cause: String::new(),
            });
        }
        assert_eq!(findings.count, 100_001);
        assert_eq!(findings.kept.len(), MAXIMUM_KEPT);
    }
}
