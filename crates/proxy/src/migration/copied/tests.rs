use std::{fs, os::unix::fs::symlink};

use http::{HeaderMap, Method, header};
use http_body_util::BodyExt as _;

use super::*;
use crate::{upstream::Target, xml::upstream_listings::parse_objects};

const STATE: &str = "sealgate-state-d";

fn line(key: &str, target: &str) -> String {
    format!(
        "{{\"key\":{key:?},\"version_id\":null,\"is_current\":true,\"target\":{target:?},\"entity_tag\":\"t\\\"<\",\"size\":5,\"sha256\":\"\",\
         \"last_modified\":null,\"headers\":{{\"x-amz-meta-sealgate\":\"h\",\"content-length\":\"9\"}},\"tags\":{{\"a<\":\"b&\"}}}}\n"
    )
}

fn route(bucket: &str, as_stored: bool) -> String {
    format!(
        "{{\"sealgate_export\":1,\"source\":{{\"endpoint\":\"e\",\"bucket\":{bucket:?},\"prefix\":\"\"}},\"destination\":null,\"as_stored\":{as_stored}}}\n"
    )
}

/// A copy of `photos` with this journal, beside files inside and outside of it.
fn copy(journal: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let photos = directory.path().join("photos");
    fs::create_dir_all(photos.join(".sealgate-export")).unwrap();
    fs::create_dir_all(directory.path().join(STATE)).unwrap();
    fs::write(directory.path().join("secret"), "outside").unwrap();
    fs::write(photos.join("a"), "12345").unwrap();
    fs::create_dir(photos.join("d")).unwrap();
    symlink(directory.path(), photos.join("up")).unwrap();
    symlink(directory.path().join("secret"), photos.join("link")).unwrap();
    fs::write(photos.join(".sealgate-export/manifest.jsonl"), journal).unwrap();
    directory
}

fn open(directory: &tempfile::TempDir) -> anyhow::Result<CopiedStorage> {
    CopiedStorage::open(directory.path(), "photos", STATE)
}

async fn ask(
    storage: &CopiedStorage,
    target: Target,
    query: &str,
    headers: HeaderMap,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = LocalRequest {
        method: Method::GET,
        target,
        query: query.to_owned(),
        headers,
    };
    let (head, body) = storage.answer(request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (head.status, head.headers, body)
}

#[tokio::test]
async fn objects_ranges_tags_and_listings_are_served_as_the_journal_says() {
    let journal = [
        route("photos", true),
        line("old", "nothing"),
        line("a b", "a"),
        line("old", "a"),
    ];
    let directory = copy(&journal.concat());
    let storage = open(&directory).unwrap();
    let object = || Target::object("photos", "a%20b");
    let (status, headers, body) = ask(&storage, object(), "", HeaderMap::new()).await;
    assert_eq!(
        (status, body.as_slice()),
        (StatusCode::OK, b"12345".as_slice())
    );
    assert_eq!(headers["x-amz-meta-sealgate"], "h");
    assert_eq!(headers[header::CONTENT_LENGTH], "5", "that of the file");

    let range = HeaderMap::from_iter([
        (header::RANGE, "bytes=-2".parse().unwrap()),
        (header::IF_MATCH, headers[header::ETAG].clone()),
    ]);
    let (status, headers, body) = ask(&storage, object(), "", range).await;
    assert_eq!(
        (status, body.as_slice()),
        (StatusCode::PARTIAL_CONTENT, b"45".as_slice())
    );
    assert_eq!(headers[header::CONTENT_RANGE], "bytes 3-4/5");
    let other = HeaderMap::from_iter([(header::IF_MATCH, "\"x\"".parse().unwrap())]);
    let (status, ..) = ask(&storage, object(), "", other).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);

    let (_, _, tags) = ask(&storage, object(), "tagging=", HeaderMap::new()).await;
    let tags = crate::xml::labels::parse_tags(&tags).unwrap();
    assert_eq!((tags[0].key.as_str(), tags[0].value.as_str()), ("a<", "b&"));

    let listing = "list-type=2&encoding-type=url&prefix=";
    let bucket = || Target::bucket("photos");
    let (_, _, page) = ask(&storage, bucket(), listing, HeaderMap::new()).await;
    let page = parse_objects(&page).unwrap();
    let keys: Vec<_> = page
        .objects
        .iter()
        .map(|object| object.key.as_str())
        .collect();
    assert_eq!(keys, ["a b", "old"], "the latest line of each counts");
    let behind = format!("{listing}&continuation-token=a%2520b");
    let (_, _, page) = ask(&storage, bucket(), &behind, HeaderMap::new()).await;
    assert_eq!(parse_objects(&page).unwrap().objects.len(), 1);

    let (status, ..) = ask(
        &storage,
        Target::object("photos", "none"),
        "",
        HeaderMap::new(),
    )
    .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, ..) = ask(&storage, Target::bucket("other"), listing, HeaderMap::new()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, ..) = ask(&storage, bucket(), "versioning=", HeaderMap::new()).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn a_journal_leads_to_no_file_outside_and_to_nothing_but_files() {
    let targets = [
        "../secret",
        "/etc/passwd",
        "up/secret",
        "link",
        "d",
        "",
        ".",
        "d/../../secret",
        "missing",
        "a/b",
    ];
    let lines: Vec<_> = targets.iter().map(|target| line(target, target)).collect();
    let directory = copy(&(route("photos", true) + &lines.concat()));
    let storage = open(&directory).unwrap();
    for target in targets {
        let key = percent_encoding::utf8_percent_encode(target, percent_encoding::NON_ALPHANUMERIC);
        let asked = Target::object("photos", key.to_string());
        let (status, _, body) = ask(&storage, asked, "", HeaderMap::new()).await;
        // Not "not found": what is missing in a copy was not deleted.
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{target}");
        assert!(
            !String::from_utf8(body).unwrap().contains("outside"),
            "{target}"
        );
    }
}

