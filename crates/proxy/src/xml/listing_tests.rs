use proptest::prelude::*;

use super::super::buckets::hide_buckets;
use super::*;

fn rewrite(document: &str) -> Result<String, XmlError> {
    rewrite_objects(document.as_bytes(), |size| size.saturating_sub(400))
        .map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn rule_18_a_listing_changes_in_sizes_tags_and_checksums_only() {
    let upstream = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>\
        <KeyCount>2</KeyCount><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
        <Contents><Key>a%2Bb+c</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;5d41402abc4b2a76b9719d911017c592&quot;</ETag>\
        <ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>\
        <Size>412</Size><Owner><ID>x</ID><Size>412</Size></Owner><StorageClass>STANDARD</StorageClass></Contents>\n  \
        <Contents><Size>1000</Size><Key>z</Key><ETag>&#34;5d41402abc4b2a76b9719d911017c592-2&#34;</ETag><New a='1'><Size>999</Size></New></Contents>\
        <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes><Size>500</Size></ListBucketResult>";
    let expected = upstream
        .replacen("<Size>412</Size>", "<Size>12</Size>", 1)
        .replacen("<Size>1000</Size>", "<Size>600</Size>", 1)
        .replacen("592&quot;", "592-01&quot;", 1)
        .replace("<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>", "");
    assert_eq!(rewrite(upstream).unwrap(), expected);
}

#[test]
fn what_minio_adds_to_a_listing_is_shown_to_nobody() {
    let object =
        |additions: &str| format!("<Contents><Key>k</Key><Size>412</Size>{additions}</Contents>");
    let additions = "<UserMetadata><X-Amz-Meta-Sealgate>secret</X-Amz-Meta-Sealgate></UserMetadata><UserTags>a=b</UserTags><Internal><K>2</K><M>2</M></Internal>";
    let listing =
        |first: &str, second: &str| format!("<ListBucketResult>{first}{second}</ListBucketResult>");
    let upstream = listing(&object(additions), &object(additions));
    let clear = [Some(ClearEntry::default()), None];
    let rewritten = rewrite_mixed_objects(upstream.as_bytes(), clear, |size| size - 400).unwrap();
    let sealed = object("").replace("412", "12");
    assert_eq!(
        String::from_utf8(rewritten).unwrap(),
        listing(&object(""), &sealed)
    );
}

#[test]
fn what_is_not_sealed_keeps_its_size_its_tag_and_its_checksums() {
    let object = |size: u64, tag: &str, more: &str| {
        format!("<Contents><Size>{size}</Size><ETag>{tag}</ETag>{more}</Contents>")
    };
    let kind = "<ChecksumType>FULL_OBJECT</ChecksumType>";
    let upstream = format!(
        "<ListBucketResult>{}{}{}{}</ListBucketResult>",
        object(412, "&quot;a&quot;", kind),
        object(412, "&quot;b&quot;", kind),
        object(412, "&quot;c&quot;", ""),
        object(412, "&quot;d&quot;", "")
    );
    let clear = [
        Some(ClearEntry::default()),
        None,
        Some(ClearEntry {
            size: Some(7),
            entity_tag: Some(EntityTag::strong("new")),
        }),
    ];
    let rewritten = rewrite_mixed_objects(upstream.as_bytes(), clear, |size| size - 400).unwrap();
    let expected = format!(
        "<ListBucketResult>{}{}{}{}</ListBucketResult>",
        object(412, "&quot;a&quot;", kind),
        object(12, "&quot;b-01&quot;", ""),
        object(7, "&quot;new&quot;", ""),
        object(12, "&quot;d-01&quot;", "")
    );
    assert_eq!(String::from_utf8(rewritten).unwrap(), expected);
    assert!(rewrite_mixed_objects(b"<Error/>", [], |size| size).is_err());
}

#[test]
fn versions_are_rewritten_and_delete_markers_are_not() {
    let upstream = "<ListVersionsResult><Version><ETag>\"x\"</ETag><Size> 401 </Size></Version><DeleteMarker><Size>401</Size><ETag>x</ETag></DeleteMarker><Contents><Size>401</Size></Contents></ListVersionsResult>";
    assert_eq!(
        rewrite(upstream).unwrap(),
        "<ListVersionsResult><Version><ETag>&quot;x-01&quot;</ETag><Size>1</Size></Version><DeleteMarker><Size>401</Size><ETag>x</ETag></DeleteMarker><Contents><Size>401</Size></Contents></ListVersionsResult>"
    );
}

#[test]
fn prefixes_split_text_and_empty_elements_are_understood() {
    let listing = |size: &str, removed: &str| {
        format!(
            "<s:ListBucketResult xmlns:s='n'><s:Contents><s:Size>{size}</s:Size>{removed}\
             <s:ETag/></s:Contents></s:ListBucketResult>"
        )
    };
    let upstream = listing("4<!-- c -->0<![CDATA[5]]>", "<s:ChecksumType/>");
    assert_eq!(rewrite(&upstream).unwrap(), listing("5", ""));
}

#[test]
fn what_is_no_listing_is_an_error_that_names_the_cause() {
    assert!(
        matches!(rewrite("<Error><Code>x</Code></Error>"), Err(XmlError::UnexpectedRoot { found, .. }) if found == "Error")
    );
    for size in ["", "-1", "x", "99999999999999999999", "1 2"] {
        let document = format!(
            "<ListBucketResult><Contents><Size>{size}</Size></Contents></ListBucketResult>"
        );
        assert!(
            matches!(
                rewrite(&document),
                Err(XmlError::InvalidValue {
                    element: "Size",
                    ..
                })
            ),
            "{size}"
        );
    }
    assert!(matches!(
        rewrite("<ListBucketResult><Contents><Size/></Contents></ListBucketResult>"),
        Err(XmlError::InvalidValue { .. })
    ));
    assert!(matches!(
        rewrite("<ListBucketResult><Contents></ListBucketResult>"),
        Err(XmlError::IllFormed { .. })
    ));
    assert!(matches!(
        rewrite("<ListBucketResult><Contents>"),
        Err(XmlError::IllFormed { .. })
    ));
    assert!(matches!(
        rewrite("<!DOCTYPE x><ListBucketResult/>"),
        Err(XmlError::DocumentType)
    ));
}

/// Elements as a newer S3 might send them, without any that we rewrite.
fn unknown_xml() -> impl Strategy<Value = String> {
    let text =
        "[ a-z\\n]{0,8}(&amp;|&#x1;|<!-- n -->|<!\\[CDATA\\[<\\]\\]>)?".prop_map(String::from);
    text.prop_recursive(3, 20, 4, |inner| {
        (
            "[A-Z][a-z]{1,6}",
            "( [a-z]{1,3}=(\"[<a-z ]?\"|'[a-z]?'))?",
            proptest::collection::vec(inner, 0..4),
        )
            .prop_map(|(name, attribute, children)| {
                let attribute = attribute.replace('<', ">");
                let children = children.concat();
                if children.is_empty() {
                    format!("<X{name}{attribute}/>")
                } else {
                    format!("<X{name}{attribute}>{children}</X{name}>")
                }
            })
    })
    .prop_map(|content| format!("<Unknown>{content}</Unknown>"))
}

/// Children of entries that are written plainly, and some that are not.
const PLAIN_CHILDREN: &[&str] = &[
    "<Key>a&amp;b/\u{e9}</Key>",
    "<Size>412</Size>",
    "<Size>0</Size>",
    "<Size>99999999999999999999</Size>",
    "<Size>+1</Size>",
    "<ETag>&quot;5d41-2&quot;</ETag>",
    "<ETag>&quot;5d41&quot;</ETag>",
    "<ETag>&#34;5d41-02&#34;</ETag>",
    "<ETag>\"\"</ETag>",
    "<ETag></ETag>",
    "<ETag>W/&quot;x&quot;</ETag>",
    "<ETag>5d41</ETag>",
    "<ChecksumType>FULL_OBJECT</ChecksumType>",
    "<UserTags>a=b</UserTags>",
    "<Owner><ID>x</ID><Size>412</Size></Owner>",
    "<StorageClass/>",
    "\n  ",
    "text",
];

fn in_pieces(document: &[u8], length: usize) -> Result<Vec<u8>, XmlError> {
    let mut rewriter = ListingRewriter::new(|size: u64| size.saturating_sub(400));
    let mut output = Vec::new();
    for piece in document.chunks(length) {
        rewriter.push(piece)?;
        output.extend_from_slice(&rewriter.take());
    }
    output.extend_from_slice(&rewriter.finish()?);
    Ok(output)
}

#[test]
fn objects_leave_before_the_document_has_ended_and_memory_stays_flat() {
    let mut rewriter = ListingRewriter::new(|size| size - 400);
    rewriter.push(b"<ListBucketResult>").unwrap();
    assert_eq!(rewriter.take(), "<ListBucketResult>");
    for index in 0..100_000 {
        let object = format!("<Contents><Key>{index}</Key><Size>412</Size></Contents>");
        rewriter.push(object.as_bytes()).unwrap();
        assert_eq!(rewriter.take(), object.replace("<Size>4", "<Size>"));
    }
    rewriter.push(b"</ListBucketResult>").unwrap();
    assert_eq!(rewriter.finish().unwrap(), "</ListBucketResult>");
}

#[test]
fn a_listing_that_is_cut_or_goes_wrong_never_ends_well() {
    let listing = "<ListBucketResult><Contents><Size>412</Size></Contents><Contents><Size>500</Size></Contents></ListBucketResult>";
    for cut in 0..listing.len() {
        assert!(in_pieces(&listing.as_bytes()[..cut], 7).is_err(), "{cut}");
    }
    let wrong = listing.replace("500", "x");
    let mut rewriter = ListingRewriter::new(|size| size);
    assert!(rewriter.push(wrong.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_as_the_whole(
        before in unknown_xml(),
        inside in unknown_xml(),
        size in 400_u64..1_000_000,
        length in 1_usize..50,
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut listing = format!(
            "<?xml version=\"1.0\"?>\n<s:ListVersionsResult>{before}<s:Version>{inside}<s:Size>{size}</s:Size>\
             <s:ETag>&#34;abc&#34;</s:ETag></s:Version> <!-- x -->{before}</s:ListVersionsResult>\n"
        )
        .into_bytes();
        if let Some((index, byte)) = damage {
            let index = index.index(listing.len());
            listing[index] = byte;
        }
        let whole = rewrite_objects(&listing, |size| size.saturating_sub(400)).ok();
        prop_assert_eq!(in_pieces(&listing, length).ok(), whole);
    }

    /// Byte by byte no entry is there as a whole where it begins, so the parser reads all of them.
    #[test]
    fn what_is_written_plainly_is_rewritten_as_the_parser_does(
        entries in proptest::collection::vec(
            (
                proptest::sample::select(&["Contents", "CommonPrefixes"][..]),
                proptest::collection::vec(proptest::sample::select(PLAIN_CHILDREN), 0..6),
            ),
            0..4,
        ),
        length in 2_usize..200,
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut listing = b"<ListBucketResult>".to_vec();
        for (name, children) in entries {
            write!(listing, "<{name}>{}</{name}>", children.concat()).unwrap();
        }
        listing.extend_from_slice(b"</ListBucketResult>");
        if let Some((index, byte)) = damage {
            let index = index.index(listing.len());
            listing[index] = byte;
        }
        let parsed = in_pieces(&listing, 1);
        prop_assert_eq!(in_pieces(&listing, length), parsed.clone());
        prop_assert_eq!(in_pieces(&listing, listing.len()), parsed);
    }

    #[test]
    fn unknown_xml_stays_byte_for_byte(
        before in unknown_xml(),
        inside in unknown_xml(),
        after in unknown_xml(),
        size in 400_u64..1_000_000,
    ) {
        let listing = |size: u64, tag: &str| {
            format!(
                "<ListBucketResult>{before}<Contents>{inside}<Size>{size}</Size>{after}\
                 <ETag>{tag}</ETag></Contents>{after}</ListBucketResult>"
            )
        };
        let rewritten = rewrite(&listing(size, "&#34;abc&#34;")).unwrap();
        prop_assert_eq!(rewritten, listing(size - 400, "&quot;abc-01&quot;"));
    }

    #[test]
    fn identity_callbacks_change_nothing(before in unknown_xml(), size in any::<u64>()) {
        let listing = format!(
            "<ListVersionsResult>{before}<Version><Size>{size}</Size>\
             <ETag>&#34;x-1&#34;</ETag>{before}</Version></ListVersionsResult>"
        );
        let rewritten = rewrite_objects(listing.as_bytes(), |size| size).unwrap();
        prop_assert_eq!(rewritten, listing.as_bytes());
        let buckets = format!(
            "<ListAllMyBucketsResult>{before}<Buckets><Bucket><Name>x</Name>{before}\
             </Bucket></Buckets></ListAllMyBucketsResult>"
        );
        let shown = hide_buckets(buckets.as_bytes(), |_| false).unwrap();
        prop_assert_eq!(shown, buckets.as_bytes());
    }

    #[test]
    fn cut_or_damaged_listings_never_panic(cut in 0_usize..200, byte in any::<u8>()) {
        let mut listing = b"<ListBucketResult><Contents><Key>a</Key><Size>412</Size>\
            <ETag>&quot;5d&quot;</ETag><ChecksumType>x</ChecksumType></Contents>\
            </ListBucketResult>"
            .to_vec();
        let cut = cut % listing.len();
        let _ = rewrite_objects(&listing[..cut], |size| size);
        listing[cut] = byte;
        let _ = rewrite_objects(&listing, |size| size);
        let _ = hide_buckets(&listing, |_| true);
    }
}
