//! What the file of an access key says.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The version of these files.
const VERSION: u32 = 1;

/// The longest file that is read, in bytes: a header of 4 KiB and the rest.
pub(crate) const FILE_LIMIT: u64 = 16 * 1024;

/// One access key. The secret is sealed; everything else is for people and may be read by anybody who may read the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialFile {
    version: u32,
    /// Whose it is; the secret is bound to it.
    pub(crate) identity: String,
    /// Its id, which is also the name of the file; the secret is bound to it.
    pub(crate) access_key_id: String,
    /// When it was made.
    pub(crate) created: Moment,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Moment>,
    /// The access key that it took the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotated_from: Option<String>,
    /// The access key that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced_by: Option<String>,
    /// When it was revoked; then the secret is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<Moment>,
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<SealedSecret>,
}

/// A secret access key, sealed as an object is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedSecret {
    /// The sealed header, with the wraps of its working key, in base64url.
    pub(crate) header: String,
    /// The sealed body, in base64url.
    pub(crate) body: String,
}

/// What becomes of an access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It works.
    Active,
    /// It works, and another one has taken its place.
    Replaced,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl State {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Whether requests may be signed with it.
    pub(crate) fn works(self) -> bool {
        matches!(self, Self::Active | Self::Replaced)
    }
}

impl CredentialFile {
    /// A new one.
    pub(crate) fn new(
        identity: &str,
        access_key_id: String,
        created: Moment,
        secret: SealedSecret,
    ) -> Self {
        Self {
            version: VERSION,
            identity: identity.to_owned(),
            access_key_id,
            created,
            expires: None,
            rotated_from: None,
            replaced_by: None,
            revoked: None,
            secret: Some(secret),
        }
    }

    /// Reads a file that has the name of an access key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &[u8], name: &str) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
        let file: Self = toml::from_str(text)
            .map_err(|error| format!("it does not say what it should: {}", error.message()))?;
        if file.version != VERSION {
            return Err(format!(
                "it is of version {}, and this program knows version {VERSION}",
                file.version
            ));
        }
        if file.access_key_id != name {
            return Err(format!(
                "it is about the access key id {:?} and has the name of another one",
                file.access_key_id
            ));
        }
        if file.secret.is_none() && file.revoked.is_none() {
            return Err("it has neither a secret nor a time at which it was revoked".to_owned());
        }
        Ok(file)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn to_text(&self) -> anyhow::Result<String> {
        Ok(format!(
            "# An access key of sealgate. The secret is sealed; change this file with `sealgate credentials` alone.\n{}",
            toml::to_string(self)?
        ))
    }

    /// What becomes of it at a time.
    pub(crate) fn state(&self, now: OffsetDateTime) -> State {
        if self.revoked.is_some() || self.secret.is_none() {
            return State::Revoked;
        }
        match (self.expires, &self.replaced_by) {
            (Some(expires), _) if expires.0 <= now => State::Expired,
            (_, Some(_)) => State::Replaced,
            (_, None) => State::Active,
        }
    }

    /// When it ended, if it has.
    pub(crate) fn ended(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match self.state(now) {
            State::Active | State::Replaced => None,
            State::Expired => self.expires.map(|moment| moment.0),
            State::Revoked => self.revoked.map(|moment| moment.0),
        }
    }

    /// Takes it back: what is left says that it was.
    pub(crate) fn revoke(&mut self, now: Moment) {
        self.revoked.get_or_insert(now);
        self.secret = None;
    }
}

/// A moment, to the second, written as RFC 3339 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Moment(pub(crate) OffsetDateTime);

impl Moment {
    /// A moment without parts of a second.
    pub(crate) fn new(time: OffsetDateTime) -> Self {
        Self(time.replace_nanosecond(0).unwrap_or(time))
    }

    /// Now.
    pub(crate) fn now() -> Self {
        Self::new(OffsetDateTime::now_utc())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Years of five digits alone cannot be written.
        f.write_str(&self.0.format(&Rfc3339).unwrap_or_default())
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        OffsetDateTime::parse(&text, &Rfc3339)
            .map(Self)
            .map_err(|_| "a moment is written such as \"2027-01-31T18:00:00Z\"".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    fn file() -> CredentialFile {
        let secret = SealedSecret {
            header: "aGVhZGVy".to_owned(),
            body: "Ym9keQ".to_owned(),
        };
        CredentialFile::new("app", "SGAK1".to_owned(), Moment::now(), secret)
    }

    #[test]
    fn a_file_comes_back_as_it_was_written() {
        let mut file = file();
        file.expires = Some(Moment::now());
        file.rotated_from = Some("SGAK0".to_owned());
        let text = file.to_text().unwrap();
        assert_eq!(
            CredentialFile::parse(text.as_bytes(), "SGAK1").unwrap(),
            file
        );
        file.revoke(Moment::now());
        let text = file.to_text().unwrap();
        assert!(!text.contains("Ym9keQ"), "{text}");
        assert_eq!(
            CredentialFile::parse(text.as_bytes(), "SGAK1").unwrap(),
            file
        );
    }

    #[test]
    fn what_is_cut_off_renamed_or_from_later_is_refused() {
        let text = file().to_text().unwrap();
        let fault = |text: &str, name| CredentialFile::parse(text.as_bytes(), name).unwrap_err();
        assert!(fault(&text, "SGAK2").contains("another one"));
        assert!(fault(&text.replace("version = 1", "version = 2"), "SGAK1").contains("version 2"));
        assert!(fault(&text.replace("version", "versions"), "SGAK1").contains("does not say"));
        assert!(fault(text.split("[secret]").next().unwrap(), "SGAK1").contains("neither"));
        assert!(fault("", "SGAK1").contains("does not say"));
    }

    #[test]
    fn its_time_decides_what_becomes_of_it() {
        let now = OffsetDateTime::now_utc();
        let mut file = file();
        assert_eq!(file.state(now), State::Active);
        file.replaced_by = Some("SGAK2".to_owned());
        file.expires = Some(Moment(now + Duration::HOUR));
        assert_eq!(file.state(now), State::Replaced);
        assert_eq!(file.state(now + Duration::HOUR), State::Expired);
        file.revoke(Moment(now));
        assert_eq!(
            (file.state(now), file.ended(now)),
            (State::Revoked, Some(now))
        );
    }
}