#[test]
fn what_is_no_copy_of_this_bucket_is_refused_with_what_to_do() {
    let refused = |directory: &tempfile::TempDir| format!("{:#}", open(directory).unwrap_err());
    let said = refused(&copy(&route("other", true)));
    assert!(said.contains("a copy of the bucket other"), "{said}");
    let said = refused(&copy(&route("photos", false)));
    assert!(said.contains("has decrypted"), "{said}");
    let said = refused(&copy("nonsense\n"));
    assert!(said.contains("line 1"), "{said}");
    // Without a journal, files count, and none of these has a header.
    let directory = copy("");
    fs::remove_dir_all(directory.path().join("photos/.sealgate-export")).unwrap();
    let said = refused(&directory);
    assert!(
        said.contains("aws s3 sync") && said.contains("recovery copy"),
        "{said}"
    );
    fs::remove_dir(directory.path().join(STATE)).unwrap();
    let said = refused(&directory);
    assert!(said.contains("registry"), "{said}");
    for name in ["../photos", "", ".", "a/b"] {
        assert!(
            CopiedStorage::open(directory.path(), name, STATE).is_err(),
            "{name}"
        );
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_a_journal_a_header_is_read_from_the_attribute_that_rclone_writes() {
    let directory = copy("");
    let photos = directory.path().join("photos");
    fs::remove_dir_all(photos.join(".sealgate-export")).unwrap();
    fs::create_dir(photos.join("d/e")).unwrap();
    fs::write(photos.join("d/e/f"), "67").unwrap();
    let file = fs::File::open(photos.join("d/e/f")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::fsetxattr(&file, "user.sealgate", b"header", flags).unwrap();
    let storage = open(&directory).unwrap();
    let object = Target::object("photos", "d/e/f");
    let (status, headers, body) = ask(&storage, object, "", HeaderMap::new()).await;
    assert_eq!(
        (status, body.as_slice()),
        (StatusCode::OK, b"67".as_slice())
    );
    assert_eq!(headers["x-amz-meta-sealgate"], "header");
    assert!(storage.incomplete().is_empty(), "rclone says nothing of it");
    // One of ours that was cut off before the first line of its journal.
    let own = photos.join(".sealgate-export");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("manifest.jsonl"), "").unwrap();
    assert_eq!(open(&directory).unwrap().incomplete(), ["photos"]);
    fs::remove_dir_all(own).unwrap();
    let listing = "list-type=2&encoding-type=url&prefix=";
    let (_, _, page) = ask(
        &storage,
        Target::bucket("photos"),
        listing,
        HeaderMap::new(),
    )
    .await;
    let page = parse_objects(&page).unwrap();
    let keys: Vec<_> = page
        .objects
        .iter()
        .map(|object| object.key.as_str())
        .collect();
    assert_eq!(keys, ["a", "d/e/f"], "symbolic links are passed over");
}
