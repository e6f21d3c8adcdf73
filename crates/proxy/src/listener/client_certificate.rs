//! The names in a client's certificate, as identities list them. Who issued it was verified in the handshake.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

/// Names of one certificate that are looked at. Those of people's and programs' certificates have a few.
const NAMES_LIMIT: usize = 64;

/// The forms that a name has.
pub const FORMS: [&str; 4] = ["CN=", "DNS:", "EMAIL:", "URI:"];

/// The names in a certificate: `CN=app`, `DNS:app.example.org`, `URI:spiffe://example.org/app`, `EMAIL:app@example.org`. One that can't be read has none.
pub fn names(certificate: &CertificateDer<'_>) -> Arc<[String]> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Arc::default();
    };
    let common = certificate.subject().iter_common_name();
    let common = common.filter_map(|name| Some(format!("CN={}", name.as_str().ok()?)));
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative
        .iter()
        .flat_map(|found| &found.value.general_names);
    let alternative = alternative.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("EMAIL:{name}")),
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        _ => None,
    });
    common.chain(alternative).take(NAMES_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn subject_and_alternative_names_are_told_apart() {
        let mut params = CertificateParams::new(vec!["app.example.org".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "app");
        let uri = "spiffe://example.org/app".to_owned().try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        let mail = "app@example.org".to_owned().try_into().unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name(mail));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let found = names(certificate.der());
        for name in [
            "CN=app",
            "DNS:app.example.org",
            "URI:spiffe://example.org/app",
            "EMAIL:app@example.org",
        ] {
            assert!(found.iter().any(|found| found == name), "{name}: {found:?}");
            assert!(FORMS.iter().any(|form| name.starts_with(form)));
        }
        assert!(names(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }
}
