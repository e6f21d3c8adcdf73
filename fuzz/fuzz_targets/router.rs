//! Whatever is asked, an operation is chosen by its method and by nothing twice, content goes to no operation that passes it unread, and what is
//! asked of the storage means the same operation again.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use libfuzzer_sys::fuzz_target;
use sealgate::auth::{AuthSettings, anonymous, strip_auth_query};
use sealgate::object_key::Target;
use sealgate::query_string::QueryString;
use sealgate::route::{Operation, Treatment, locate, misfit, route, unsigned, upstream_query};

const METHODS: [Method; 8] = [
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::PATCH,
    Method::TRACE,
];

/// The query parameters with which a body that is sent to an object is no content of it (S3 API Reference).
const LABELS: [&str; 5] = ["acl", "legal-hold", "restore", "retention", "tagging"];

/// What may stand in the query of a whole object's content, besides what other requests have in headers.
const HARMLESS: [&str; 5] = ["delete", "list-type", "uploads", "versionId", "x-id"];

// The head of a request without its version: `PUT /bucket/key?query`, and a line for each header.
fuzz_target!(|text: &str| {
    let (line, headers) = text.split_once('\n').unwrap_or((text, ""));
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Some(method) = METHODS.iter().find(|known| known.as_str() == method) else {
        return;
    };
    let headers = parsed(headers);
    let Ok(request) = Request::builder()
        .method(method)
        .uri("http://s3.example/")
        .body(())
    else {
        return;
    };
    let (mut parts, ()) = request.into_parts();
    parts.headers =
        HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("s3.example"))]);
    // Who asks is not this target's question.
    let caller = anonymous(&parts, &AuthSettings::default()).expect("nobody in particular");

    let _ = unsigned(method, query, &headers);
    let wire = strip_auth_query(query);
    let (Ok(path), Ok(query)) = (
        locate(None, &[], path, &headers),
        QueryString::parse(Some(&wire)),
    ) else {
        return;
    };
    let _ = misfit(method, path.target(), &query, &headers);
    let Ok(operation) = route(&caller, method, &path, &query, &headers) else {
        return;
    };
    check_choice(&operation, method, path.target(), &query, &headers);

    let upstream = upstream_query(&operation, &query);
    let sent = QueryString::parse(Some(&upstream)).expect("a query that was written here");
    for parameter in sent.parameters() {
        let value = parameter.value.as_deref().unwrap_or_default();
        let asked = query.unique(&parameter.name).expect("once");
        assert_eq!(asked.unwrap_or_default(), value, "{}", parameter.name);
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%=&".contains(&byte);
    assert!(upstream.bytes().all(is_plain), "{upstream}");
    // The others write their own.
    let sends_query = !upstream.is_empty() || operation.treatment() == Treatment::Passed;
    if sends_query && operation != Operation::OptionsObject {
        let again = route(&caller, method, &path, &sent, &HeaderMap::new());
        assert_eq!(again.ok().as_ref(), Some(&operation), "{upstream}");
    }
});

/// A line each, as `name: value`; what can be no header is left out.
fn parsed(text: &str) -> HeaderMap {
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::try_from(name.trim()).ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in lines.take(32) {
        headers.append(name, value);
    }
    headers
}

fn check_choice(
    operation: &Operation,
    method: &Method,
    target: &Target,
    query: &QueryString,
    headers: &HeaderMap,
) {
    let name = operation.name();
    let mut names: Vec<_> = query
        .parameters()
        .iter()
        .map(|parameter| parameter.name.as_str())
        .collect();
    names.sort_unstable();
    assert!(
        names.windows(2).all(|pair| pair[0] != pair[1]),
        "{name}: {names:?}"
    );

    let writes_by = |method: &Method| [Method::PUT, Method::POST, Method::DELETE].contains(method);
    let is_read = !operation.writes() || matches!(operation, Operation::Pass(_));
    assert!(writes_by(method) || is_read, "{method} {name}");
    assert!(
        !matches!(*method, Method::PATCH | Method::TRACE),
        "{method} {name}"
    );
    for (start, methods) in [
        ("Get", &[Method::GET][..]),
        ("List", &[Method::GET]),
        ("Head", &[Method::HEAD]),
        ("Put", &[Method::PUT]),
        ("Upload", &[Method::PUT]),
        ("Copy", &[Method::PUT]),
        ("Delete", &[Method::DELETE, Method::POST]),
        ("Abort", &[Method::DELETE]),
        ("Complete", &[Method::POST]),
    ] {
        assert!(
            !name.starts_with(start) || methods.contains(method),
            "{method} {name}"
        );
    }

    if !matches!(target, Target::Object(..)) {
        assert!(
            !matches!(
                operation,
                Operation::PutObject | Operation::UploadPart { .. }
            ),
            "{name}"
        );
        return;
    }
    let has_body = matches!(*method, Method::PUT | Method::POST);
    if has_body && operation.treatment() != Treatment::Transformed {
        let labels = names.iter().filter(|name| LABELS.contains(name));
        assert_eq!(labels.count(), 1, "{method} {name} {names:?}");
    }
    let copies = matches!(
        operation,
        Operation::CopyObject | Operation::UploadPartCopy { .. }
    );
    assert_eq!(
        copies,
        *method == Method::PUT
            && takes_content(operation)
            && headers.contains_key("x-amz-copy-source"),
        "{name}"
    );
    // A storage may take what it knows and we do not for another operation. What names an upload can be none.
    if matches!(operation, Operation::PutObject | Operation::CopyObject) {
        for parameter in &names {
            let lower = parameter.to_ascii_lowercase();
            let is_header = lower.starts_with("x-amz-") || lower.starts_with("response-");
            assert!(
                is_header || HARMLESS.contains(parameter),
                "{name} {parameter}"
            );
        }
    }
}

fn takes_content(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::PutObject
            | Operation::CopyObject
            | Operation::UploadPart { .. }
            | Operation::UploadPartCopy { .. }
    )
}
