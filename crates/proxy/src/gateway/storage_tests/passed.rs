//! What passes to a storage that knows less of S3 than the gateway: it takes a parameter that it does not know for none.

use http::Method;

use super::{
    BUCKET, Rig, request,
    storage::{Seen, Storage},
};
use crate::{
    gateway::probe::Finding,
    upstream::{Target, UpstreamRequest},
};

fn bucket(method: Method, query: &str) -> UpstreamRequest {
    UpstreamRequest::new(method, Target::bucket(BUCKET)).query(query)
}

#[tokio::test]
async fn no_plaintext_becomes_an_object_by_way_of_a_label() {
    let rig = Rig::start("").await;
    let plaintext = "a secret that must not be stored in the clear";
    for query in ["retention", "legal-hold", "acl", "tagging"] {
        for body in [
            plaintext.to_owned(),
            format!("<Other>{plaintext}</Other>"),
            format!("<LegalHold><Status>ON</Status></LegalHold><!-- {plaintext} -->"),
            plaintext.repeat(10_000),
        ] {
            let put = request(Method::PUT, "victim").query(query).bytes(body);
            let error = rig.call(put).await.unwrap_err();
            assert_eq!(error.code, "MalformedXML", "{query}");
        }
    }
    let restore = request(Method::POST, "victim").query("restore");
    let error = rig.call(restore.bytes(plaintext)).await.unwrap_err();
    assert_eq!(error.code, "MalformedXML");
    let seen = rig.storage.take_seen();
    // It was asked whether the bucket is there, and nothing else.
    let harmless = |seen: &Seen| seen.method == Method::HEAD && seen.query.is_empty();
    assert!(
        seen.iter()
            .all(|seen| seen.bucket != BUCKET || harmless(seen)),
        "{seen:?}"
    );
    assert_eq!(rig.storage.names(BUCKET), Vec::<String>::new());
    let nowhere = UpstreamRequest::new(Method::PUT, Target::object("missing", "victim"));
    let put = nowhere.query("retention").bytes(plaintext);
    assert_eq!(rig.call(put).await.unwrap_err().code, "NoSuchBucket");
    // Nor is one missing that is about to be made.
    let create = UpstreamRequest::new(Method::PUT, Target::bucket("missing"));
    let error = rig.call(create.bytes("<Other/>")).await.unwrap_err();
    assert_eq!(error.code, "MalformedXML");
}

#[tokio::test]
async fn the_probe_finds_out_that_a_label_replaces_an_object() {
    let rig = Rig::start("").await;
    let findings = rig
        .gateway
        .probe_storage(std::future::pending())
        .await
        .unwrap();
    let about_labels = |finding: &&Finding| finding.property.contains("leave the bytes");
    let finding = findings.iter().find(about_labels).unwrap();
    assert!(!finding.supported && !finding.required, "{finding:?}");
    assert!(finding.detail.contains("loses the object"), "{finding:?}");
}

#[tokio::test]
async fn a_label_passes_and_a_body_that_means_nothing_stays_behind() {
    let rig = Rig::start("").await;
    let hold = "<LegalHold><Status>ON</Status></LegalHold>";
    let put = request(Method::PUT, "key").query("legal-hold&x-id=PutObjectLegalHold");
    rig.call(put.bytes(hold)).await.unwrap();
    let delete = request(Method::DELETE, "key").query("tagging");
    rig.call(delete.bytes("a secret")).await.unwrap();
    let seen = rig.storage.take_seen();
    let seen: Vec<_> = seen.iter().filter(|seen| seen.bucket == BUCKET).collect();
    assert_eq!(
        (seen[0].query.as_str(), seen[0].received),
        ("legal-hold=", hold.len() as u64)
    );
    assert_eq!((seen[1].query.as_str(), seen[1].received), ("tagging=", 0));
}

#[tokio::test]
async fn no_configuration_sends_anything_into_the_state_bucket() {
    let rig = Rig::start("").await;
    let state = rig.gateway.state.name().to_owned();
    let logging = format!(
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>{state}</TargetBucket><TargetPrefix/></LoggingEnabled></BucketLoggingStatus>"
    );
    let replication = format!(
        "<ReplicationConfiguration><Role/><Rule><Destination><Bucket>arn:aws:s3:::{state}</Bucket></Destination></Rule></ReplicationConfiguration>"
    );
    for (query, body) in [("logging", logging), ("replication", replication)] {
        let put = bucket(Method::PUT, query).bytes(body);
        let error = rig.call(put).await.unwrap_err();
        assert_eq!(error.code, "AccessDenied", "{query}");
        assert!(error.message.contains(&state), "{}", error.message);
    }
    assert!(
        rig.storage
            .take_seen()
            .iter()
            .all(|seen| seen.bucket != BUCKET)
    );
}

#[tokio::test]
async fn the_storage_gets_only_what_s3_knows_of_a_bucket_read() {
    let anonymous = format!("[[anonymous]]\nbuckets = ['{BUCKET}']\nactions = ['get', 'list']\n");
    let rig = Rig::start_with(Storage::default(), "", &anonymous).await;
    for (method, query, expected) in [
        (
            Method::GET,
            "list-type=2&metadata=true&prefix=a",
            "list-type=2&prefix=a",
        ),
        (Method::GET, "metadata=true", ""),
        (Method::GET, "versions&metadata=true", "versions="),
        (Method::GET, "location&x=y", "location="),
        (Method::HEAD, "metadata=true", ""),
    ] {
        for is_signed in [true, false] {
            // Nobody in particular may read neither versions nor the location.
            if !is_signed && (query.starts_with("versions") || query.starts_with("location")) {
                continue;
            }
            let asked = bucket(method.clone(), query);
            let asked = if is_signed { asked } else { asked.unsigned() };
            let _ = rig.call(asked).await;
            let seen = rig.storage.take_seen();
            assert_eq!(seen.len(), 1, "{method} {query}");
            assert_eq!(seen[0].query, expected, "{method} {query}");
        }
    }
    for query in ["events=s3:ObjectCreated:*", "replication-metrics"] {
        let error = rig.call(bucket(Method::GET, query)).await.unwrap_err();
        assert_eq!(error.status, 501, "{query}");
    }
    assert!(rig.storage.take_seen().is_empty());
}

#[tokio::test]
async fn a_bare_semicolon_is_a_part_of_a_value() {
    let rig = Rig::start("").await;
    let raw = "list-type=2&prefix=a;metadata=true;b";
    rig.call(bucket(Method::GET, raw)).await.unwrap();
    let seen = rig.storage.take_seen();
    assert_eq!(seen[0].query, "list-type=2&prefix=a%3Bmetadata%3Dtrue%3Bb");
}
