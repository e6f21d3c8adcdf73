//! object_store, as DataFusion, delta-rs and other table formats use it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    UpdateVersion, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder, Checksum, S3CopyIfNotExists},
    path::Path,
    signer::Signer,
};

use crate::steps::{MIB, SETTINGS, content, fetch, make_bucket, same_bytes, step};

/// A store as its users make it: credentials and region come from the environment, path style is the crate's default.
fn store(more: impl FnOnce(AmazonS3Builder) -> AmazonS3Builder) -> Result<Arc<AmazonS3>> {
    let builder = AmazonS3Builder::from_env()
        .with_endpoint(&SETTINGS.endpoint)
        .with_bucket_name(&SETTINGS.bucket)
        // The crate refuses http otherwise.
        .with_allow_http(SETTINGS.endpoint.starts_with("http:"));
    Ok(Arc::new(more(builder).build()?))
}

pub async fn run() -> Result<()> {
    let store = store(|builder| builder)?;
    step("make a bucket", make_bucket()).await;
    step(
        "put, head and get an object with its attributes",
        small(&store),
    )
    .await;
    step("get ranges", ranges(&store)).await;
    step("put in parts, with parts at once", multipart(&store)).await;
    step("an upload that is aborted leaves nothing", aborted(&store)).await;
    step("create and update if unchanged", conditions(&store)).await;
    step(
        "copy and rename, also only where nothing is",
        copies(&store),
    )
    .await;
    step(
        "list, with the sizes of the plaintext, and delete what is listed",
        listing(&store),
    )
    .await;
    step("put with SHA-256 checksums", checksums()).await;
    step("signed URLs", signed(&store)).await;
    Ok(())
}

async fn holds(store: &AmazonS3, key: &str, expected: &[u8]) -> Result<()> {
    let body = store.get(&Path::from(key)).await?.bytes().await?;
    same_bytes(&body, expected).with_context(|| key.to_owned())
}

async fn small(store: &AmazonS3) -> Result<()> {
    let (path, body) = (Path::from("a letter ü+.txt"), content(200_001));
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, "text/plain".into());
    attributes.insert(
        Attribute::Metadata("note".into()),
        SETTINGS.canary.clone().into(),
    );
    let options = PutOptions {
        attributes: attributes.clone(),
        ..PutOptions::default()
    };
    let put = store.put_opts(&path, body.clone().into(), options).await?;
    let head = store.head(&path).await?;
    ensure!(
        head.size == 200_001 && head.e_tag == put.e_tag,
        "{head:?} of {put:?}"
    );
    let answer = store.get(&path).await?;
    ensure!(answer.attributes == attributes, "{:?}", answer.attributes);
    same_bytes(&answer.bytes().await?, &body)?;
    let unchanged = GetOptions {
        if_none_match: head.e_tag,
        ..GetOptions::default()
    };
    let answer = store.get_opts(&path, unchanged).await;
    ensure!(
        matches!(answer, Err(Error::NotModified { .. })),
        "{answer:?}"
    );
    let missing = store.get(&Path::from("missing")).await;
    ensure!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    Ok(())
}

async fn ranges(store: &AmazonS3) -> Result<()> {
    let (path, body) = (Path::from("a letter ü+.txt"), content(200_001));
    same_bytes(
        &store.get_range(&path, 65_530..131_081).await?,
        &body[65_530..131_081],
    )?;
    let wanted = [0..10, 70_000..70_001, 131_072..200_001];
    let found = store.get_ranges(&path, &wanted).await?;
    ensure!(found.len() == wanted.len(), "{} ranges", found.len());
    for (range, bytes) in wanted.iter().zip(found) {
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        same_bytes(&bytes, &body[range])?;
    }
    let tail = GetOptions {
        range: Some(object_store::GetRange::Suffix(8)),
        ..GetOptions::default()
    };
    let tail = store.get_opts(&path, tail).await?.bytes().await?;
    same_bytes(&tail, &body[200_001 - 8..])
}

async fn multipart(store: &AmazonS3) -> Result<()> {
    let (path, body) = (Path::from("large"), content(17 * MIB + 5));
    let mut writer =
        WriteMultipart::new_with_chunk_size(store.put_multipart(&path).await?, 5 * MIB);
    for piece in body.chunks(70_001) {
        writer.wait_for_capacity(3).await?;
        writer.write(piece);
    }
    writer.finish().await?;
    let stream = store.get(&path).await?.into_stream();
    let pieces: Vec<Bytes> = stream.try_collect().await?;
    same_bytes(&pieces.concat(), &body)
}

