//! The query string of a request, decoded into an ordered list in which duplicates stay visible.
//!
//! Names and values are percent-decoded once; a plus sign is a space, as S3 and every form decoder read it. Signatures are computed over the raw
//! query, which the caller keeps.

use thiserror::Error;

use crate::object_key::percent_decode;

/// Most parameters in one query. A presigned request with every response override and checksum has fewer than 32.
pub const MAX_QUERY_PARAMETERS: usize = 128;

/// A query that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueryStringError {
    /// A broken percent escape or text that is not UTF-8: answer 400 `InvalidURI`.
    #[error("the query string cannot be decoded")]
    Undecodable,
    /// More than [`MAX_QUERY_PARAMETERS`] parameters: answer 400 `InvalidArgument`.
    #[error("the query string holds more than {MAX_QUERY_PARAMETERS} parameters")]
    TooMany,
    /// A parameter that may be given once is given twice: answer 400 `InvalidArgument`.
    #[error("the query parameter {name} is given more than once")]
    Duplicate {
        /// Name of the parameter.
        name: String,
    },
}

/// One decoded parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryParameter {
    /// Decoded name.
    pub name: String,
    /// Decoded value; `None` for a bare name (`?uploads`), `Some("")` for `?uploads=`.
    pub value: Option<String>,
}

/// The decoded parameters in the order of the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryString {
    parameters: Vec<QueryParameter>,
}

impl QueryString {
    /// Decodes a query, without its question mark; `None` is an empty one.
    ///
    /// # Errors
    /// [`QueryStringError::Undecodable`] and [`QueryStringError::TooMany`].
    pub fn parse(query: Option<&str>) -> Result<Self, QueryStringError> {
        let decode = |text: &str| {
            percent_decode(&text.replace('+', " ")).map_err(|_| QueryStringError::Undecodable)
        };
        let mut parameters = Vec::new();
        for piece in query
            .unwrap_or_default()
            .split('&')
            .filter(|piece| !piece.is_empty())
        {
            if parameters.len() == MAX_QUERY_PARAMETERS {
                return Err(QueryStringError::TooMany);
            }
            let (name, value) = match piece.split_once('=') {
                Some((name, value)) => (name, Some(decode(value)?)),
                None => (piece, None),
            };
            parameters.push(QueryParameter {
                name: decode(name)?,
                value,
            });
        }
        Ok(Self { parameters })
    }

    /// All parameters in order.
    pub fn parameters(&self) -> &[QueryParameter] {
        &self.parameters
    }

    /// Whether a parameter is present, with a value or without.
    pub fn contains(&self, name: &str) -> bool {
        self.parameters
            .iter()
            .any(|parameter| parameter.name == name)
    }

    /// The value of a parameter that may be given at most once; a bare name reads as an empty value, `None` is an absent one.
    ///
    /// # Errors
    /// [`QueryStringError::Duplicate`]: two readers could choose different values, so neither is taken.
    pub fn unique(&self, name: &str) -> Result<Option<&str>, QueryStringError> {
        let mut matching = self
            .parameters
            .iter()
            .filter(|parameter| parameter.name == name);
        let first = matching.next();
        if matching.next().is_some() {
            return Err(QueryStringError::Duplicate {
                name: name.to_owned(),
            });
        }
        Ok(first.map(|parameter| parameter.value.as_deref().unwrap_or_default()))
    }

    /// Refuses a query in which any name occurs twice.
    ///
    /// # Errors
    /// [`QueryStringError::Duplicate`] with the first such name.
    pub fn refuse_duplicates(&self) -> Result<(), QueryStringError> {
        let mut seen = std::collections::HashSet::new();
        match self
            .parameters
            .iter()
            .find(|parameter| !seen.insert(parameter.name.as_str()))
        {
            Some(repeated) => Err(QueryStringError::Duplicate {
                name: repeated.name.clone(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    fn parse(query: &str) -> QueryString {
        QueryString::parse(Some(query)).unwrap()
    }

    #[test]
    fn names_without_a_value_differ_from_empty_values() {
        let query = parse("uploads&prefix=&&a=b=c");
        let pairs: Vec<_> = query
            .parameters()
            .iter()
            .map(|parameter| (parameter.name.as_str(), parameter.value.as_deref()))
            .collect();
        assert_eq!(
            pairs,
            [("uploads", None), ("prefix", Some("")), ("a", Some("b=c"))]
        );
        assert!(query.contains("uploads") && !query.contains("upload"));
        assert_eq!(query.unique("uploads"), Ok(Some("")));
        assert_eq!(query.unique("absent"), Ok(None));
        assert_eq!(QueryString::parse(None), Ok(QueryString::default()));
    }

    #[test]
    fn names_and_values_are_decoded_once() {
        let query = parse("pre%66ix=a%2Bb+c%2525&x=%26");
        assert_eq!(query.unique("prefix"), Ok(Some("a+b c%25")));
        assert_eq!(query.unique("x"), Ok(Some("&")));
    }

    #[test]
    fn duplicates_are_found_however_they_are_written() {
        let query = parse("versionId=1&a=2&version%49d=3");
        let duplicate = Err(QueryStringError::Duplicate {
            name: "versionId".into(),
        });
        assert_eq!(query.unique("versionId"), duplicate);
        assert_eq!(query.refuse_duplicates().map(|()| None), duplicate);
        assert_eq!(query.unique("a"), Ok(Some("2")));
        assert_eq!(parse("a=1&b=1").refuse_duplicates(), Ok(()));
    }

    #[test]
    fn bad_queries_are_refused() {
        assert_eq!(
            QueryString::parse(Some("a=%4")),
            Err(QueryStringError::Undecodable)
        );
        assert_eq!(
            QueryString::parse(Some("%ff=a")),
            Err(QueryStringError::Undecodable)
        );
        assert_eq!(
            QueryString::parse(Some(&"a&".repeat(MAX_QUERY_PARAMETERS + 1))),
            Err(QueryStringError::TooMany)
        );
        assert!(QueryString::parse(Some(&"a&".repeat(MAX_QUERY_PARAMETERS))).is_ok());
    }

    proptest! {
        #[test]
        fn encoded_pairs_are_read_back(pairs in proptest::collection::vec(("\\PC{1,10}", "\\PC{0,20}"), 0..10)) {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let wire: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
                .collect();
            let read: Vec<_> = parse(&wire.join("&"))
                .parameters
                .into_iter()
                .map(|parameter| (parameter.name, parameter.value.unwrap()))
                .collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn any_query_is_read_without_panic(query in ".{0,80}") {
            let _ = QueryString::parse(Some(&query)).map(|query| query.refuse_duplicates());
        }
    }
}
