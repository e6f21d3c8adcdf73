//! opendal, as databases and search engines use it.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::TryStreamExt;
use opendal::{ErrorKind, Operator, services::S3};

use crate::steps::{MIB, SETTINGS, content, fetch, make_bucket, same_bytes, step};

/// An operator as its users make it: credentials come from the environment, path style is the crate's default.
fn operator(more: impl FnOnce(S3) -> S3) -> Result<Operator> {
    let service = S3::default()
        .endpoint(&SETTINGS.endpoint)
        .region(&SETTINGS.region)
        .bucket(&SETTINGS.bucket);
    Ok(Operator::new(more(service))?)
}

pub async fn run() -> Result<()> {
    let operator = operator(|service| service)?;
    step("make a bucket", make_bucket()).await;
    step(
        "write, stat and read an object with its metadata",
        small(&operator),
    )
    .await;
    step("read ranges, also at once", ranges(&operator)).await;
    step("write in chunks at once", chunks(&operator)).await;
    step(
        "an upload that is aborted leaves nothing",
        aborted(&operator),
    )
    .await;
    step("write only where nothing is", conditions(&operator)).await;
    step("copy", copy(&operator)).await;
    step(
        "list, with the sizes of the plaintext, and delete what is listed",
        listing(&operator),
    )
    .await;
    step("write with CRC32C checksums", checksums()).await;
    step("presigned PUT and GET", presigned(&operator)).await;
    Ok(())
}

async fn holds(operator: &Operator, path: &str, expected: &[u8]) -> Result<()> {
    same_bytes(&operator.read(path).await?.to_vec(), expected)
}

async fn small(operator: &Operator) -> Result<()> {
    let (path, body) = ("a letter ü+.txt", content(200_001));
    operator
        .write_with(path, body.clone())
        .content_type("text/plain")
        .user_metadata([("note".to_owned(), SETTINGS.canary.clone())])
        .await?;
    let metadata = operator.stat(path).await?;
    ensure!(metadata.content_length() == 200_001, "{metadata:?}");
    ensure!(
        metadata.content_type() == Some("text/plain"),
        "{metadata:?}"
    );
    let note = metadata.user_metadata().and_then(|pairs| pairs.get("note"));
    ensure!(note == Some(&SETTINGS.canary), "{metadata:?}");
    let missing = operator.stat("missing").await;
    ensure!(
        matches!(&missing, Err(error) if error.kind() == ErrorKind::NotFound),
        "{missing:?}"
    );
    holds(operator, path, &body).await
}

async fn ranges(operator: &Operator) -> Result<()> {
    let (path, body) = ("a letter ü+.txt", content(200_001));
    let found = operator.read_with(path).range(65_530..131_081).await?;
    same_bytes(&found.to_vec(), &body[65_530..131_081])?;
    let reader = operator
        .reader_with(path)
        .chunk(50_000)
        .concurrent(3)
        .await?;
    same_bytes(&reader.read(..).await?.to_vec(), &body)?;
    let wanted = vec![0..10, 70_000..70_001, 131_072..200_001];
    for (range, bytes) in wanted.clone().into_iter().zip(reader.fetch(wanted).await?) {
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        same_bytes(&bytes.to_vec(), &body[range])?;
    }
    Ok(())
}

async fn chunks(operator: &Operator) -> Result<()> {
    let body = content(17 * MIB + 5);
    let mut writer = operator
        .writer_with("large")
        .chunk(5 * MIB)
        .concurrent(3)
        .user_metadata([("note".to_owned(), SETTINGS.canary.clone())])
        .await?;
    for piece in body.chunks(700_001) {
        writer.write(piece.to_vec()).await?;
    }
    let metadata = writer.close().await?;
    ensure!(
        metadata.content_length() == u64::try_from(body.len())?,
        "{metadata:?}"
    );
    holds(operator, "large", &body).await
}

async fn aborted(operator: &Operator) -> Result<()> {
    let mut writer = operator.writer_with("aborted").chunk(5 * MIB).await?;
    writer.write(content(11 * MIB)).await?;
    writer.abort().await?;
    ensure!(!operator.exists("aborted").await?, "it exists");
    Ok(())
}

async fn conditions(operator: &Operator) -> Result<()> {
    operator
        .write_with("conditional", "first")
        .if_not_exists(true)
        .await?;
    let again = operator
        .write_with("conditional", "second")
        .if_not_exists(true)
        .await;
    ensure!(
        matches!(&again, Err(error) if error.kind() == ErrorKind::ConditionNotMatch),
        "{again:?}"
    );
    let metadata = operator.stat("conditional").await?;
    let tag = metadata.etag().unwrap_or_default().to_owned();
    operator
        .write_with("conditional", "second")
        .if_match(&tag)
        .await?;
    let stale = operator
        .write_with("conditional", "third")
        .if_match(&tag)
        .await;
    ensure!(
        matches!(&stale, Err(error) if error.kind() == ErrorKind::ConditionNotMatch),
        "{stale:?}"
    );
    holds(operator, "conditional", b"second").await
}

async fn copy(operator: &Operator) -> Result<()> {
    operator.copy("a letter ü+.txt", "copy").await?;
    holds(operator, "copy", &content(200_001)).await
}

async fn listing(operator: &Operator) -> Result<()> {
    for number in 0..12 {
        operator
            .write(&format!("pages/{number:02} ä+&"), content(number * 5_000))
            .await?;
    }
    let lister = operator
        .lister_with("pages/")
        .recursive(true)
        .limit(5)
        .await?;
    let found: Vec<_> = lister.try_collect().await?;
    for (number, entry) in found.iter().enumerate() {
        let expected = (
            format!("pages/{number:02} ä+&"),
            u64::try_from(number * 5_000)?,
        );
        let actual = (entry.path().to_owned(), entry.metadata().content_length());
        ensure!(actual == expected, "{actual:?} is not {expected:?}");
    }
    ensure!(found.len() == 12, "{} objects", found.len());
    operator
        .delete_iter(found.into_iter().map(|entry| entry.path().to_owned()))
        .await?;
    ensure!(
        operator.list("pages/").await?.is_empty(),
        "something is left"
    );
    Ok(())
}

async fn checksums() -> Result<()> {
    let (operator, body) = (
        operator(|service| service.checksum_algorithm("crc32c"))?,
        content(12 * MIB),
    );
    operator.write("checksums/small", content(100_000)).await?;
    holds(&operator, "checksums/small", &content(100_000)).await?;
    operator
        .write_with("checksums/large", body.clone())
        .chunk(5 * MIB)
        .await?;
    holds(&operator, "checksums/large", &body).await
}

async fn presigned(operator: &Operator) -> Result<()> {
    let (body, http) = (content(100_000), reqwest::Client::new());
    let put = operator
        .presign_write("presigned ü", Duration::from_secs(60))
        .await?;
    let request = http
        .request(put.method().clone(), put.uri().to_string())
        .headers(put.header().clone())
        .body(body.clone());
    let (status, answer) = fetch(request).await?;
    ensure!(
        status == 200,
        "PUT: {status} {}",
        String::from_utf8_lossy(&answer)
    );
    let get = operator
        .presign_read("presigned ü", Duration::from_secs(60))
        .await?;
    let request = http
        .request(get.method().clone(), get.uri().to_string())
        .headers(get.header().clone());
    let (status, answer) = fetch(request).await?;
    ensure!(
        status == 200,
        "GET: {status} {}",
        String::from_utf8_lossy(&answer)
    );
    same_bytes(&answer, &body)
}
