//! What can be done: the actions of the S3 API under the names that IAM gives them, and three of our own about keys.
//!
//! Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3". Where IAM has no action of its own for an
//! operation, or one that is shared with something more powerful, the operation's own name stands (`s3:HeadBucket`).

use std::fmt;

/// What an action is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The gateway as a whole: listing buckets.
    Service,
    /// A bucket.
    Bucket,
    /// A listing of a bucket, which has a prefix.
    Listing,
    /// An object, or the name of one that may come to be.
    Object,
}

/// What an action means, from which the ready-made roles are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Shows that a bucket is there, and where.
    See,
    /// Shows names, sizes and times.
    List,
    /// Shows content or what describes it.
    Read,
    /// Shows labels that the storage sees too.
    ReadLabel,
    /// Makes objects.
    Write,
    /// Changes labels that the storage sees too.
    WriteLabel,
    /// Removes objects.
    Delete,
    /// Shows the configuration of a bucket.
    ReadConfiguration,
    /// Changes buckets, and what protects their objects.
    Manage,
    /// Opens what the caller will see.
    Decrypt,
    /// Seals what the caller sends.
    Encrypt,
    /// Opens what is sealed again under another name, unseen by the caller.
    Copy,
}

struct Entry {
    name: &'static str,
    level: Level,
    kind: Kind,
}

/// An action.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Action(u8);

