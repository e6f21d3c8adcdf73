//! Entity tags: what the upstream says and what clients see.
//!
//! SDKs and sync tools take an ETag of 32 hex digits for the MD5 of the body. The upstream computes it over the ciphertext, so a client would
//! report corruption. Every tag that does not already look like that of a multipart object therefore gets the suffix `-01` on its way out and
//! loses it on its way in (FORMAT.md, "Reading"). The suffix is reversible, is numeric, and no real part count is written with a leading zero.
//!
//! | upstream | client |
//! |---|---|
//! | `"5d41402abc4b2a76b9719d911017c592"` | `"5d41402abc4b2a76b9719d911017c592-01"` |
//! | `"5d41402abc4b2a76b9719d911017c592-3"` | the same |
//! | `W/"x"` | `W/"x-01"` |

use std::fmt;

use thiserror::Error;

/// What is appended, inside the quotes, to an upstream tag that is not of the multipart form.
const SUFFIX: &str = "-01";

/// A tag that stands for "no object has this tag": upstream tags of the multipart form have a part count of at least one.
const MATCHES_NOTHING: &str = "00000000000000000000000000000000-0";

/// Longest list of tags accepted in one condition header. Clients send one; the bound keeps a hostile header cheap.
pub const MAX_TAGS_IN_CONDITION: usize = 64;

/// A condition header that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntityTagError {
    /// The header holds no tag at all.
    #[error("the condition holds no entity tag; send a tag in double quotes, or *")]
    Empty,
    /// A double quote that does not have its counterpart.
    #[error("an entity tag holds a double quote that is not paired")]
    Unterminated,
    /// Text follows a closing quote where a comma or the end is due.
    #[error("text follows an entity tag where a comma or the end of the header is due")]
    TrailingText,
    /// More tags than [`MAX_TAGS_IN_CONDITION`].
    #[error("the condition holds more than {MAX_TAGS_IN_CONDITION} entity tags")]
    TooMany,
    /// `*` among tags, where one reader would take it for a tag and another for any.
    #[error("* stands among entity tags; send it alone")]
    AnyInList,
    /// A control character inside a tag.
    #[error("an entity tag holds a control character")]
    ControlCharacter,
}

/// One entity tag (RFC 9110, section 8.8.3): the opaque text without its quotes, and whether it is weak.
///
/// `Display` writes the wire form, quotes included.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityTag {
    opaque: String,
    weak: bool,
}

impl EntityTag {
    /// A strong tag from its opaque text, without quotes.
    pub fn strong(opaque: impl Into<String>) -> Self {
        Self {
            opaque: opaque.into(),
            weak: false,
        }
    }

    /// Reads the value of an `ETag` header or element: quoted, weak, or, as some clients and servers send it, without quotes.
    ///
    /// Never fails: whatever is between the outermost quotes is opaque.
    pub fn parse(value: &str) -> Self {
        let value = value.trim();
        let (weak, rest) = match value.strip_prefix("W/") {
            Some(rest) if rest.starts_with('"') => (true, rest),
            _ => (false, value),
        };
        let opaque = match rest.strip_prefix('"') {
            Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
            None => rest,
        };
        Self {
            opaque: opaque.to_owned(),
            weak,
        }
    }

    /// The opaque text, without quotes.
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// Whether the tag is weak (`W/`).
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// The tag that clients see for this upstream tag.
    #[must_use]
    pub fn to_client(&self) -> Self {
        Self {
            opaque: format!("{}{}", self.opaque, client_suffix(&self.opaque)),
            weak: self.weak,
        }
    }

    /// The tag that clients see for an object that was never sealed, in a place that is marked migrating: its own, because it is of the
    /// plaintext. A tag that reads like one of [`Self::to_client`] gets the suffix too, so that [`Self::to_upstream_of_either`] stays its inverse.
    #[must_use]
    pub fn to_client_in_the_clear(&self) -> Self {
        if self.opaque.ends_with(SUFFIX) {
            self.to_client()
        } else {
            self.clone()
        }
    }

    /// The upstream tag behind a tag of [`Self::to_client`] or [`Self::to_client_in_the_clear`]; `None` where it is neither.
    ///
    /// It says nothing of the kind of the object: whoever knows the object compares tags as the client sees them.
    pub fn to_upstream_of_either(&self) -> Option<Self> {
        match self.to_upstream() {
            None if !self.opaque.ends_with(SUFFIX) => Some(self.clone()),
            sealed => sealed,
        }
    }

