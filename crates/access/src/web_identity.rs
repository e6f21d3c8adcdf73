//! Tokens of an identity provider (OpenID Connect), for `AssumeRoleWithWebIdentity`.
//!
//! Keys come as a JWKS, from a file. A token has to be signed with a public-key algorithm by a key of that set, and by the algorithm that the
//! key is for: a token that names another one, `none` or a keyed hash above all, is refused whatever else is true of it (RFC 8725, section 3.1).

use std::collections::HashSet;

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use thiserror::Error;

/// The longest token: that of AWS STS, AssumeRoleWithWebIdentity, `WebIdentityToken`.
const TOKEN_LIMIT: usize = 20_000;

/// The longest JWKS, in bytes.
const KEYS_LIMIT: usize = 256 * 1024;

/// How far the provider's clock may be from ours, in seconds.
const SKEW: u64 = 60;

/// A provider whose tokens are taken.
#[derive(Debug, Clone)]
pub struct Provider {
    issuer: String,
    audiences: Vec<String>,
    keys: JwkSet,
}

/// Whom a token is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebIdentity {
    /// Who says so.
    pub issuer: String,
    /// Whom the provider means.
    pub subject: String,
    /// Until when the token is good, in seconds since 1970.
    pub expires: u64,
}

/// Why keys or a token are not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WebIdentityError {
    /// The key set cannot be used.
    #[error("not a JWKS: {0}")]
    Keys(String),
    /// Issuer or audience are missing.
    #[error("a provider has an issuer and at least one audience")]
    Provider,
    /// The token is signed by a key that is not in the set, which may be too old.
    #[error("the web identity token is signed by a key that the provider does not publish")]
    UnknownKey,
    /// The token is none, is not signed by the provider, or is for somebody else.
    #[error("the web identity token is invalid: {0}")]
    Invalid(String),
    /// Its time is over.
    #[error("the web identity token has expired")]
    Expired,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    iat: Option<u64>,
}

/// A JSON Web Key Set whose keys were not looked at.
#[derive(Deserialize)]
struct KeyList {
    keys: Vec<serde_json::Value>,
}

impl Provider {
    /// Takes over the keys of a provider.
    ///
    /// # Errors
    ///
    /// [`WebIdentityError::Keys`], also for a set without a single public key, and [`WebIdentityError::Provider`].
    pub fn new(issuer: &str, audiences: &[String], keys: &str) -> Result<Self, WebIdentityError> {
        if issuer.is_empty() || audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(WebIdentityError::Provider);
        }
        if keys.len() > KEYS_LIMIT {
            return Err(WebIdentityError::Keys("too long".to_owned()));
        }
        let listed: KeyList = serde_json::from_str(keys)
            .map_err(|error| WebIdentityError::Keys(error.to_string()))?;
        // One by one: a key of a kind that is not known here is none, and takes nothing from the others (RFC 7517, section 5).
        let read = listed
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys = JwkSet {
            keys: read.filter(|key| !algorithms(key).is_empty()).collect(),
        };
        if keys.keys.is_empty() {
            return Err(WebIdentityError::Keys(
                "it holds no public key for signatures".to_owned(),
            ));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            audiences: audiences.to_vec(),
            keys,
        })
    }

    /// Verifies a token.
    ///
    /// # Errors
    ///
    /// [`WebIdentityError::Invalid`] and [`WebIdentityError::Expired`].
    pub fn verify(&self, token: &str, now: u64) -> Result<WebIdentity, WebIdentityError> {
        let invalid = |why: &dyn ToString| WebIdentityError::Invalid(why.to_string());
        if token.len() > TOKEN_LIMIT {
            return Err(invalid(&"too long"));
        }
        let header = decode_header(token).map_err(|error| invalid(&error))?;
        // Extensions that have to be understood, and none is (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(invalid(&"it has critical extensions"));
        }
        let key = match &header.kid {
            Some(kid) => self.keys.find(kid),
            None => match self.keys.keys.as_slice() {
                [only] => Some(only),
                _ => None,
            },
        }
        .ok_or(WebIdentityError::UnknownKey)?;
        if !algorithms(key).contains(&header.alg) {
            return Err(invalid(&"the key is for another algorithm"));
        }
        let mut validation = Validation::new(header.alg);
        // The time is a parameter here.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&self.audiences);
        validation.required_spec_claims =
            HashSet::from(["iss", "aud", "sub", "exp"].map(str::to_owned));
        let verifying = DecodingKey::from_jwk(key).map_err(|error| invalid(&error))?;
        let claims: Claims = decode(token, &verifying, &validation)
            .map_err(|error| invalid(&error))?
            .claims;
        if now >= claims.exp {
            return Err(WebIdentityError::Expired);
        }
        let begins = claims.nbf.into_iter().chain(claims.iat).max().unwrap_or(0);
        if begins > now.saturating_add(SKEW) {
            return Err(invalid(&"it is from the future"));
        }
        if claims.sub.is_empty() {
            return Err(invalid(&"it has no subject"));
        }
        Ok(WebIdentity {
            issuer: claims.iss,
            subject: claims.sub,
            expires: claims.exp,
        })
    }
}

