//! TLS with a private certificate authority.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sealgate_envelope::key_service::KeyService;
use sealgate_envelope::key_service::aws::{AwsKms, TrustRoots};
use sealgate_envelope::{Fault, KeyServiceFailure};
use sealgate_kms_mock::TlsIdentity;

use crate::rig::{Rig, context, failure, permit};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

async fn rig(authority: &CertifiedIssuer<'static, KeyPair>) -> Rig {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, authority)
        .unwrap();
    let identity =
        TlsIdentity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
            .unwrap();
    Rig::start_with(|builder| builder.tls(identity)).await
}

#[tokio::test]
async fn a_configured_authority_is_trusted() {
    let authority = authority();
    let rig = rig(&authority).await;
    assert!(rig.server.endpoint().starts_with("https://"));
    let roots = TrustRoots::Pem(authority.pem().into_bytes());
    let service = AwsKms::connect(rig.configuration(&rig.arn()).trust_roots(roots))
        .await
        .unwrap();
    let (key, wrap) = service.generate(&context("d")).await.unwrap();
    assert_eq!(
        service
            .unwrap(&permit(), &context("d"), &wrap)
            .await
            .unwrap(),
        key
    );
}

#[tokio::test]
async fn any_other_authority_is_not() {
    let rig = rig(&authority()).await;
    let roots = TrustRoots::Pem(authority().pem().into_bytes());
    let service = AwsKms::connect(rig.configuration(&rig.arn()).trust_roots(roots))
        .await
        .unwrap();
    let error = service.generate(&context("d")).await.unwrap_err();
    assert!(error.detail().contains("certificate"), "{error:?}");
    assert_eq!(failure::<()>(Err(error)), KeyServiceFailure::Unavailable);
    assert_eq!(
        rig.faults.requests(),
        0,
        "no request crossed the connection"
    );
}

#[tokio::test]
async fn unusable_settings_are_refused_before_anything_is_sent() {
    let rig = rig(&authority()).await;
    let roots = TrustRoots::Pem(b"no certificate".to_vec());
    let error = AwsKms::connect(rig.configuration(&rig.arn()).trust_roots(roots))
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Caller);
    assert!(error.to_string().contains("no certificate"), "{error}");
}
