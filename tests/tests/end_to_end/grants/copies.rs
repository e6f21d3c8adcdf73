//! What somebody copies unseen gets nowhere where they, or anybody else, could read it in another way.

use super::*;

/// Rights to copy for whoever may ask for grants, for a role of theirs, and for somebody else; and a role that reads.
const COPIERS: &str = r#"
[[policy.rule]]
id = "operations"
identities = ["oscar", "mover", "copier"]
allow = ["operator"]

[[policy.rule]]
id = "nightly"
identities = ["nightly"]
allow = ["reader"]
prefixes = ["tmp/"]

[[identity]]
name = "copier"
[[identity.credential]]
access_key_id = "SGCOPIER"
secret_access_key = "env:CLIENT_SECRET"

[[role]]
name = "mover"
identities = ["oscar"]

[[role]]
name = "nightly"
identities = ["copier"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_copy_takes_to_a_grant_or_to_a_role_what_its_maker_may_not_read() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let more = configuration(directory.path(), COPIERS)?;
    with_tls_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        let (admin, _) = rig.clients(BUCKET).await?;
        put(&admin, BUCKET, "case-8/report", b"of case 8").await?;
        let endpoint = &rig.gateway.endpoint;
        let aws_of = |id: &str| aws(&endpoint.with_credentials(id, &endpoint.secret_access_key));
        let copy = |command: Result<Command>, key: &str, more: &[&str]| {
            let source = format!("{BUCKET}/case-8/report");
            let mut command = command?;
            command.args(["s3api", "copy-object", "--bucket", BUCKET, "--key", key]);
            command.args(["--copy-source", &source]).args(more);
            process::run_successfully(&mut command, COMMAND_LIMIT)
        };

        // Oscar may ask for a grant for any place but the sealed drawer, where a grant would not help him.
        denied(copy(aws_of("SGOSCAR"), "case-7/stolen", &[]))?;
        copy(aws_of("SGOSCAR"), "case-7/drawer/kept", &[])?;
        copy(
            aws_of("SGOSCAR"),
            "case-8/report",
            &[
                "--storage-class",
                "STANDARD",
                "--metadata-directive",
                "REPLACE",
            ],
        )?;
        // As a role he is no other.
        let mut assume = aws_of("SGOSCAR")?;
        assume.args(["sts", "assume-role", "--role-session-name", "move"]);
        assume.args(["--role-arn", "arn:aws:iam::000000000000:role/mover"]);
        let assumed = process::run_successfully(&mut assume, COMMAND_LIMIT)?;
        let mover = SessionCredentials::of_sts(&assumed)?;
        denied(copy(mover.aws(&rig.gateway), "case-7/stolen", &[]))?;
        copy(mover.aws(&rig.gateway), "case-7/drawer/kept", &[])?;

        // Who may not ask for any copies where nobody reads who does not read the source; the role that he may assume would.
        denied(copy(aws_of("SGCOPIER"), "tmp/stolen", &[]))?;
        copy(aws_of("SGCOPIER"), "case-9/report", &[])?;
        Ok(())
    })
    .await
}
