//! Tags, access control lists and versioning of an upstream, as far as the gateway reads them for itself.

use super::XmlError;
use super::elements::{ElementReader, push_entry, set_once};

/// One tag of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Reads the answer of GetObjectTagging.
///
/// # Errors
/// [`XmlError`] where it is no `<Tagging>`, or a tag has no key.
pub fn parse_tags(document: &[u8]) -> Result<Vec<Tag>, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("Tagging")?;
    let mut tags = Vec::new();
    while let Some(child) = reader.child()? {
        if child != "TagSet" {
            reader.skip()?;
            continue;
        }
        while let Some(child) = reader.child()? {
            if child == "Tag" {
                let tag = read_tag(&mut reader)?;
                push_entry(&mut tags, tag, "Tag")?;
            } else {
                reader.skip()?;
            }
        }
    }
    reader.finish()?;
    Ok(tags)
}

fn read_tag(reader: &mut ElementReader<'_>) -> Result<Tag, XmlError> {
    let (mut key, mut value) = (None, None);
    while let Some(child) = reader.child()? {
        match child {
            "Key" => set_once(&mut key, reader.text("Key")?, "Key")?,
            "Value" => set_once(&mut value, reader.text("Value")?, "Value")?,
            _ => reader.skip()?,
        }
    }
    Ok(Tag {
        key: key.ok_or(XmlError::MissingElement {
            element: "Key",
            parent: "Tag",
        })?,
        value: value.unwrap_or_default(),
    })
}

/// Whether the answer of GetObjectAcl says more than that the owner may do everything, which every object says.
///
/// # Errors
/// [`XmlError`] where it is no `<AccessControlPolicy>`.
pub fn grants_beyond_the_owner(document: &[u8]) -> Result<bool, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("AccessControlPolicy")?;
    let (mut owner, mut grants) = (None, Vec::new());
    while let Some(child) = reader.child()? {
        match child {
            "Owner" => owner = Some(text_of(&mut reader, "ID")?),
            "AccessControlList" => {
                while let Some(child) = reader.child()? {
                    if child == "Grant" {
                        let grant = read_grant(&mut reader)?;
                        push_entry(&mut grants, grant, "Grant")?;
                    } else {
                        reader.skip()?;
                    }
                }
            }
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    let owner = owner.unwrap_or_default();
    Ok(grants
        .iter()
        .any(|(grantee, permission)| *grantee != owner || permission != "FULL_CONTROL"))
}

/// What a bucket's versioning configuration says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct VersioningStatus {
    /// `Enabled`, `Suspended`, or empty where the bucket never had versions.
    pub status: String,
    /// Whether some keys have no versions all the same (MinIO's `ExcludedPrefixes` and `ExcludeFolders`): writing one replaces what was there.
    pub has_exclusions: bool,
}

/// Reads the answer of GetBucketVersioning.
///
/// # Errors
/// [`XmlError`] where it is no `<VersioningConfiguration>`.
pub fn parse_versioning(document: &[u8]) -> Result<VersioningStatus, XmlError> {
    let mut reader = ElementReader::new(document)?;
    reader.expect_root("VersioningConfiguration")?;
    let mut found = VersioningStatus::default();
    while let Some(child) = reader.child()? {
        match child {
            "Status" => reader.text("Status")?.trim().clone_into(&mut found.status),
            "ExcludeFolders" => {
                found.has_exclusions |= reader.text("ExcludeFolders")?.trim() != "false";
            }
            "ExcludedPrefixes" => {
                found.has_exclusions = true;
                reader.skip()?;
            }
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    Ok(found)
}

/// The text of the one child element that is wanted; empty where there is none.
fn text_of(reader: &mut ElementReader<'_>, wanted: &'static str) -> Result<String, XmlError> {
    let mut found = String::new();
    while let Some(child) = reader.child()? {
        if child == wanted {
            reader.text(wanted)?.trim().clone_into(&mut found);
        } else {
            reader.skip()?;
        }
    }
    Ok(found)
}

/// Who, as far as it is an account, and what.
fn read_grant(reader: &mut ElementReader<'_>) -> Result<(String, String), XmlError> {
    let (mut grantee, mut permission) = (String::new(), String::new());
    while let Some(child) = reader.child()? {
        match child {
            "Grantee" => {
                while let Some(child) = reader.child()? {
                    match child {
                        "ID" => reader.text("ID")?.trim().clone_into(&mut grantee),
                        // A group or an address: nobody's id.
                        "URI" => grantee = format!("group {}", reader.text("URI")?),
                        "EmailAddress" => {
                            grantee = format!("address {}", reader.text("EmailAddress")?);
                        }
                        _ => reader.skip()?,
                    }
                }
            }
            "Permission" => reader
                .text("Permission")?
                .trim()
                .clone_into(&mut permission),
            _ => reader.skip()?,
        }
    }
    Ok((grantee, permission))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read() {
        let tags = parse_tags(b"<Tagging xmlns='n'><TagSet><Tag><Key>a&amp;b</Key><Value>1 2</Value></Tag><Tag><Key>c</Key><Value/></Tag></TagSet></Tagging>").unwrap();
        let pairs: Vec<_> = tags.iter().map(|tag| (&*tag.key, &*tag.value)).collect();
        assert_eq!(pairs, [("a&b", "1 2"), ("c", "")]);
        assert!(
            parse_tags(b"<Tagging><TagSet><Tag><Value>x</Value></Tag></TagSet></Tagging>").is_err()
        );
    }

    #[test]
    fn the_status_of_versioning_may_be_missing() {
        let status = |content: &str| {
            let document = format!("<VersioningConfiguration>{content}</VersioningConfiguration>");
            parse_versioning(document.as_bytes()).unwrap()
        };
        assert_eq!(status(""), VersioningStatus::default());
        let enabled = status("<Status> Enabled </Status><MfaDelete>x</MfaDelete>");
        assert_eq!(enabled.status, "Enabled");
        assert!(!enabled.has_exclusions);
    }

    #[test]
    fn keys_without_versions_in_a_bucket_with_versions_are_seen() {
        let excludes = |content: &str| {
            let document = format!(
                "<VersioningConfiguration><Status>Enabled</Status>{content}</VersioningConfiguration>"
            );
            parse_versioning(document.as_bytes())
                .unwrap()
                .has_exclusions
        };
        assert!(excludes(
            "<ExcludedPrefixes><Prefix>tmp/*</Prefix></ExcludedPrefixes>"
        ));
        assert!(excludes("<ExcludeFolders>true</ExcludeFolders>"));
        assert!(!excludes("<ExcludeFolders>false</ExcludeFolders>"));
    }

    #[test]
    fn only_grants_that_say_something_count() {
        let acl = |grants: &str| {
            let document = format!(
                "<AccessControlPolicy><Owner><ID>me</ID><DisplayName/></Owner><AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
            );
            grants_beyond_the_owner(document.as_bytes()).unwrap()
        };
        let mine =
            "<Grant><Grantee><ID>me</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>";
        let everyone = "<Grant><Grantee><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>";
        assert!(!acl(mine));
        assert!(!acl(""));
        assert!(acl(&format!("{mine}{everyone}")));
        assert!(acl(&mine.replace(">me<", ">you<")));
        // MinIO: no owner, no id.
        assert!(!grants_beyond_the_owner(b"<AccessControlPolicy><Owner><ID></ID></Owner><AccessControlList><Grant><Grantee><Type>CanonicalUser</Type></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>").unwrap());
    }
}