/// The algorithms that a key may have signed with; none for a shared secret and for a key of another use.
fn algorithms(key: &Jwk) -> Vec<Algorithm> {
    if key
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|usage| *usage != PublicKeyUse::Signature)
    {
        return Vec::new();
    }
    let of_type: &[(KeyAlgorithm, Algorithm)] = match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[
            (KeyAlgorithm::RS256, Algorithm::RS256),
            (KeyAlgorithm::RS384, Algorithm::RS384),
            (KeyAlgorithm::RS512, Algorithm::RS512),
            (KeyAlgorithm::PS256, Algorithm::PS256),
            (KeyAlgorithm::PS384, Algorithm::PS384),
            (KeyAlgorithm::PS512, Algorithm::PS512),
        ],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[(KeyAlgorithm::ES256, Algorithm::ES256)],
            EllipticCurve::P384 => &[(KeyAlgorithm::ES384, Algorithm::ES384)],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            &[(KeyAlgorithm::EdDSA, Algorithm::EdDSA)]
        }
        _ => &[],
    };
    let named = key.common.key_algorithm.as_ref();
    of_type
        .iter()
        .filter(|(name, _)| named.is_none_or(|named| named == name))
        .map(|(_, algorithm)| *algorithm)
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const ISSUER: &str = "https://issuer.example";

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn jwk(seed: u8, kid: &str) -> Value {
        let x = BASE64URL_NOPAD.encode(pair(seed).public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x })
    }

    fn provider() -> Provider {
        let keys = json!({ "keys": [jwk(1, "a"), jwk(2, "b"), { "kty": "oct", "kid": "shared", "k": "c2VjcmV0" }] });
        Provider::new(ISSUER, &["sealgate".to_owned()], &keys.to_string()).unwrap()
    }

    fn claims() -> Value {
        json!({ "iss": ISSUER, "aud": ["other", "sealgate"], "sub": "ci:main", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300 })
    }

    fn with(changes: &Value) -> Value {
        let mut claims = claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn text(header: &Value, claims: &Value) -> String {
        [header, claims]
            .map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()))
            .join(".")
    }

    fn token(seed: u8, header: &Value, claims: &Value) -> String {
        let text = text(header, claims);
        let signature = pair(seed).sign(text.as_bytes());
        format!("{text}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    fn good(claims: &Value) -> String {
        token(2, &json!({ "alg": "EdDSA", "kid": "b" }), claims)
    }

    #[test]
    fn a_token_of_the_provider_for_us_tells_its_subject() {
        let found = provider().verify(&good(&claims()), NOW).unwrap();
        let expected = WebIdentity {
            issuer: ISSUER.to_owned(),
            subject: "ci:main".to_owned(),
            expires: NOW + 300,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn time_is_what_the_caller_says() {
        let token = good(&claims());
        assert!(provider().verify(&token, NOW + 299).is_ok());
        assert_eq!(
            provider().verify(&token, NOW + 300),
            Err(WebIdentityError::Expired)
        );
        assert!(matches!(
            provider().verify(&token, NOW - 71),
            Err(WebIdentityError::Invalid(_))
        ));
    }

    #[test]
    fn tokens_for_others_by_others_and_without_what_matters_are_refused() {
        for claims in [
            with(&json!({ "aud": "other" })),
            with(&json!({ "iss": "https://evil.example" })),
            with(&json!({ "sub": "" })),
            with(&json!({ "sub": null })),
            with(&json!({ "exp": null })),
            with(&json!({ "aud": null })),
            with(&json!({ "nbf": NOW + 100 })),
        ] {
            let outcome = provider().verify(&good(&claims), NOW);
            assert!(
                matches!(outcome, Err(WebIdentityError::Invalid(_))),
                "{claims}"
            );
        }
    }

    #[test]
    fn no_other_key_and_no_other_algorithm_is_taken() {
        let claims = claims();
        let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid });
        let mut tokens = vec![
            token(3, &header("EdDSA", "b"), &claims),
            token(2, &header("EdDSA", "a"), &claims),
            token(2, &header("EdDSA", "unknown"), &claims),
            token(2, &json!({ "alg": "EdDSA" }), &claims),
            token(2, &header("RS256", "b"), &claims),
            token(2, &header("ES256", "b"), &claims),
            format!("{}.", text(&header("none", "b"), &claims)),
            String::new(),
            "a.b.c".to_owned(),
        ];
        // The public key, or the shared secret of the set, as the secret of a keyed hash.
        for (kid, secret) in [
            ("b", pair(2).public_key().as_ref().to_vec()),
            ("shared", b"secret".to_vec()),
        ] {
            let text = text(&header("HS256", kid), &claims);
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
            let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
            tokens.push(format!("{text}.{}", BASE64URL_NOPAD.encode(tag.as_ref())));
        }
        for token in tokens {
            let outcome = provider().verify(&token, NOW);
            assert!(
                matches!(
                    outcome,
                    Err(WebIdentityError::Invalid(_) | WebIdentityError::UnknownKey)
                ),
                "{token}"
            );
        }
        let good = good(&claims);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let changed = format!("{}.{signature}", signed.replacen('J', "K", 1));
        assert!(provider().verify(&changed, NOW).is_err());
        assert!(
            provider()
                .verify(&"a".repeat(TOKEN_LIMIT + 1), NOW)
                .is_err()
        );
    }

    #[test]
    fn a_key_of_an_unknown_kind_takes_nothing_from_the_others() {
        let audience = ["sealgate".to_owned()];
        let unknown = json!({ "kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AA", "y": "AA" });
        let keys = json!({ "keys": [unknown, jwk(1, "a")] }).to_string();
        let provider = Provider::new(ISSUER, &audience, &keys).unwrap();
        let token = |header: Value| token(1, &header, &claims());
        assert!(
            provider
                .verify(&token(json!({ "alg": "EdDSA", "kid": "a" })), NOW)
                .is_ok()
        );
        let critical = json!({ "alg": "EdDSA", "kid": "a", "crit": ["exp"], "exp": 1 });
        assert!(provider.verify(&token(critical), NOW).is_err());
    }

    #[test]
    fn a_set_without_public_keys_is_none() {
        let audience = ["sealgate".to_owned()];
        for keys in [
            json!({ "keys": [] }),
            json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }),
            json!({ "nothing": 1 }),
        ] {
            let error = Provider::new(ISSUER, &audience, &keys.to_string()).unwrap_err();
            assert!(matches!(error, WebIdentityError::Keys(_)));
        }
        let keys = json!({ "keys": [jwk(1, "a")] }).to_string();
        assert!(Provider::new(ISSUER, &[], &keys).is_err());
        // With one key, none has to be named.
        let provider = Provider::new(ISSUER, &audience, &keys).unwrap();
        assert!(
            provider
                .verify(&token(1, &json!({ "alg": "EdDSA" }), &claims()), NOW)
                .is_ok()
        );
    }
}
