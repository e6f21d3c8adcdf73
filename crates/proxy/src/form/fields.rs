//! The fields of a form, and what they become: headers of a PutObject, and how success is answered.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::{FormError, MAXIMUM_FIELDS_LENGTH};
use crate::{error::S3Error, xml::requests::Tagging};

/// What stands for the name of the file in the key.
const FILE_NAME_VARIABLE: &str = "${filename}";

/// Fields that sign the form; they become no headers.
pub(super) const OF_THE_SIGNATURE: [&str; 5] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
];

/// Fields that are headers of PutObject without beginning with `x-amz-`.
const HEADERS: [HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::EXPIRES,
];

/// The fields in front of the file, each once, names in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    fields: Vec<(String, String)>,
}

impl Fields {
    /// Adds a field.
    ///
    /// # Errors
    ///
    /// [`FormError::Duplicate`]: two readers could take different ones.
    pub fn insert(&mut self, name: &str, value: String) -> Result<(), FormError> {
        let name = name.to_ascii_lowercase();
        if self.get(&name).is_some() {
            return Err(FormError::Duplicate(name));
        }
        self.fields.push((name, value));
        Ok(())
    }

    /// The value of a field, by its name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// All of them, in the order of the form.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Puts the name of the file into the key. Policies are checked against the result (S3 API, "POST Policy").
    ///
    /// # Errors
    ///
    /// [`FormError::FieldsTooLong`] where the key becomes longer than all fields may be: both may be long, and the one often in the other.
    pub(super) fn fill_in(&mut self, file_name: &str) -> Result<(), FormError> {
        for (name, value) in &mut self.fields {
            if name != "key" {
                continue;
            }
            let places = value.matches(FILE_NAME_VARIABLE).count();
            let more = places.saturating_mul(file_name.len());
            if value.len().saturating_add(more) as u64 > MAXIMUM_FIELDS_LENGTH {
                return Err(FormError::FieldsTooLong);
            }
            *value = value.replace(FILE_NAME_VARIABLE, file_name);
        }
        Ok(())
    }

    /// The headers of the PutObject that the form stands for.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a value that cannot be a header, `MalformedXML` for tags that cannot be read.
    pub fn to_headers(&self) -> Result<HeaderMap, S3Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.iter() {
            let is_header = HEADERS.iter().any(|known| known.as_str() == name)
                || (name.starts_with("x-amz-") && !OF_THE_SIGNATURE.contains(&name));
            let (name, value) = match name {
                "acl" => ("x-amz-acl", value.to_owned()),
                "tagging" => (
                    "x-amz-tagging",
                    Tagging::parse(value.as_bytes())?.to_header(),
                ),
                _ if is_header => (name, value.to_owned()),
                _ => continue,
            };
            let pair = HeaderName::from_bytes(name.as_bytes())
                .ok()
                .zip(HeaderValue::from_bytes(value.as_bytes()).ok());
            let (name, value) = pair.ok_or_else(|| {
                S3Error::invalid_argument(format!("The form field {name:?} cannot be a header."))
            })?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// How the upload is answered if it succeeds.
    pub fn success(&self) -> Success {
        // `redirect` is the older name.
        let target = self
            .get("success_action_redirect")
            .or_else(|| self.get("redirect"))
            .filter(|target| is_web_address(target));
        if let Some(target) = target {
            return Success::Redirect(target.to_owned());
        }
        match self.get("success_action_status") {
            Some("200") => Success::Empty(StatusCode::OK),
            Some("201") => Success::Document,
            _ => Success::Empty(StatusCode::NO_CONTENT),
        }
    }
}

/// The answer to a form whose file was stored (S3 API, "POST Object").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Success {
    /// 303 to an address that the policy allows, with bucket, key and entity tag in its query.
    Redirect(String),
    /// 201 with a document.
    Document,
    /// 200 or 204, without a body.
    Empty(StatusCode),
}

/// Whether a browser may be sent there: an absolute http or https address. Anything else is as if it were not there, as in S3.
fn is_web_address(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.host().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.insert(name, (*value).to_owned()).unwrap();
        }
        fields
    }

    #[test]
    fn a_field_is_known_once_whatever_its_case() {
        let mut fields = fields(&[("Content-Type", "a/b")]);
        assert_eq!(fields.get("content-type"), Some("a/b"));
        assert!(fields.insert("content-type", String::new()).is_err());
    }

    #[test]
    fn a_name_that_is_filled_in_often_makes_no_endless_key() {
        let filled = |places: usize, length: usize| {
            let key = FILE_NAME_VARIABLE.repeat(places);
            let mut fields = fields(&[("key", &key), ("other", FILE_NAME_VARIABLE)]);
            fields.fill_in(&"n".repeat(length))?;
            Ok(fields.get("key").unwrap().len())
        };
        assert_eq!(filled(2, 3), Ok(6));
        assert_eq!(filled(0, 1 << 20), Ok(0));
        assert_eq!(filled(100, 1_000), Err(FormError::FieldsTooLong));
    }

    #[test]
    fn fields_become_the_headers_of_a_put() {
        let headers = fields(&[
            ("key", "k"),
            ("acl", "private"),
            ("Content-Type", "image/png"),
            ("x-amz-meta-a", "1"),
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-signature", "s"),
            ("x-amz-credential", "c"),
            ("policy", "p"),
            ("x-ignore-this", "i"),
            ("content-length", "7"),
            (
                "tagging",
                "<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag></TagSet></Tagging>",
            ),
        ])
        .to_headers()
        .unwrap();
        assert_eq!(headers.len(), 5, "{headers:?}");
        assert_eq!(headers["x-amz-acl"], "private");
        assert_eq!(headers["x-amz-tagging"], "a%20b=1%262");
        assert_eq!(headers["x-amz-meta-a"], "1");
        assert!(fields(&[("x-amz-meta-a", "1\n2")]).to_headers().is_err());
        assert!(fields(&[("x-amz-a b", "1")]).to_headers().is_err());
    }

    #[test]
    fn success_is_answered_as_the_form_wants_it() {
        let success = |pairs: &[(&str, &str)]| fields(pairs).success();
        let no_content = Success::Empty(StatusCode::NO_CONTENT);
        assert_eq!(success(&[]), no_content);
        assert_eq!(success(&[("success_action_status", "302")]), no_content);
        assert_eq!(
            success(&[("success_action_status", "201")]),
            Success::Document
        );
        let there = "https://example.org/done?x=1";
        let redirect = ("success_action_redirect", there);
        assert_eq!(
            success(&[redirect, ("success_action_status", "201")]),
            Success::Redirect(there.to_owned())
        );
        for nowhere in [
            "javascript:alert(1)",
            "/relative",
            "data:text/html,x",
            "",
            "http:///",
        ] {
            assert_eq!(
                success(&[("success_action_redirect", nowhere)]),
                no_content,
                "{nowhere}"
            );
        }
    }
}