async fn aborted(store: &AmazonS3) -> Result<()> {
    let path = Path::from("aborted");
    let mut upload = store.put_multipart(&path).await?;
    upload.put_part(content(5 * MIB).into()).await?;
    upload.abort().await?;
    let missing = store.head(&path).await;
    ensure!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    Ok(())
}

async fn conditions(store: &AmazonS3) -> Result<()> {
    let path = Path::from("conditional");
    let create = || PutOptions::from(PutMode::Create);
    let made = store.put_opts(&path, "first".into(), create()).await?;
    let again = store.put_opts(&path, "second".into(), create()).await;
    ensure!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    let version = UpdateVersion {
        e_tag: made.e_tag,
        version: made.version,
    };
    let update = || PutOptions::from(PutMode::Update(version.clone()));
    store.put_opts(&path, "second".into(), update()).await?;
    let stale = store.put_opts(&path, "third".into(), update()).await;
    ensure!(
        matches!(stale, Err(Error::Precondition { .. })),
        "{stale:?}"
    );
    holds(store, "conditional", b"second").await
}

async fn copies(plain: &AmazonS3) -> Result<()> {
    let body = content(200_001);
    let from = Path::from("a letter ü+.txt");
    plain.copy(&from, &Path::from("copy")).await?;
    holds(plain, "copy", &body).await?;
    plain
        .rename(&Path::from("copy"), &Path::from("renamed"))
        .await?;
    holds(plain, "renamed", &body).await?;
    let gone = plain.head(&Path::from("copy")).await;
    ensure!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    // As the crate's documentation has it for Amazon S3: a copy of one part, completed on a condition.
    let store = store(|builder| builder.with_copy_if_not_exists(S3CopyIfNotExists::Multipart))?;
    store.copy_if_not_exists(&from, &Path::from("copy")).await?;
    holds(&store, "copy", &body).await?;
    let again = store.copy_if_not_exists(&from, &Path::from("copy")).await;
    ensure!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    store
        .rename_if_not_exists(&Path::from("copy"), &Path::from("renamed again"))
        .await?;
    holds(&store, "renamed again", &body).await
}

async fn listing(store: &AmazonS3) -> Result<()> {
    for number in 0..12 {
        let path = Path::from(format!("pages/{number:02} ä+&"));
        store.put(&path, content(number * 5_000).into()).await?;
    }
    let mut found: Vec<_> = store.list(Some(&Path::from("pages"))).try_collect().await?;
    found.sort_by(|a, b| a.location.cmp(&b.location));
    for (number, object) in found.iter().enumerate() {
        let path = Path::from(format!("pages/{number:02} ä+&"));
        ensure!(
            object.location == path && object.size == u64::try_from(number * 5_000)?,
            "{object:?} is not {path}"
        );
    }
    ensure!(found.len() == 12, "{} objects", found.len());
    let top = store.list_with_delimiter(None).await?;
    ensure!(
        top.common_prefixes == [Path::from("pages")],
        "{:?}",
        top.common_prefixes
    );
    let doomed = futures::stream::iter(found.into_iter().map(|object| Ok(object.location))).boxed();
    let deleted: Vec<Path> = store.delete_stream(doomed).try_collect().await?;
    ensure!(deleted.len() == 12, "{} deleted", deleted.len());
    let left: Vec<_> = store.list(Some(&Path::from("pages"))).try_collect().await?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

async fn checksums() -> Result<()> {
    let (store, body) = (
        store(|builder| builder.with_checksum_algorithm(Checksum::SHA256))?,
        content(12 * MIB),
    );
    store
        .put(&Path::from("checksums/small"), content(100_000).into())
        .await?;
    holds(&store, "checksums/small", &content(100_000)).await?;
    let mut writer = WriteMultipart::new_with_chunk_size(
        store.put_multipart(&Path::from("checksums/large")).await?,
        5 * MIB,
    );
    writer.write(&body);
    writer.finish().await?;
    holds(&store, "checksums/large", &body).await
}

async fn signed(store: &AmazonS3) -> Result<()> {
    let (path, body, http) = (
        Path::from("signed ü"),
        content(100_000),
        reqwest::Client::new(),
    );
    let url = store
        .signed_url(reqwest::Method::PUT, &path, Duration::from_secs(60))
        .await?;
    let (status, answer) = fetch(http.put(url).body(body.clone())).await?;
    ensure!(
        status == 200,
        "PUT: {status} {}",
        String::from_utf8_lossy(&answer)
    );
    let url = store
        .signed_url(reqwest::Method::GET, &path, Duration::from_secs(60))
        .await?;
    let (status, answer) = fetch(http.get(url).header("range", "bytes=65000-66000")).await?;
    ensure!(
        status == 206,
        "GET: {status} {}",
        String::from_utf8_lossy(&answer)
    );
    same_bytes(&answer, &body[65_000..66_001])
}
