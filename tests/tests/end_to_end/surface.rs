//! What reaches nobody else: anonymous readers, and a storage that points elsewhere.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use sealgate_tests::{
    endpoint::Endpoint,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{Rig, bounded, put},
    servers::{Gateway, GatewaySettings, KeyServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const LIMIT: Duration = Duration::from_mins(3);

/// What the storage of these tests calls itself, and no client may learn.
const SECRET_HOST: &str = "bucket.s3.secret-region.amazonaws.com";

fn expect(answer: &RawAnswer, status: u16, code: Option<&str>, what: &str) -> Result<()> {
    ensure!(
        answer.status == status && answer.error_code().as_deref() == code,
        "{what} is answered {} {}",
        answer.status,
        answer.text()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_reads_what_is_configured_and_nothing_else() -> Result<()> {
    let rig = Rig::start_with(
        "[[anonymous]]\nbuckets = [\"public\"]\nprefix = \"site/\"\n\n[[anonymous]]\nbuckets = [\"public\"]\nprefix = \"listed/\"\nactions = [\"get\", \"list\"]\n",
    )?;
    bounded(LIMIT, async {
        let (through, _) = rig.clients("public").await?;
        for key in ["site/page", "listed/page", "private"] {
            put(&through, "public", key, b"plaintext").await?;
        }
        let gateway = &rig.gateway.endpoint;
        let ask = async |method: &str, target: &str| {
            RawRequest::new(method, target)
                .send(gateway)
                .await
                .with_context(|| format!("{method} {target}"))
        };
        for target in ["/public/site/page", "/public/listed/page"] {
            let answer = ask("GET", target).await?;
            ensure!(
                answer.status == 200 && answer.body == b"plaintext",
                "{target}: {}",
                answer.text()
            );
        }
        let head = ask("HEAD", "/public/site/page").await?;
        ensure!(
            head.status == 200 && head.header("content-length") == Some("9"),
            "HEAD is answered {head:?}"
        );
        let listing = ask("GET", "/public?list-type=2&prefix=listed/").await?;
        ensure!(
            listing.status == 200 && listing.text().contains("<Size>9</Size>"),
            "{}",
            listing.text()
        );
        for (method, target) in [
            ("GET", "/public/private"),
            ("GET", "/public/site/missing"),
            ("GET", "/public"),
            ("GET", "/public?prefix=site/"),
            ("GET", "/public/site/page?versionId=null"),
            ("GET", "/public/site/page?tagging"),
            ("GET", "/public/site/page?attributes"),
            ("GET", "/public/site/page?acl"),
            ("GET", "/"),
            ("DELETE", "/public/site/page"),
            ("PUT", "/public/site/page"),
            ("POST", "/public/site/page?uploads"),
            ("DELETE", "/public"),
        ] {
            let answer = ask(method, target).await?;
            expect(
                &answer,
                403,
                Some("AccessDenied"),
                &format!("{method} {target}"),
            )?;
        }
        let missing = ask("GET", "/public/listed/missing").await?;
        expect(
            &missing,
            404,
            Some("NoSuchKey"),
            "a key that is missing, to whoever may list",
        )?;
        let overridden = ask("GET", "/public/site/page?response-content-type=text/html").await?;
        expect(&overridden, 400, Some("InvalidRequest"), "an override")?;
        let still_there = ask("GET", "/public/site/page").await?;
        ensure!(still_there.body == b"plaintext", "the object is gone");
        Ok(())
    })
    .await
}

/// A storage that answers every request with these bytes.
async fn storage_that_answers(answer: String) -> Result<Endpoint> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut piece = [0; 4_096];
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut piece).await {
                        Ok(0) | Err(_) => return,
                        Ok(length) => {
                            request.extend_from_slice(piece.get(..length).unwrap_or_default());
                        }
                    }
                }
                stream.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    Ok(Endpoint {
        url,
        access_key_id: "storage".to_owned(),
        secret_access_key: "storage-secret".to_owned(),
        ca_file: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_22_no_answer_of_the_storage_leads_around_the_gateway() -> Result<()> {
    bounded(LIMIT, async {
        let directory = tempfile::tempdir()?;
        let key_server = KeyServer::start(directory.path(), None)?;
        for (status, code, message, expected) in [
            ("301 Moved Permanently", "PermanentRedirect", "Use the endpoint.", (400, "InvalidRequest")),
            ("307 Temporary Redirect", "TemporaryRedirect", "Use the endpoint.", (503, "ServiceUnavailable")),
            (
                "403 Forbidden",
                "AccessDenied",
                "User: arn:aws:iam::111122223333:user/gateway is not authorized to perform: s3:GetObject",
                (403, "AccessDenied"),
            ),
            ("404 Not Found", "NoSuchKey", "The specified key does not exist.", (404, "NoSuchKey")),
        ] {
            let document = format!(
                "<Error><Code>{code}</Code><Message>{message}</Message><Endpoint>{SECRET_HOST}</Endpoint><Resource>{SECRET_HOST}</Resource><RequestId>THEIRS</RequestId><HostId>THEIRHOST</HostId></Error>"
            );
            let storage = storage_that_answers(format!(
                "HTTP/1.1 {status}\r\nLocation: https://{SECRET_HOST}/k\r\nx-amz-request-id: THEIRS\r\nx-amz-id-2: THEIRHOST\r\nServer: {SECRET_HOST}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{document}",
                document.len()
            ))
            .await?;
            let settings = GatewaySettings::new(&storage, &key_server.endpoint);
            let gateway = Gateway::start(settings, directory.path())?;
            for target in ["/some-bucket/k", "/some-bucket/k?tagging", "/some-bucket?policy"] {
                let answer = RawRequest::new("GET", target)
                    .sign(
                        &gateway.endpoint,
                        Payload::Named("UNSIGNED-PAYLOAD"),
                        SystemTime::now(),
                    )?
                    .send(&gateway.endpoint)
                    .await?;
                let what = format!("GET {target} after {status}");
                expect(&answer, expected.0, Some(expected.1), &what)?;
                let whole = format!("{:?} {}", answer.headers, answer.text());
                for theirs in ["secret-region", "THEIRS", "THEIRHOST", "111122223333"] {
                    ensure!(!whole.contains(theirs), "{what} tells {theirs}: {whole}");
                }
                ensure!(answer.header("location").is_none(), "{what} has a Location");
                let (path, _) = target.split_once('?').unwrap_or((target, ""));
                ensure!(
                    answer.text().contains(&format!("<Resource>{path}</Resource>")),
                    "{}",
                    answer.text()
                );
            }
        }
        Ok(())
    })
    .await
}