macro_rules! actions {
    ($($constant:ident $name:literal $level:ident $kind:ident $doc:literal;)*) => {
        #[expect(clippy::upper_case_acronyms, non_camel_case_types, reason = "numbers the lines of the table")]
        #[derive(Clone, Copy)]
        enum Number { $($constant),* }

        static TABLE: &[Entry] = &[
            $(Entry { name: $name, level: Level::$level, kind: Kind::$kind }),*
        ];

        impl Action {
            $(#[doc = $doc] pub const $constant: Self = Self(Number::$constant as u8);)*
        }
    };
}

actions! {
    LIST_ALL_MY_BUCKETS "s3:ListAllMyBuckets" Service List "`s3:ListAllMyBuckets`";
    CREATE_BUCKET "s3:CreateBucket" Bucket Manage "`s3:CreateBucket`";
    DELETE_BUCKET "s3:DeleteBucket" Bucket Manage "`s3:DeleteBucket`";
    HEAD_BUCKET "s3:HeadBucket" Bucket See "`s3:HeadBucket`";
    GET_BUCKET_LOCATION "s3:GetBucketLocation" Bucket See "`s3:GetBucketLocation`";
    LIST_BUCKET "s3:ListBucket" Listing List "`s3:ListBucket`";
    LIST_BUCKET_VERSIONS "s3:ListBucketVersions" Listing List "`s3:ListBucketVersions`";
    LIST_BUCKET_MULTIPART_UPLOADS "s3:ListBucketMultipartUploads" Listing List "`s3:ListBucketMultipartUploads`";
    GET_OBJECT "s3:GetObject" Object Read "`s3:GetObject`";
    GET_OBJECT_VERSION "s3:GetObjectVersion" Object Read "`s3:GetObjectVersion`";
    GET_OBJECT_ATTRIBUTES "s3:GetObjectAttributes" Object Read "`s3:GetObjectAttributes`";
    GET_OBJECT_VERSION_ATTRIBUTES "s3:GetObjectVersionAttributes" Object Read "`s3:GetObjectVersionAttributes`";
    PUT_OBJECT "s3:PutObject" Object Write "`s3:PutObject`";
    ABORT_MULTIPART_UPLOAD "s3:AbortMultipartUpload" Object Write "`s3:AbortMultipartUpload`";
    LIST_MULTIPART_UPLOAD_PARTS "s3:ListMultipartUploadParts" Object List "`s3:ListMultipartUploadParts`";
    DELETE_OBJECT "s3:DeleteObject" Object Delete "`s3:DeleteObject`";
    DELETE_OBJECT_VERSION "s3:DeleteObjectVersion" Object Delete "`s3:DeleteObjectVersion`";
    BYPASS_GOVERNANCE_RETENTION "s3:BypassGovernanceRetention" Object Manage "`s3:BypassGovernanceRetention`";
    CREATE_BUCKET_METADATA_CONFIGURATION "s3:CreateBucketMetadataConfiguration" Bucket Manage "`s3:CreateBucketMetadataConfiguration`";
    CREATE_BUCKET_METADATA_TABLE_CONFIGURATION "s3:CreateBucketMetadataTableConfiguration" Bucket Manage "`s3:CreateBucketMetadataTableConfiguration`";
    DELETE_BUCKET_ANALYTICS_CONFIGURATION "s3:DeleteBucketAnalyticsConfiguration" Bucket Manage "`s3:DeleteBucketAnalyticsConfiguration`";
    DELETE_BUCKET_CORS "s3:DeleteBucketCors" Bucket Manage "`s3:DeleteBucketCors`";
    DELETE_BUCKET_ENCRYPTION "s3:DeleteBucketEncryption" Bucket Manage "`s3:DeleteBucketEncryption`";
    DELETE_BUCKET_INTELLIGENT_TIERING_CONFIGURATION "s3:DeleteBucketIntelligentTieringConfiguration" Bucket Manage "`s3:DeleteBucketIntelligentTieringConfiguration`";
    DELETE_BUCKET_INVENTORY_CONFIGURATION "s3:DeleteBucketInventoryConfiguration" Bucket Manage "`s3:DeleteBucketInventoryConfiguration`";
    DELETE_BUCKET_LIFECYCLE "s3:DeleteBucketLifecycle" Bucket Manage "`s3:DeleteBucketLifecycle`";
    DELETE_BUCKET_METADATA_CONFIGURATION "s3:DeleteBucketMetadataConfiguration" Bucket Manage "`s3:DeleteBucketMetadataConfiguration`";
    DELETE_BUCKET_METADATA_TABLE_CONFIGURATION "s3:DeleteBucketMetadataTableConfiguration" Bucket Manage "`s3:DeleteBucketMetadataTableConfiguration`";
    DELETE_BUCKET_METRICS_CONFIGURATION "s3:DeleteBucketMetricsConfiguration" Bucket Manage "`s3:DeleteBucketMetricsConfiguration`";
    DELETE_BUCKET_OWNERSHIP_CONTROLS "s3:DeleteBucketOwnershipControls" Bucket Manage "`s3:DeleteBucketOwnershipControls`";
    DELETE_BUCKET_POLICY "s3:DeleteBucketPolicy" Bucket Manage "`s3:DeleteBucketPolicy`";
    DELETE_BUCKET_REPLICATION "s3:DeleteBucketReplication" Bucket Manage "`s3:DeleteBucketReplication`";
    DELETE_BUCKET_TAGGING "s3:DeleteBucketTagging" Bucket Manage "`s3:DeleteBucketTagging`";
    DELETE_BUCKET_WEBSITE "s3:DeleteBucketWebsite" Bucket Manage "`s3:DeleteBucketWebsite`";
    DELETE_PUBLIC_ACCESS_BLOCK "s3:DeletePublicAccessBlock" Bucket Manage "`s3:DeletePublicAccessBlock`";
    GET_BUCKET_ABAC "s3:GetBucketAbac" Bucket ReadConfiguration "`s3:GetBucketAbac`";
    GET_BUCKET_ACCELERATE_CONFIGURATION "s3:GetBucketAccelerateConfiguration" Bucket ReadConfiguration "`s3:GetBucketAccelerateConfiguration`";
    GET_BUCKET_ACL "s3:GetBucketAcl" Bucket ReadConfiguration "`s3:GetBucketAcl`";
    GET_BUCKET_ANALYTICS_CONFIGURATION "s3:GetBucketAnalyticsConfiguration" Bucket ReadConfiguration "`s3:GetBucketAnalyticsConfiguration`";
    GET_BUCKET_CORS "s3:GetBucketCors" Bucket ReadConfiguration "`s3:GetBucketCors`";
    GET_BUCKET_ENCRYPTION "s3:GetBucketEncryption" Bucket ReadConfiguration "`s3:GetBucketEncryption`";
    GET_BUCKET_INTELLIGENT_TIERING_CONFIGURATION "s3:GetBucketIntelligentTieringConfiguration" Bucket ReadConfiguration "`s3:GetBucketIntelligentTieringConfiguration`";
    GET_BUCKET_INVENTORY_CONFIGURATION "s3:GetBucketInventoryConfiguration" Bucket ReadConfiguration "`s3:GetBucketInventoryConfiguration`";
    GET_BUCKET_LIFECYCLE_CONFIGURATION "s3:GetBucketLifecycleConfiguration" Bucket ReadConfiguration "`s3:GetBucketLifecycleConfiguration`";
    GET_BUCKET_LOGGING "s3:GetBucketLogging" Bucket ReadConfiguration "`s3:GetBucketLogging`";
    GET_BUCKET_METADATA_CONFIGURATION "s3:GetBucketMetadataConfiguration" Bucket ReadConfiguration "`s3:GetBucketMetadataConfiguration`";
    GET_BUCKET_METADATA_TABLE_CONFIGURATION "s3:GetBucketMetadataTableConfiguration" Bucket ReadConfiguration "`s3:GetBucketMetadataTableConfiguration`";
    GET_BUCKET_METRICS_CONFIGURATION "s3:GetBucketMetricsConfiguration" Bucket ReadConfiguration "`s3:GetBucketMetricsConfiguration`";
    GET_BUCKET_NOTIFICATION_CONFIGURATION "s3:GetBucketNotificationConfiguration" Bucket ReadConfiguration "`s3:GetBucketNotificationConfiguration`";
    GET_BUCKET_OWNERSHIP_CONTROLS "s3:GetBucketOwnershipControls" Bucket ReadConfiguration "`s3:GetBucketOwnershipControls`";
    GET_BUCKET_POLICY "s3:GetBucketPolicy" Bucket ReadConfiguration "`s3:GetBucketPolicy`";
    GET_BUCKET_POLICY_STATUS "s3:GetBucketPolicyStatus" Bucket ReadConfiguration "`s3:GetBucketPolicyStatus`";
    GET_BUCKET_REPLICATION "s3:GetBucketReplication" Bucket ReadConfiguration "`s3:GetBucketReplication`";
    GET_BUCKET_REQUEST_PAYMENT "s3:GetBucketRequestPayment" Bucket ReadConfiguration "`s3:GetBucketRequestPayment`";
    GET_BUCKET_TAGGING "s3:GetBucketTagging" Bucket ReadConfiguration "`s3:GetBucketTagging`";
    GET_BUCKET_VERSIONING "s3:GetBucketVersioning" Bucket ReadConfiguration "`s3:GetBucketVersioning`";
    GET_BUCKET_WEBSITE "s3:GetBucketWebsite" Bucket ReadConfiguration "`s3:GetBucketWebsite`";
    GET_OBJECT_LOCK_CONFIGURATION "s3:GetObjectLockConfiguration" Bucket ReadConfiguration "`s3:GetObjectLockConfiguration`";
    GET_PUBLIC_ACCESS_BLOCK "s3:GetPublicAccessBlock" Bucket ReadConfiguration "`s3:GetPublicAccessBlock`";
    LIST_BUCKET_ANALYTICS_CONFIGURATIONS "s3:ListBucketAnalyticsConfigurations" Bucket ReadConfiguration "`s3:ListBucketAnalyticsConfigurations`";
    LIST_BUCKET_INTELLIGENT_TIERING_CONFIGURATIONS "s3:ListBucketIntelligentTieringConfigurations" Bucket ReadConfiguration "`s3:ListBucketIntelligentTieringConfigurations`";
    LIST_BUCKET_INVENTORY_CONFIGURATIONS "s3:ListBucketInventoryConfigurations" Bucket ReadConfiguration "`s3:ListBucketInventoryConfigurations`";
    LIST_BUCKET_METRICS_CONFIGURATIONS "s3:ListBucketMetricsConfigurations" Bucket ReadConfiguration "`s3:ListBucketMetricsConfigurations`";
    PUT_BUCKET_ABAC "s3:PutBucketAbac" Bucket Manage "`s3:PutBucketAbac`";
    PUT_BUCKET_ACCELERATE_CONFIGURATION "s3:PutBucketAccelerateConfiguration" Bucket Manage "`s3:PutBucketAccelerateConfiguration`";
    PUT_BUCKET_ACL "s3:PutBucketAcl" Bucket Manage "`s3:PutBucketAcl`";
    PUT_BUCKET_ANALYTICS_CONFIGURATION "s3:PutBucketAnalyticsConfiguration" Bucket Manage "`s3:PutBucketAnalyticsConfiguration`";
    PUT_BUCKET_CORS "s3:PutBucketCors" Bucket Manage "`s3:PutBucketCors`";
    PUT_BUCKET_ENCRYPTION "s3:PutBucketEncryption" Bucket Manage "`s3:PutBucketEncryption`";
    PUT_BUCKET_INTELLIGENT_TIERING_CONFIGURATION "s3:PutBucketIntelligentTieringConfiguration" Bucket Manage "`s3:PutBucketIntelligentTieringConfiguration`";
    PUT_BUCKET_INVENTORY_CONFIGURATION "s3:PutBucketInventoryConfiguration" Bucket Manage "`s3:PutBucketInventoryConfiguration`";
    PUT_BUCKET_LIFECYCLE_CONFIGURATION "s3:PutBucketLifecycleConfiguration" Bucket Manage "`s3:PutBucketLifecycleConfiguration`";
    PUT_BUCKET_LOGGING "s3:PutBucketLogging" Bucket Manage "`s3:PutBucketLogging`";
    PUT_BUCKET_METRICS_CONFIGURATION "s3:PutBucketMetricsConfiguration" Bucket Manage "`s3:PutBucketMetricsConfiguration`";
    PUT_BUCKET_NOTIFICATION_CONFIGURATION "s3:PutBucketNotificationConfiguration" Bucket Manage "`s3:PutBucketNotificationConfiguration`";
    PUT_BUCKET_OWNERSHIP_CONTROLS "s3:PutBucketOwnershipControls" Bucket Manage "`s3:PutBucketOwnershipControls`";
    PUT_BUCKET_POLICY "s3:PutBucketPolicy" Bucket Manage "`s3:PutBucketPolicy`";
    PUT_BUCKET_REPLICATION "s3:PutBucketReplication" Bucket Manage "`s3:PutBucketReplication`";
    PUT_BUCKET_REQUEST_PAYMENT "s3:PutBucketRequestPayment" Bucket Manage "`s3:PutBucketRequestPayment`";
    PUT_BUCKET_TAGGING "s3:PutBucketTagging" Bucket Manage "`s3:PutBucketTagging`";
    PUT_BUCKET_VERSIONING "s3:PutBucketVersioning" Bucket Manage "`s3:PutBucketVersioning`";
    PUT_BUCKET_WEBSITE "s3:PutBucketWebsite" Bucket Manage "`s3:PutBucketWebsite`";
    PUT_OBJECT_LOCK_CONFIGURATION "s3:PutObjectLockConfiguration" Bucket Manage "`s3:PutObjectLockConfiguration`";
    PUT_PUBLIC_ACCESS_BLOCK "s3:PutPublicAccessBlock" Bucket Manage "`s3:PutPublicAccessBlock`";
    UPDATE_BUCKET_METADATA_ANNOTATION_TABLE_CONFIGURATION "s3:UpdateBucketMetadataAnnotationTableConfiguration" Bucket Manage "`s3:UpdateBucketMetadataAnnotationTableConfiguration`";
    UPDATE_BUCKET_METADATA_INVENTORY_TABLE_CONFIGURATION "s3:UpdateBucketMetadataInventoryTableConfiguration" Bucket Manage "`s3:UpdateBucketMetadataInventoryTableConfiguration`";
    UPDATE_BUCKET_METADATA_JOURNAL_TABLE_CONFIGURATION "s3:UpdateBucketMetadataJournalTableConfiguration" Bucket Manage "`s3:UpdateBucketMetadataJournalTableConfiguration`";
    DELETE_OBJECT_TAGGING "s3:DeleteObjectTagging" Object WriteLabel "`s3:DeleteObjectTagging`";
    PUT_OBJECT_TAGGING "s3:PutObjectTagging" Object WriteLabel "`s3:PutObjectTagging`";
    GET_OBJECT_TAGGING "s3:GetObjectTagging" Object ReadLabel "`s3:GetObjectTagging`";
    GET_OBJECT_ACL "s3:GetObjectAcl" Object ReadLabel "`s3:GetObjectAcl`";
    GET_OBJECT_LEGAL_HOLD "s3:GetObjectLegalHold" Object ReadLabel "`s3:GetObjectLegalHold`";
    GET_OBJECT_RETENTION "s3:GetObjectRetention" Object ReadLabel "`s3:GetObjectRetention`";
    PUT_OBJECT_ACL "s3:PutObjectAcl" Object Manage "`s3:PutObjectAcl`";
    PUT_OBJECT_LEGAL_HOLD "s3:PutObjectLegalHold" Object Manage "`s3:PutObjectLegalHold`";
    PUT_OBJECT_RETENTION "s3:PutObjectRetention" Object Manage "`s3:PutObjectRetention`";
    RESTORE_OBJECT "s3:RestoreObject" Object Manage "`s3:RestoreObject`";
    DECRYPT "decrypt" Object Decrypt "Opening what the caller will see: content, content type, user metadata.";
    ENCRYPT "encrypt" Object Encrypt "Sealing what the caller sends.";
    COPY "copy" Object Copy "Opening what is sealed again under another name at once, so that the caller sees nothing of it.";
}

impl Action {
    /// All actions.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self).take(TABLE.len())
    }

    /// How many there are.
    pub(crate) fn count() -> usize {
        TABLE.len()
    }

    /// Its place among all of them.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The action of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|action| action.name() == name)
    }

    /// The action of an S3 operation that passes unread, and whose action has its name.
    pub fn of_passed(operation: &str) -> Option<Self> {
        Self::all().find(|action| action.name().strip_prefix("s3:") == Some(operation))
    }

    /// Its name in policies: `s3:GetObject`, `decrypt`.
    pub fn name(self) -> &'static str {
        self.entry().map_or("", |entry| entry.name)
    }

    /// What it is done to.
    pub fn level(self) -> Level {
        self.entry().map_or(Level::Service, |entry| entry.level)
    }

    /// What shows of an old version what this shows of the newest one; itself, where there is no other.
    pub(crate) fn of_version(self) -> Self {
        match self {
            Self::GET_OBJECT => Self::GET_OBJECT_VERSION,
            Self::GET_OBJECT_ATTRIBUTES => Self::GET_OBJECT_VERSION_ATTRIBUTES,
            other => other,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        self.entry().map_or(Kind::Manage, |entry| entry.kind)
    }

    fn entry(self) -> Option<&'static Entry> {
        TABLE.get(self.index())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Action({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_has_a_name_of_its_own_and_is_found_by_it() {
        let names: BTreeSet<_> = Action::all().map(Action::name).collect();
        assert_eq!(names.len(), TABLE.len());
        for action in Action::all() {
            assert_eq!(Action::named(action.name()), Some(action));
        }
        assert_eq!(Action::named("s3:getobject"), None);
        assert_eq!(
            Action::of_passed("GetBucketAcl"),
            Some(Action::GET_BUCKET_ACL)
        );
        assert_eq!(Action::of_passed("decrypt"), None);
    }
}