    /// The upstream tag behind this client tag, or `None` where no object of ours can have it (a plain MD5, for example).
    pub fn to_upstream(&self) -> Option<Self> {
        let opaque = match self.opaque.strip_suffix(SUFFIX) {
            // A tag of the multipart form never gets the suffix, so this one was not made by `to_client`.
            Some(stem) if has_part_count(stem) => return None,
            Some(stem) => stem,
            None if has_part_count(&self.opaque) => &self.opaque,
            None => return None,
        };
        Some(Self {
            opaque: opaque.to_owned(),
            weak: self.weak,
        })
    }

    /// Strong comparison (RFC 9110, section 8.8.3.2): equal, and neither is weak.
    pub fn strongly_equals(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (RFC 9110, section 8.8.3.2): the opaque texts are equal.
    pub fn weakly_equals(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The tag of an uploaded part that clients see: the attempt id in hex and the suffix (FORMAT.md, "Multipart").
    pub fn of_attempt(attempt: &[u8; 16]) -> Self {
        Self::strong(format!(
            "{}{SUFFIX}",
            data_encoding::HEXLOWER.encode(attempt)
        ))
    }

    /// The attempt id in a part tag made by [`EntityTag::of_attempt`], or `None` where it is no such tag.
    pub fn attempt(&self) -> Option<[u8; 16]> {
        if self.weak {
            return None;
        }
        let digits = self.opaque.strip_suffix(SUFFIX)?;
        data_encoding::HEXLOWER
            .decode(digits.as_bytes())
            .ok()?
            .try_into()
            .ok()
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}\"{}\"",
            if self.weak { "W/" } else { "" },
            self.opaque
        )
    }
}

/// Whether a tag ends like that of a multipart object: a dash and a part count without leading zeros.
/// What clients see behind the opaque text of an upstream tag: [`EntityTag::to_client`] without a copy, for listings of many.
pub(crate) fn client_suffix(opaque: &str) -> &'static str {
    if has_part_count(opaque) { "" } else { SUFFIX }
}

fn has_part_count(opaque: &str) -> bool {
    opaque.rsplit_once('-').is_some_and(|(_, count)| {
        count.starts_with(|first: char| ('1'..='9').contains(&first))
            && count.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// The value of `If-Match`, `If-None-Match` and their `x-amz-copy-source-` forms (RFC 9110, sections 13.1.1 and 13.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagCondition {
    /// `*`: any existing object.
    Any,
    /// One or more tags, in the order of the header.
    Tags(Vec<EntityTag>),
}

impl TagCondition {
    /// Reads a condition header: `*`, or tags separated by commas, each quoted, weak or bare.
    ///
    /// # Errors
    /// [`EntityTagError`] where the value is empty, too long or not a list; answer `InvalidArgument`.
    pub fn parse(value: &str) -> Result<Self, EntityTagError> {
        if value.contains(|character: char| character.is_ascii_control() && character != '\t') {
            return Err(EntityTagError::ControlCharacter);
        }
        let mut rest = value.trim();
        if rest == "*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() {
                break;
            }
            if tags.len() == MAX_TAGS_IN_CONDITION {
                return Err(EntityTagError::TooMany);
            }
            let (tag, after) = take_tag(rest)?;
            tags.push(tag);
            rest = after;
        }
        if tags.is_empty() {
            Err(EntityTagError::Empty)
        } else {
            Ok(Self::Tags(tags))
        }
    }

    /// The header value to send upstream: every client tag mapped to the upstream's.
    ///
    /// A tag that no object of ours can have is replaced by one that matches nothing, so the upstream still decides between 412, 404 and 304.
    pub fn to_upstream_header(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Tags(tags) => {
                let mut mapped: Vec<String> = tags
                    .iter()
                    .filter_map(EntityTag::to_upstream)
                    .map(|tag| tag.to_string())
                    .collect();
                if mapped.is_empty() {
                    mapped.push(EntityTag::strong(MATCHES_NOTHING).to_string());
                }
                mapped.join(", ")
            }
        }
    }

    /// The same condition on a write to a place that is marked migrating, where a tag may also be that of an object that was never sealed:
    /// every tag in the form that [`Self::to_upstream_header`] maps to the upstream's.
    #[must_use]
    pub fn of_either(self) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::Tags(tags) => Self::Tags(
                tags.into_iter()
                    .map(|tag| {
                        tag.to_upstream_of_either()
                            .map_or(tag, |upstream| upstream.to_client())
                    })
                    .collect(),
            ),
        }
    }

    /// The header value that reads as this condition.
    pub fn to_header(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Tags(tags) => {
                let tags: Vec<String> = tags.iter().map(EntityTag::to_string).collect();
                tags.join(", ")
            }
        }
    }

    /// Whether an existing object with this client-visible tag matches under strong comparison, as `If-Match` demands.
    pub fn matches_strongly(&self, current: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag.strongly_equals(current)),
        }
    }

    /// Whether an existing object with this client-visible tag matches under weak comparison, as `If-None-Match` demands.
    pub fn matches_weakly(&self, current: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag.weakly_equals(current)),
        }
    }
}

