//! Client certificates where no SDK shows one: browser forms, and the admin listener.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    admin::AdminEndpoint,
    certificates::{Authority, Pair},
    process, python,
    rig::bounded,
    servers::{Devstore, Gateway, GatewaySettings, KeyServer, gateway::TlsFiles},
};

const LIMIT: Duration = Duration::from_mins(2);

/// Posts a form over connections with each certificate, or none; prints the status and the code of each answer, and what is stored in the end.
const FORMS: &str = r#"
import boto3, re, ssl, sys, urllib.error, urllib.request
from botocore.config import Config
url, ca, own, own_key, other, other_key = sys.argv[1:]
def client(identity):
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, client_cert=(own, own_key))
    return boto3.client("s3", endpoint_url=url, verify=ca, config=config, **identity)
bound = client({"aws_access_key_id": "SGBOUND", "aws_secret_access_key": "a secret of the bound"})
bound.create_bucket(Bucket="forms")
def post(key, certificate):
    fields = bound.generate_presigned_post("forms", key)["fields"]
    pieces = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    pieces.append('--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--x--\r\n')
    context = ssl.create_default_context(cafile=ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate:
        context.load_cert_chain(*certificate)
    request = urllib.request.Request(
        f"{url}/forms", data="".join(pieces).encode(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        return error.code, re.search("<Code>(.*?)</Code>", error.read().decode()).group(1)
print(post("own", (own, own_key)))
print(post("other", (other, other_key)))
print(post("none", None))
print([entry["Key"] for entry in bound.list_objects_v2(Bucket="forms").get("Contents", [])])
identity = {"aws_access_key_id": "SGBOUND", "aws_secret_access_key": "a secret of the bound"}
sts = boto3.client("sts", endpoint_url=url, verify=ca, config=Config(client_cert=(own, own_key)), **identity)
role = sts.assume_role(RoleArn="arn:aws:iam::000000000000:role/nightly", RoleSessionName="night")["Credentials"]
for certificate in [(own, own_key), (other, other_key), None]:
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, client_cert=certificate)
    session = boto3.client("s3", endpoint_url=url, verify=ca, config=config, aws_access_key_id=role["AccessKeyId"],
        aws_secret_access_key=role["SecretAccessKey"], aws_session_token=role["SessionToken"])
    try:
        print("role", len(session.list_objects_v2(Bucket="forms")["Contents"]))
    except session.exceptions.ClientError as error:
        print("role", error.response["Error"]["Code"])
"#;

fn bound_tls(authority: &Authority, files: &TlsFiles, mode: &str) -> TlsFiles {
    TlsFiles {
        more: format!(
            ", client_ca = \"{}\", client_certificates = \"{mode}\"",
            authority.ca_file().display()
        ),
        ..files.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_and_a_role_of_an_identity_that_is_bound_to_a_certificate_need_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    let files = authority.server(directory.path(), "server")?;
    let own = authority.client(directory.path(), "app", &["app.example.org"])?;
    let other = authority.client(directory.path(), "somebody-else", &["else.example.org"])?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let settings = GatewaySettings {
        tls: Some(bound_tls(&authority, &files, "optional")),
        more: "[sessions]\nsecrets = [\"env:SESSION_SECRET\"]\n[[role]]\nname = \"nightly\"\nidentities = [\"bound\"]\n[[identity]]\nname = \"bound\"\ncertificates = [\"DNS:app.example.org\"]\n[[identity.credential]]\naccess_key_id = \"SGBOUND\"\nsecret_access_key = \"env:BOUND_SECRET\"\n".to_owned(),
        environment: [
            ("BOUND_SECRET", "a secret of the bound"),
            ("SESSION_SECRET", "a secret of sessions, the same on every replica"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
    };
    let gateway = Gateway::start(settings, directory.path())?;
    bounded(LIMIT, async {
        let mut command = python::python(&gateway.endpoint, "tests")?;
        command.args(["-c", FORMS, &gateway.endpoint.url]);
        command.arg(&files.ca_file);
        for pair in [&own, &other] {
            command.arg(&pair.certificate).arg(&pair.key);
        }
        let said = process::run_successfully(&mut command, LIMIT)?;
        let expected = [
            "(204, None)",
            "(403, 'AccessDenied')",
            "(403, 'AccessDenied')",
            "['own']",
            "role 1",
            "role AccessDenied",
            "role AccessDenied",
        ];
        ensure!(said.lines().eq(expected), "{said}");
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}

/// The status that curl gets, or nothing where there is no answer.
fn curl(url: &str, ca: &Path, pair: Option<&Pair>) -> Result<Option<u16>> {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--output",
            "/dev/null",
        ])
        .args(["--write-out", "%{http_code}", "--cacert"])
        .arg(ca);
    if let Some(pair) = pair {
        command
            .arg("--cert")
            .arg(&pair.certificate)
            .arg("--key")
            .arg(&pair.key);
    }
    let output = process::run(command.arg(url), LIMIT)?;
    if !output.status.success() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8(output.stdout)?.trim().parse()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_answers_nobody_without_a_certificate_where_it_asks_for_one()
-> Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    let files = authority.server(directory.path(), "server")?;
    let own = authority.client(directory.path(), "prometheus", &[])?;
    let elsewhere = tempfile::tempdir()?;
    let forged = Authority::new(elsewhere.path())?.client(elsewhere.path(), "prometheus", &[])?;
    let storage = Devstore::start(directory.path())?;
    let key_server = KeyServer::start(directory.path(), None)?;
    let admin = AdminEndpoint::new(Some(&bound_tls(&authority, &files, "required")))?;
    let settings = GatewaySettings {
        more: admin.table(),
        ..GatewaySettings::new(&storage.endpoint, &key_server.endpoint)
    };
    let gateway = Gateway::start(settings, directory.path())?;
    bounded(LIMIT, async {
        for target in ["/livez", "/readyz", "/metrics"] {
            let url = admin.url(target);
            let ask = |pair| curl(&url, &files.ca_file, pair);
            ensure!(ask(Some(&own))? == Some(200), "{target}");
            ensure!(ask(None)?.is_none(), "{target} without a certificate");
            ensure!(ask(Some(&forged))?.is_none(), "{target} with a forged one");
        }
        Ok(())
    })
    .await
    .with_context(|| gateway.process.last_words())
}
