//! A grant that one version recorded, at a gateway of another one.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_of_one_version_counts_for_the_other_and_so_does_its_end() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let more = configuration(directory.path(), "")?;
    with_tls_rig_of(&more, LIMIT, async |rig: &mut Rig| {
        prepared(rig, &more).await?;
        let other = rig.gateway_of_other_version(&more)?;
        let both = [&rig.gateway, &other];
        let revoker = Desk::new(&rig.gateway, directory.path()).first_list()?;
        for (asked, used) in [(&rig.gateway, &other), (&other, &rig.gateway)] {
            let asked = Desk::new(asked, directory.path());
            let used = Desk::new(used, directory.path());
            let id = asked.request("10m")?;
            // Each has the approval of one of them.
            asked.approve(&id, ALICE)?;
            used.approve(&id, BOB)?;
            for desk in [&asked, &used] {
                let credentials = desk.credentials(&id)?;
                until_it_counts(&credentials, &both, None, EFFECTIVE).await?;
            }
            let credentials = used.credentials(&id)?;
            used.run("revoke", &[&id, "--key", &revoker])?;
            until_it_counts(&credentials, &both, Some("AccessDenied"), EFFECTIVE).await?;
        }
        Ok(())
    })
    .await
}
