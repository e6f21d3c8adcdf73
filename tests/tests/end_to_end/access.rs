//! Who may do what: policies, asked by real clients of a running gateway.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{Delete, ObjectIdentifier, TaggingDirective},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use sealgate_tests::{
    python::run_aws,
    rig::{Rig, get, put, with_rig_of},
};

use crate::stored::upload_in_parts;

const BUCKET: &str = "access";
const LIMIT: Duration = Duration::from_mins(3);

/// Identities beside the rig's own, all with its secret, and what each may do.
fn configuration() -> String {
    let identities = ["writer", "operator", "tenant", "elsewhere", "late", "mover", "blind", "tagless", "guarded"]
        .map(|name| {
            let upper = name.to_uppercase();
            format!(
                "[[identity]]\nname = \"{name}\"\n[[identity.credential]]\naccess_key_id = \"SG{upper}\"\nsecret_access_key = \"env:CLIENT_SECRET\"\n"
            )
        })
        .concat();
    format!(
        r#"{identities}
[policy]

[[policy.rule]]
id = "administration"
identities = ["client"]
allow = ["admin"]

[[policy.rule]]
id = "drop-box"
identities = ["writer"]
allow = ["write-only"]

[[policy.rule]]
id = "operations"
identities = ["operator"]
allow = ["operator"]

[[policy.rule]]
id = "guarded"
identities = ["guarded"]
allow = ["reader", "writer"]
buckets = ["{BUCKET}"]

[[policy.rule]]
id = "guard"
identities = ["guarded"]
deny = ["s3:PutObject", "s3:DeleteObject"]
prefixes = ["protected/"]

[[policy.rule]]
id = "tenant-a"
identities = ["tenant", "blind"]
allow = ["reader", "writer"]
buckets = ["{BUCKET}"]
prefixes = ["tenant-a/"]

[[policy.rule]]
id = "office"
identities = ["elsewhere"]
allow = ["reader"]
sources = ["192.0.2.0/24"]

[[policy.rule]]
id = "last-year"
identities = ["late"]
allow = ["reader"]
not_after = "2020-01-01T00:00:00Z"

[[policy.rule]]
id = "mover-lists-and-copies"
identities = ["mover"]
allow = ["operator"]

[[policy.rule]]
id = "mover-reads-its-own"
identities = ["mover"]
allow = ["reader"]
prefixes = ["mover/"]

[[policy.rule]]
id = "no-word-of-tags"
identities = ["tagless"]
allow = ["s3:GetObject", "decrypt", "s3:PutObject", "encrypt"]

[[policy.rule]]
id = "blind-reads-nothing"
identities = ["blind"]
deny = ["decrypt"]
"#
    )
}

fn as_(rig: &Rig, name: &str) -> Result<Client> {
    let id = format!("SG{}", name.to_uppercase());
    let endpoint = &rig.gateway.endpoint;
    endpoint
        .with_credentials(&id, &endpoint.secret_access_key)
        .s3()
}

/// Starts a rig with all these identities, a bucket, and one object.
fn with_access<'a, F>(test: F) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + 'a>>
where
    F: AsyncFnOnce(&mut Rig, &Client) -> Result<()> + 'a,
{
    Box::pin(async move {
        let configuration = configuration();
        with_rig_of(&configuration, LIMIT, async |rig: &mut Rig| {
            let (admin, _) = rig.clients(BUCKET).await?;
            put(&admin, BUCKET, "report", b"of the administrator").await?;
            put(&admin, BUCKET, "tenant-a/mine", b"of a tenant").await?;
            test(rig, &admin).await
        })
        .await
    })
}

