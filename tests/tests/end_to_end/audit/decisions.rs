//! What the log says of decisions: which were made, about what, and by which policies.

use serde_json::Value;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::*;

const POLICY: &str = r#"
[[identity]]
name = "tenant"
[[identity.credential]]
access_key_id = "SGTENANT"
secret_access_key = "env:CLIENT_SECRET"

[policy]
[[policy.rule]]
id = "administration"
identities = ["client"]
allow = ["admin", "reader", "writer"]
[[policy.rule]]
id = "below-its-prefix"
identities = ["tenant"]
allow = ["reader", "writer"]
prefixes = ["a/", "sealed/"]
[[policy.rule]]
id = "sealed-drawer"
identities = ["tenant"]
deny = ["decrypt", "s3:DeleteObject"]
prefixes = ["sealed/"]
"#;

/// The records of one operation: key, decision, policy.
fn decisions(audit: &Path, operation: &str, kind: &str) -> Result<Vec<[String; 3]>> {
    let mut search = sealgate(&["audit", "search", text(audit), "--json"])?;
    search.args(["--identity", "tenant", "--access-key", "SGTENANT"]);
    search.args(["--action", operation]);
    let found = process::run_successfully(&mut search, LIMIT)?;
    let mut decisions = Vec::new();
    for line in found.lines() {
        let record: Value = serde_json::from_str(line)?;
        let member = |name: &str| {
            let text = record.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        if member("kind") == kind && member("operation") == operation {
            decisions.push(["key", "decision", "policy"].map(member));
        }
    }
    Ok(decisions)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_of_a_deletion_is_recorded_with_what_decided_and_refusals_name_their_policy()
-> Result<()> {
    bounded(LIMIT, async {
        let place = Place::new()?;
        let mut settings = place.settings("", false);
        settings.more.push_str(POLICY);
        let mut gateway = Gateway::start(settings, place.directory.path())?;
        let client = gateway.endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        for key in ["a/one", "b/two", "sealed/three"] {
            put(&client, BUCKET, key, b"content").await?;
        }
        let secret = gateway.endpoint.secret_access_key.clone();
        let tenant = gateway
            .endpoint
            .with_credentials("SGTENANT", &secret)
            .s3()?;
        let keys = ["a/one", "b/two", "sealed/three"];
        let object = |key: &str| ObjectIdentifier::builder().key(key).build();
        let objects = keys
            .into_iter()
            .map(object)
            .collect::<Result<Vec<_>, _>>()?;
        let delete = Delete::builder().set_objects(Some(objects)).build()?;
        let deletion = tenant.delete_objects().bucket(BUCKET).delete(delete);
        let deleted = deletion.send().await?;
        ensure!(deleted.deleted().len() == 1 && deleted.errors().len() == 2);
        // Many refusals do not fill the log.
        let objects = (0..250).map(|number| object(&format!("b/{}", number % 150)));
        let objects = objects.collect::<Result<Vec<_>, _>>()?;
        let delete = Delete::builder().set_objects(Some(objects)).build()?;
        let deletion = tenant.delete_objects().bucket(BUCKET).delete(delete);
        ensure!(deletion.send().await?.errors().len() == 250);
        for key in ["sealed/three", "b/two"] {
            let read = tenant.get_object().bucket(BUCKET).key(key).send().await;
            ensure!(read.is_err(), "{key} was read");
        }
        ensure!(gateway.process.terminate(LIMIT)?.success());

        let audit = place.path("audit");
        let owned = |record: [&str; 3]| record.map(str::to_owned);
        let mut found = decisions(&audit, "DeleteObjects", "intent")?;
        let many = found.split_off(3);
        ensure!(
            many.len() == 101 && many.last() == Some(&owned(["", "deny", ""])),
            "{many:?}"
        );
        ensure!(
            found
                == [
                    owned(["a/one", "allow", "below-its-prefix"]),
                    owned(["b/two", "deny", ""]),
                    owned(["sealed/three", "deny", "sealed-drawer"]),
                ],
            "{found:?}"
        );
        // Nothing is done after a refusal, so the outcome says it all.
        let found = decisions(&audit, "GetObject", "outcome")?;
        ensure!(
            found
                == [
                    owned(["sealed/three", "deny", "sealed-drawer"]),
                    owned(["b/two", "deny", ""]),
                ],
            "{found:?}"
        );
        ensure!(decisions(&audit, "GetObject", "intent")?.is_empty());
        Ok(())
    })
    .await
}
