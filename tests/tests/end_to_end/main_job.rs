//! The main job: a file goes up, the storage holds only ciphertext, the file comes back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::types::Object;
use sealgate_tests::{
    content::{Canary, files, pattern},
    process,
    python::{aws, run_aws},
    rig::{fingerprint, get, put, with_rig},
};

const MEBIBYTE: usize = 1024 * 1024;

/// FORMAT.md, section 5, written down once more: the sealed length of `plaintext` bytes.
fn sealed_length(plaintext: u64) -> u64 {
    let region = 256 + 128 * (plaintext / 5_242_880 + 1).min(10_000);
    plaintext + 28 * plaintext.div_ceil(65_536) + region
}

#[test]
fn sealed_lengths_are_those_of_the_table_in_the_format() {
    for (plaintext, sealed) in [
        (0, 384),
        (1, 413),
        (65_536, 65_948),
        (65_537, 65_977),
        (5_242_880, 5_245_632),
        (314_572_800, 314_715_264),
    ] {
        assert_eq!(sealed_length(plaintext), sealed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_300_mib_goes_up_and_comes_back() -> Result<()> {
    with_rig(Duration::from_mins(10), async |rig| {
        let plaintext = pattern(300, 300 * MEBIBYTE);
        let file = rig.directory().join("large.bin");
        std::fs::write(&file, &plaintext)?;
        let back = rig.directory().join("back.bin");
        let gateway = &rig.gateway.endpoint;
        let (_, bare) = rig.clients("main-job").await?;
        run_aws(
            gateway,
            [
                "s3",
                "cp",
                "--no-progress",
                &file.display().to_string(),
                "s3://main-job/large.bin",
            ],
        )?;
        run_aws(
            gateway,
            [
                "s3",
                "cp",
                "--no-progress",
                "s3://main-job/large.bin",
                &back.display().to_string(),
            ],
        )?;
        ensure!(
            fingerprint(&std::fs::read(&back)?) == fingerprint(&plaintext),
            "the file that came back is another one"
        );

        // The aws CLI makes parts of 8 MiB.
        for border in [8 * MEBIBYTE, 16 * MEBIBYTE, 296 * MEBIBYTE] {
            let (first, last) = (border - 100_000, border + 99_999);
            let range = format!("bytes={first}-{last}");
            let target = rig.directory().join("range.bin");
            run_aws(
                gateway,
                [
                    "s3api",
                    "get-object",
                    "--bucket",
                    "main-job",
                    "--key",
                    "large.bin",
                    "--range",
                    &range,
                    &target.display().to_string(),
                ],
            )?;
            let expected = plaintext.get(first..=last).context("the range")?;
            ensure!(
                std::fs::read(&target)? == expected,
                "{range} has other bytes"
            );
        }

        let listing = run_aws(gateway, ["s3", "ls", "s3://main-job/"])?;
        let size = plaintext.len().to_string();
        ensure!(
            listing.split_whitespace().any(|word| word == size),
            "`aws s3 ls` does not show the plaintext's size {size}: {listing}"
        );
        let listed = bare.list_objects_v2().bucket("main-job").send().await?;
        let sealed = listed.contents().first().and_then(Object::size);
        let expected = sealed_length(u64::try_from(plaintext.len())?);
        ensure!(
            sealed == Some(expected.cast_signed()),
            "MinIO lists {sealed:?} bytes; FORMAT.md says {expected}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_sizes_at_the_storage_are_those_of_the_format() -> Result<()> {
    with_rig(Duration::from_mins(2), async |rig| {
        let (through, bare) = rig.clients("sizes").await?;
        for length in [0, 1, 65_535, 65_536, 65_537, MEBIBYTE + 1, 5 * MEBIBYTE] {
            let key = length.to_string();
            put(&through, "sizes", &key, &pattern(1, length)).await?;
            let head = bare.head_object().bucket("sizes").key(&key).send().await?;
            let expected = sealed_length(u64::try_from(length)?);
            ensure!(
                head.content_length() == Some(expected.cast_signed()),
                "{length} bytes lie as {:?} bytes, not {expected}",
                head.content_length()
            );
            ensure!(
                head.content_type() == Some("application/octet-stream"),
                "the storage is told the content type {:?}",
                head.content_type()
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_on_the_disks_of_the_storage() -> Result<()> {
    with_rig(Duration::from_mins(3), async |rig| {
        let (through, _) = rig.clients("canaries").await?;
        let canary = Canary::generate()?;
        let control = Canary::generate()?;
        let marked = |length: usize| {
            let mut body = pattern(2, length);
            for place in (0..length.saturating_sub(64)).step_by(10_007) {
                if let Some(target) = body.get_mut(place..place + 16) {
                    target.copy_from_slice(canary.bytes());
                }
            }
            body
        };
        // Small, large, and in parts, of which one stays behind in an open upload.
        for length in [64, 100_000, 3 * MEBIBYTE] {
            through
                .put_object()
                .bucket("canaries")
                .key(format!("{}-{length}", control.hexadecimal()))
                .metadata("marked", canary.hexadecimal())
                .metadata(format!("m-{}", canary.hexadecimal()), "in a name")
                .content_type(format!("text/{}", canary.hexadecimal()))
                .content_disposition(format!("attachment; filename={}", canary.hexadecimal()))
                .body(marked(length).into())
                .send()
                .await?;
        }
        let file = rig.directory().join("marked.bin");
        std::fs::write(&file, marked(20 * MEBIBYTE))?;
        let mut upload = aws(&rig.gateway.endpoint)?;
        upload
            .args(["s3", "cp", "--no-progress", "--metadata"])
            .arg(format!("marked={}", canary.hexadecimal()))
            .arg(&file)
            .arg("s3://canaries/in-parts");
        process::run_successfully(&mut upload, Duration::from_mins(1))?;
        let open = through
            .create_multipart_upload()
            .bucket("canaries")
            .key("open")
            .metadata("marked", canary.hexadecimal())
            .send()
            .await?;
        for (number, length) in [(1, 5 * MEBIBYTE), (2, 1_000)] {
            through
                .upload_part()
                .bucket("canaries")
                .key("open")
                .upload_id(open.upload_id().context("no upload id")?)
                .part_number(number)
                .body(marked(length).into())
                .send()
                .await?;
        }
        through
            .copy_object()
            .bucket("canaries")
            .key("copied")
            .copy_source("canaries/in-parts")
            .send()
            .await?;
        ensure!(
            get(&through, "canaries", "copied").await? == marked(20 * MEBIBYTE),
            "what was stored does not come back"
        );

        let found = canary.found_in(&rig.minio.data)?;
        ensure!(found.is_empty(), "plaintext lies in {found:?}");
        // The same search finds what is not hidden, so it would have found the rest.
        ensure!(
            !control.found_in(&rig.minio.data)?.is_empty(),
            "the control in a key's name was not found in {} files",
            files(&rig.minio.data)?.len()
        );
        Ok(())
    })
    .await
}