#[track_caller]
fn denied<T: Debug, E: ProvideErrorMetadata + Debug>(
    outcome: Result<T, SdkError<E, HttpResponse>>,
    action: &str,
) -> Result<()> {
    let error = outcome
        .err()
        .with_context(|| format!("{action} was allowed"))?;
    ensure!(error.code() == Some("AccessDenied"), "{error:?}");
    let message = error.message().unwrap_or_default();
    ensure!(
        message.contains(&format!(
            "not authorized to perform: {action} on resource: \"arn:aws:s3:::{BUCKET}"
        )),
        "{message}"
    );
    // Who asks does not learn what the policies are.
    ensure!(
        !message.contains("drop-box") && !message.contains("no policy"),
        "{message}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_only_identity_stores_and_sees_nothing() -> Result<()> {
    with_access(async |rig, admin| {
        let writer = as_(rig, "writer")?;
        put(&writer, BUCKET, "drop/one", b"dropped").await?;
        upload_in_parts(&writer, BUCKET, "drop/parts", b"a part").await?;
        ensure!(get(admin, BUCKET, "drop/one").await? == b"dropped");
        ensure!(get(admin, BUCKET, "drop/parts").await? == b"a part");

        let object = |key: &str| writer.get_object().bucket(BUCKET).key(key).send();
        denied(object("drop/one").await, "s3:GetObject")?;
        // Also of what is not there: it may not learn that.
        denied(object("missing").await, "s3:GetObject")?;
        denied(
            writer.list_objects_v2().bucket(BUCKET).send().await,
            "s3:ListBucket",
        )?;
        let deletion = writer.delete_object().bucket(BUCKET).key("drop/one");
        denied(deletion.send().await, "s3:DeleteObject")?;
        // A copy would read.
        let copy = writer
            .copy_object()
            .bucket(BUCKET)
            .key("drop/copy")
            .copy_source(format!("{BUCKET}/report"));
        denied(copy.send().await, "s3:GetObject")?;
        let head = writer
            .head_object()
            .bucket(BUCKET)
            .key("drop/one")
            .send()
            .await;
        let status = head
            .err()
            .and_then(|error| Some(error.raw_response()?.status().as_u16()));
        ensure!(status == Some(403), "{status:?}");
        // A condition tells what is there, and is answered alike whether anything is.
        for key in ["drop/one", "missing"] {
            let put = writer
                .put_object()
                .bucket(BUCKET)
                .key(key)
                .if_match("\"x\"");
            denied(put.send().await, "s3:GetObject")?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_copies_and_deletes_and_never_reads() -> Result<()> {
    with_access(async |rig, admin| {
        let operator = as_(rig, "operator")?;
        let listed = operator.list_objects_v2().bucket(BUCKET).send().await?;
        ensure!(listed.key_count() == Some(2), "{listed:?}");
        let copy = operator
            .copy_object()
            .bucket(BUCKET)
            .key("backup/report")
            .copy_source(format!("{BUCKET}/report"))
            .checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Sha256)
            .send()
            .await?;
        let result = copy.copy_object_result().context("no result")?;
        // A checksum of the content would confirm a guess.
        ensure!(
            result.e_tag().is_some() && result.checksum_sha256().is_none(),
            "{result:?}"
        );
        ensure!(get(admin, BUCKET, "backup/report").await? == b"of the administrator");
        let object = |key: &str| operator.get_object().bucket(BUCKET).key(key).send();
        denied(object("report").await, "s3:GetObject")?;
        denied(object("backup/report").await, "s3:GetObject")?;
        let attributes = operator
            .get_object_attributes()
            .bucket(BUCKET)
            .key("report")
            .object_attributes(aws_sdk_s3::types::ObjectAttributes::Checksum);
        denied(attributes.send().await, "s3:GetObjectAttributes")?;

        // A range of one byte and the checksum of its part would be that byte.
        let begun = operator
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("parts")
            .send()
            .await?;
        let part = operator
            .upload_part_copy()
            .bucket(BUCKET)
            .key("parts")
            .upload_id(begun.upload_id().context("no upload id")?)
            .part_number(1)
            .copy_source(format!("{BUCKET}/report"))
            .copy_source_range("bytes=0-0");
        denied(part.send().await, "s3:GetObject")?;

        operator
            .delete_object()
            .bucket(BUCKET)
            .key("report")
            .send()
            .await?;
        let gone = admin.get_object().bucket(BUCKET).key("report").send().await;
        ensure!(
            gone.err()
                .and_then(|error| error.code().map(str::to_owned))
                .as_deref()
                == Some("NoSuchKey")
        );

        // Whoever may copy and reads somewhere does not copy there.
        let mover = as_(rig, "mover")?;
        let copy = |key: &str| {
            mover
                .copy_object()
                .bucket(BUCKET)
                .key(key)
                .copy_source(format!("{BUCKET}/backup/report"))
                .send()
        };
        denied(copy("mover/report").await, "s3:GetObject")?;
        copy("elsewhere/report").await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_stays_below_its_prefix() -> Result<()> {
    with_access(async |rig, admin| {
        let tenant = as_(rig, "tenant")?;
        put(&tenant, BUCKET, "tenant-a/new", b"new").await?;
        ensure!(get(&tenant, BUCKET, "tenant-a/mine").await? == b"of a tenant");
        let list = |prefix: &str| {
            tenant
                .list_objects_v2()
                .bucket(BUCKET)
                .prefix(prefix)
                .send()
        };
        ensure!(list("tenant-a/").await?.key_count() == Some(2));
        denied(list("").await, "s3:ListBucket")?;
        denied(list("tenant-").await, "s3:ListBucket")?;
        let object = tenant.get_object().bucket(BUCKET).key("report").send();
        denied(object.await, "s3:GetObject")?;
        tenant.head_bucket().bucket(BUCKET).send().await?;
        // Below its prefix it may list, so it learns what is not there; a missing object elsewhere is as forbidden as one that is there.
        let missing = tenant
            .get_object()
            .bucket(BUCKET)
            .key("tenant-a/missing")
            .send()
            .await;
        ensure!(
            missing
                .err()
                .and_then(|error| error.code().map(str::to_owned))
                .as_deref()
                == Some("NoSuchKey")
        );
        denied(
            tenant
                .get_object()
                .bucket(BUCKET)
                .key("tenant-b/missing")
                .send()
                .await,
            "s3:GetObject",
        )?;

        // From its own prefix it may read, but not write to another; and from another it may not read.
        let copy = |from: &str, to: &str| {
            tenant
                .copy_object()
                .bucket(BUCKET)
                .key(to)
                .copy_source(format!("{BUCKET}/{from}"))
                .send()
        };
        copy("tenant-a/mine", "tenant-a/copy").await?;
        denied(copy("tenant-a/mine", "tenant-b/copy").await, "s3:PutObject")?;
        denied(copy("report", "tenant-a/stolen").await, "s3:GetObject")?;

        let objects = ["tenant-a/new", "report", "tenant-b/x", "tenant-a/copy"]
            .map(|key| ObjectIdentifier::builder().key(key).build());
        let objects = objects.into_iter().collect::<Result<Vec<_>, _>>()?;
        let delete = Delete::builder().set_objects(Some(objects)).build()?;
        let deleted = tenant
            .delete_objects()
            .bucket(BUCKET)
            .delete(delete)
            .send()
            .await?;
        let mut gone: Vec<_> = deleted
            .deleted()
            .iter()
            .filter_map(|object| object.key())
            .collect();
        gone.sort_unstable();
        ensure!(gone == ["tenant-a/copy", "tenant-a/new"], "{deleted:?}");
        let refused: Vec<_> = deleted
            .errors()
            .iter()
            .map(|error| (error.key(), error.code()))
            .collect();
        let code = Some("AccessDenied");
        ensure!(
            refused == [(Some("report"), code), (Some("tenant-b/x"), code)],
            "{deleted:?}"
        );
        ensure!(get(admin, BUCKET, "report").await? == b"of the administrator");

        // Tags go along with a copy, and only for those who may see and set them.
        let tagged = admin
            .put_object()
            .bucket(BUCKET)
            .key("tagged")
            .tagging("a=b");
        tagged.body(b"tagged".to_vec().into()).send().await?;
        let tagless = as_(rig, "tagless")?;
        let copy = |source: &str| {
            let source = format!("{BUCKET}/{source}");
            tagless
                .copy_object()
                .bucket(BUCKET)
                .key("copied")
                .copy_source(source)
        };
        let refused = copy("tagged")
            .send()
            .await
            .err()
            .context("tags were copied")?;
        ensure!(
            refused.code() == Some("AccessDenied")
                && refused
                    .message()
                    .is_some_and(|message| message.contains("s3:GetObjectTagging")),
            "{refused:?}"
        );
        copy("report").send().await?;
        copy("tagged")
            .tagging_directive(TaggingDirective::Replace)
            .send()
            .await?;
        ensure!(get(admin, BUCKET, "copied").await? == b"tagged");

        // With decrypt taken away, everything else stays: the message names what is missing.
        let blind = as_(rig, "blind")?;
        put(&blind, BUCKET, "tenant-a/blind", b"written").await?;
        denied(
            blind
                .get_object()
                .bucket(BUCKET)
                .key("tenant-a/blind")
                .send()
                .await,
            "decrypt",
        )?;
        let copy = blind
            .copy_object()
            .bucket(BUCKET)
            .key("tenant-a/b")
            .copy_source(format!("{BUCKET}/tenant-a/blind"));
        denied(copy.send().await, "decrypt")
    })
    .await
}

/// MinIO drops slashes in front of a key, so `/protected/x` is `protected/x`; other storages also resolve `..`, into other buckets even.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_by_another_name_is_as_forbidden_as_by_its_own() -> Result<()> {
    with_access(async |rig, admin| {
        let guarded = as_(rig, "guarded")?;
        put(admin, BUCKET, "protected/x", b"protected").await?;
        put(&guarded, BUCKET, "free/x", b"free").await?;
        for key in [
            "protected/x",
            "/protected/x",
            "///protected/x",
            "free/../protected/x",
            "protected//x",
            "./protected/x",
        ] {
            let body = b"replaced".to_vec().into();
            let written = guarded.put_object().bucket(BUCKET).key(key).body(body);
            denied(written.send().await, "s3:PutObject")?;
            let deleted = guarded.delete_object().bucket(BUCKET).key(key);
            denied(deleted.send().await, "s3:DeleteObject")?;
        }
        let keys = [
            "/protected/x",
            "free/../protected/x",
            "../access/protected/x",
            "free/x",
        ];
        let objects = keys.map(|key| ObjectIdentifier::builder().key(key).build());
        let delete = Delete::builder()
            .set_objects(Some(objects.into_iter().collect::<Result<_, _>>()?))
            .build()?;
        let answer = guarded.delete_objects().bucket(BUCKET).delete(delete);
        let answer = answer.send().await?;
        let codes: Vec<_> = answer
            .errors()
            .iter()
            .map(|error| (error.key(), error.code()))
            .collect();
        for (key, code) in [
            (keys[0], "AccessDenied"),
            (keys[1], "AccessDenied"),
            (keys[2], "InvalidURI"),
        ] {
            ensure!(codes.contains(&(Some(key), Some(code))), "{key}: {codes:?}");
        }
        ensure!(
            codes.len() == 3 && answer.deleted().len() == 1,
            "{answer:?}"
        );
        ensure!(get(admin, BUCKET, "protected/x").await? == b"protected");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn where_and_when_a_request_comes_from_decides() -> Result<()> {
    with_access(async |rig, _| {
        for name in ["elsewhere", "late"] {
            let client = as_(rig, name)?;
            denied(
                client
                    .get_object()
                    .bucket(BUCKET)
                    .key("report")
                    .send()
                    .await,
                "s3:GetObject",
            )?;
        }
        // The tool that explains decides as the gateway does, and can ask for other circumstances.
        let test = |arguments: &[&str]| {
            rig.gateway
                .command("policy test")?
                .args(["--action", "s3:GetObject", "--resource", "access/report"])
                .args(arguments)
                .output()
                .map_err(anyhow::Error::from)
        };
        ensure!(!test(&["--as", "elsewhere"])?.status.success());
        ensure!(
            test(&["--as", "elsewhere", "--source-ip", "192.0.2.7"])?
                .status
                .success()
        );
        ensure!(!test(&["--as", "late"])?.status.success());
        let then = test(&["--as", "late", "--time", "2019-12-31T23:59:59Z", "--json"])?;
        let answer: serde_json::Value = serde_json::from_slice(&then.stdout)?;
        ensure!(
            answer["allowed"] == true
                && answer["decisions"][0]["policies"][0]["name"] == "last-year",
            "{answer}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_cli_shows_what_is_missing() -> Result<()> {
    with_access(async |rig, _| {
        let endpoint = &rig.gateway.endpoint;
        let operator = endpoint.with_credentials("SGOPERATOR", &endpoint.secret_access_key);
        let bucket = format!("s3://{BUCKET}");
        run_aws(&operator, ["s3", "ls", &bucket])?;
        run_aws(&operator, ["s3", "rm", &format!("{bucket}/tenant-a/mine")])?;
        let source = format!("{BUCKET}/report");
        run_aws(
            &operator,
            [
                "s3api",
                "copy-object",
                "--copy-source",
                &source,
                "--bucket",
                BUCKET,
                "--key",
                "copy",
            ],
        )?;
        let refused = run_aws(
            &operator,
            [
                "s3api",
                "get-object",
                "--bucket",
                BUCKET,
                "--key",
                "report",
                "/dev/null",
            ],
        );
        let message = format!("{:#}", refused.err().context("it was read")?);
        ensure!(
            message.contains("AccessDenied")
                && message.contains("s3:GetObject on resource: \"arn:aws:s3:::access/report\""),
            "{message}"
        );
        Ok(())
    })
    .await
}

/// Files are looked at every two seconds, twice before they count.
const NOTICE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_obeyed_without_a_restart_and_a_broken_one_is_not() -> Result<()> {
    const NIGHT: &str = r#"forbid (principal, action == Action::"decrypt", resource) when { resource.key like "night/*" };"#;
    let directory = tempfile::tempdir()?;
    let policies = directory.path().join("policies");
    std::fs::create_dir(&policies)?;
    // A directory without any would be refused.
    let elsewhere = NIGHT.replace("night/", "elsewhere/");
    std::fs::write(policies.join("elsewhere.cedar"), elsewhere)?;
    let configuration = format!(
        "[policy]\nfiles = [\"{}\"]\n[[policy.rule]]\nid = \"all\"\nidentities = [\"client\"]\nallow = [\"admin\"]\n",
        policies.display()
    );
    with_rig_of(&configuration, LIMIT, async |rig: &mut Rig| {
        let (client, _) = rig.clients(BUCKET).await?;
        put(&client, BUCKET, "night/report", b"report").await?;
        get(&client, BUCKET, "night/report").await?;
        let reads = || async {
            match get(&client, BUCKET, "night/report").await {
                Ok(_) => Ok::<_, anyhow::Error>(true),
                Err(error) if format!("{error:?}").contains("AccessDenied") => Ok(false),
                Err(error) => Err(error),
            }
        };
        let becomes = async |expected: bool| {
            let deadline = Instant::now() + NOTICE;
            while reads().await? != expected {
                ensure!(Instant::now() < deadline, "not within {NOTICE:?}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(())
        };
        // A file that comes into the directory.
        let file = policies.join("night.cedar");
        std::fs::write(&file, NIGHT)?;
        becomes(false).await?;

        // Neither what is no policy, nor what does not fit the schema, opens anything.
        for broken in [
            "forbid (principal",
            "permit (principal, action, resource) when { resource.owner == \"me\" };",
        ] {
            let refusals = || -> Result<usize> {
                let logged = rig.gateway.process.logged()?;
                Ok(logged.matches("what was in effect stays in effect").count())
            };
            let before = refusals()?;
            std::fs::write(&file, broken)?;
            rig.gateway.process.signal("HUP")?;
            let deadline = Instant::now() + NOTICE;
            while refusals()? == before {
                ensure!(Instant::now() < deadline, "not told within {NOTICE:?}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            ensure!(rig.gateway.process.logged()?.contains("night.cedar"));
            ensure!(!reads().await?);
        }

        std::fs::write(&file, NIGHT.replace("night/*", "day/*"))?;
        becomes(true).await?;
        // Rules of the configuration itself.
        let text = std::fs::read_to_string(&rig.gateway.configuration)?;
        std::fs::write(
            &rig.gateway.configuration,
            text.replace("allow = [\"admin\"]", "allow = [\"operator\"]"),
        )?;
        becomes(false).await?;
        ensure!(!rig.gateway.process.logged()?.contains("need a restart"));
        Ok(())
    })
    .await
}