/// Takes one tag from the front of a list; what remains starts with a comma or is empty.
fn take_tag(list: &str) -> Result<(EntityTag, &str), EntityTagError> {
    let quoted = list
        .strip_prefix("W/\"")
        .map(|inner| (true, inner))
        .or_else(|| list.strip_prefix('"').map(|inner| (false, inner)));
    let Some((weak, inner)) = quoted else {
        let (bare, after) = list.split_at(list.find(',').unwrap_or(list.len()));
        // Written again in quotes, such a tag would read as two.
        if bare.contains('"') {
            return Err(EntityTagError::Unterminated);
        }
        let bare = bare.trim_end();
        if bare == "*" {
            return Err(EntityTagError::AnyInList);
        }
        return Ok((EntityTag::strong(bare), after));
    };
    let (opaque, after) = inner.split_once('"').ok_or(EntityTagError::Unterminated)?;
    let after = after.trim_start_matches([' ', '\t']);
    if !after.is_empty() && !after.starts_with(',') {
        return Err(EntityTagError::TrailingText);
    }
    Ok((
        EntityTag {
            opaque: opaque.to_owned(),
            weak,
        },
        after,
    ))
}

/// Maps the value of `If-Range` for the upstream: a tag is mapped, a date passes as it is (RFC 9110, section 13.1.5).
pub fn if_range_to_upstream(value: &str) -> String {
    if httpdate::parse_http_date(value.trim()).is_ok() {
        return value.trim().to_owned();
    }
    EntityTag::parse(value)
        .to_upstream()
        .unwrap_or_else(|| EntityTag::strong(MATCHES_NOTHING))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MD5: &str = "5d41402abc4b2a76b9719d911017c592";

    #[test]
    fn rule_17_a_single_put_tag_gets_the_suffix_and_a_multipart_tag_stays() {
        assert_eq!(
            EntityTag::parse(&format!("\"{MD5}\""))
                .to_client()
                .to_string(),
            format!("\"{MD5}-01\"")
        );
        assert_eq!(
            EntityTag::parse(&format!("\"{MD5}-12\""))
                .to_client()
                .to_string(),
            format!("\"{MD5}-12\"")
        );
        assert_eq!(
            EntityTag::parse("W/\"x\"").to_client().to_string(),
            "W/\"x-01\""
        );
    }

    #[test]
    fn counts_with_a_leading_zero_or_none_at_all_are_no_part_counts() {
        for odd in ["x-0", "x-01", "x-", "x-1a", "x", "", "-CKicn4fknN0CEAE="] {
            assert_eq!(
                EntityTag::strong(odd).to_client().opaque(),
                format!("{odd}-01")
            );
        }
        assert_eq!(EntityTag::strong("x-10000").to_client().opaque(), "x-10000");
    }

    #[test]
    fn a_client_tag_without_the_suffix_matches_nothing() {
        assert_eq!(EntityTag::parse(MD5).to_upstream(), None);
        assert_eq!(EntityTag::strong("x-3-01").to_upstream(), None);
        assert_eq!(EntityTag::strong("x-0").to_upstream(), None);
    }

    #[test]
    fn rule_17_conditions_are_mapped_in_lists_weak_bare_and_star() {
        let condition = |value: &str| TagCondition::parse(value).unwrap().to_upstream_header();
        assert_eq!(condition("*"), "*");
        assert_eq!(
            condition("\"a-01\", W/\"b-01\",c-7"),
            "\"a\", W/\"b\", \"c-7\""
        );
        assert_eq!(condition("\"a,b-01\""), "\"a,b\"");
        assert_eq!(condition(MD5), format!("\"{MATCHES_NOTHING}\""));
        assert_eq!(condition(&format!("\"{MD5}\", \"x-2\"")), "\"x-2\"");
    }

    #[test]
    fn broken_conditions_name_the_cause() {
        assert_eq!(TagCondition::parse(" , "), Err(EntityTagError::Empty));
        assert_eq!(
            TagCondition::parse("ab\"c, d"),
            Err(EntityTagError::Unterminated)
        );
        assert_eq!(
            TagCondition::parse("\"abc"),
            Err(EntityTagError::Unterminated)
        );
        assert_eq!(
            TagCondition::parse("\"abc\" \"d\""),
            Err(EntityTagError::TrailingText)
        );
        assert_eq!(
            TagCondition::parse("\"a\r\nx\""),
            Err(EntityTagError::ControlCharacter)
        );
        assert_eq!(
            TagCondition::parse(&"a,".repeat(MAX_TAGS_IN_CONDITION + 1)),
            Err(EntityTagError::TooMany)
        );
        assert!(TagCondition::parse(&"a,".repeat(MAX_TAGS_IN_CONDITION)).is_ok());
    }

    #[test]
    fn comparison_is_strong_for_if_match_and_weak_for_if_none_match() {
        let weak = TagCondition::parse("W/\"x\"").unwrap();
        assert!(!weak.matches_strongly(&EntityTag::strong("x")));
        assert!(weak.matches_weakly(&EntityTag::strong("x")));
        assert!(!weak.matches_weakly(&EntityTag::strong("y")));
        assert!(TagCondition::Any.matches_strongly(&EntityTag::strong("y")));
    }

    #[test]
    fn if_range_maps_tags_and_leaves_dates() {
        assert_eq!(if_range_to_upstream("\"x-01\""), "\"x\"");
        assert_eq!(
            if_range_to_upstream("Sun, 06 Nov 1994 08:49:37 GMT"),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(
            if_range_to_upstream("\"x\""),
            format!("\"{MATCHES_NOTHING}\"")
        );
    }

    #[test]
    fn only_our_own_part_tags_name_an_attempt() {
        assert_eq!(
            EntityTag::parse(&format!("\"{MD5}-01\""))
                .attempt()
                .map(|id| EntityTag::of_attempt(&id)),
            Some(EntityTag::strong(format!("{MD5}-01")))
        );
        for other in [
            MD5.to_owned(),
            format!("{MD5}-1"),
            format!("{}-01", MD5.to_uppercase()),
            format!("{MD5}00-01"),
            format!("W/\"{MD5}-01\""),
        ] {
            assert_eq!(EntityTag::parse(&other).attempt(), None, "{other}");
        }
    }

    #[test]
    fn where_both_kinds_live_a_plain_tag_is_that_of_an_object_in_the_clear() {
        let condition = |value: &str| {
            TagCondition::parse(value)
                .unwrap()
                .of_either()
                .to_upstream_header()
        };
        assert_eq!(condition(MD5), format!("\"{MD5}\""));
        assert_eq!(condition(&format!("\"{MD5}-01\"")), format!("\"{MD5}\""));
        assert_eq!(condition("\"x-3\", \"*\""), "\"x-3\", \"*\"");
        assert_eq!(
            TagCondition::parse("\"x-3\", *"),
            Err(EntityTagError::AnyInList)
        );
        assert_eq!(condition("*"), "*");
        assert_eq!(
            condition("\"x-3-01\""),
            format!("\"{MATCHES_NOTHING}\""),
            "neither kind shows such a tag"
        );
        assert_eq!(
            EntityTag::strong(MD5).to_client_in_the_clear().opaque(),
            MD5
        );
    }

    proptest! {
        #[test]
        fn every_tag_of_either_kind_comes_back(opaque in "[ -!#-~]{0,40}(-0?[0-9]{1,5})?(-01)?", weak in any::<bool>()) {
            let upstream = EntityTag { opaque, weak };
            prop_assert_eq!(upstream.to_client().to_upstream_of_either(), Some(upstream.clone()));
            let clear = upstream.to_client_in_the_clear();
            prop_assert_eq!(clear.to_upstream_of_either(), Some(upstream.clone()));
            let condition = TagCondition::Tags(vec![clear]).of_either();
            prop_assert_eq!(TagCondition::parse(&condition.to_header()).unwrap().to_upstream_header(), upstream.to_string());
        }

        #[test]
        fn every_upstream_tag_comes_back(opaque in "[ -!#-~]{0,40}(-0?[0-9]{1,5})?", weak in any::<bool>()) {
            let upstream = EntityTag { opaque, weak };
            prop_assert_eq!(upstream.to_client().to_upstream(), Some(upstream));
        }

        #[test]
        fn no_client_tag_of_a_single_put_looks_like_an_md5(opaque in "[0-9a-f]{32}") {
            let client = EntityTag::strong(opaque).to_client();
            prop_assert!(client.opaque().contains('-'));
        }

        #[test]
        fn attempts_come_back(attempt in any::<[u8; 16]>()) {
            prop_assert_eq!(EntityTag::parse(&EntityTag::of_attempt(&attempt).to_string()).attempt(), Some(attempt));
        }

        #[test]
        fn any_condition_is_read_without_panic(value in ".{0,80}") {
            if let Ok(condition) = TagCondition::parse(&value) {
                let _ = condition.to_upstream_header();
            }
            let _ = if_range_to_upstream(&value);
        }
    }
}
