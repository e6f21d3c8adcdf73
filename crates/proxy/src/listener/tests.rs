//! A listener on a free port of this machine, asked by a hand-written client, so that every byte on the wire is seen.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::TlsFiles;

/// Longer than anything takes that happens at all.
const LONG: Duration = Duration::from_secs(20);

type TestBody = UnsyncBoxBody<Bytes, io::Error>;

fn full(text: &'static str) -> TestBody {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Some good bytes, and when they are on their way an error: what a tampered object looks like.
fn failing() -> TestBody {
    let frames = stream::unfold(0, |step| async move {
        match step {
            0 => Some((Ok(Frame::data(Bytes::from_static(b"verified"))), 1)),
            1 => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Err(io::Error::other("the tag does not verify")), 2))
            }
            _ => None,
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// `/ok`, `/slow`, `/failing` with Content-Length and `/failing-chunked` without.
async fn answer(request: Request<Incoming>, info: ConnectionInfo) -> Response<TestBody> {
    if request.extensions().get::<Malformed>().is_some() {
        return Response::builder()
            .status(400)
            .body(full("malformed"))
            .unwrap();
    }
    match request.uri().path() {
        "/failing" => Response::builder()
            .header("content-length", "100")
            .body(failing())
            .unwrap(),
        "/failing-chunked" => Response::new(failing()),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Response::new(full("slow"))
        }
        "/stalling" => {
            let endless = stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![0; 65_536]))));
            Response::new(BodyExt::boxed_unsync(StreamBody::new(endless)))
        }
        _ => Response::new(full(if info.tls { "tls" } else { "plain" })),
    }
}

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

fn start_with(tls: Option<TlsFiles>, limits: &LimitsConfig) -> Running {
    let config = ListenerConfig {
        tls,
        ..ListenerConfig::at((Ipv4Addr::LOCALHOST, 0).into())
    };
    start_as(&config, limits)
}

fn start_as(config: &ListenerConfig, limits: &LimitsConfig) -> Running {
    let listener = Listener::bind(config, limits).unwrap();
    let address = listener.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(listener.serve(answer, async {
        let _ = stopped.await;
    }));
    Running {
        address,
        stop: Some(stop),
        task,
    }
}

fn start() -> Running {
    start_with(None, &LimitsConfig::default())
}

/// Sends a request and returns everything up to the end of the connection.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses the head need not read all of it.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut received = Vec::new();
    // A reset instead of an end is as good: what counts is what came before.
    let _ = stream.read_to_end(&mut received).await;
    String::from_utf8(received).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn requests_are_answered_over_plain_http() {
    let running = start();
    let answer = get(running.address, "/ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
}

#[tokio::test]
async fn a_failing_body_with_a_length_ends_short() {
    let answer = get(start().address, "/failing").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 100"), "{head}");
    assert_eq!(body, "verified");
}

#[tokio::test]
async fn a_failing_chunked_body_has_no_last_chunk() {
    let answer = get(start().address, "/failing-chunked").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(body, "8\r\nverified\r\n");
}

/// A self-signed certificate for `localhost` and a client that trusts only it.
fn make_tls(directory: &std::path::Path, protocol: &[u8]) -> (TlsFiles, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, content: String| -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let files = TlsFiles {
        certificate: write("certificate.pem", made.cert.pem()),
        key: write("key.pem", made.signing_key.serialize_pem()),
        clients: None,
    };
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&files.certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![protocol.to_vec()];
    (files, TlsConnector::from(Arc::new(client)))
}

#[tokio::test]
async fn http_2_is_chosen_by_alpn_and_a_failing_body_resets_its_stream() {
    let directory = tempfile::tempdir().unwrap();
    let (files, connector) = make_tls(directory.path(), b"h2");
    let running = start_with(Some(files), &LimitsConfig::default());
    let stream = TcpStream::connect(running.address).await.unwrap();
    let stream = connector
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut ask = |path: &str| {
        let request = Request::get(format!("https://localhost{path}"))
            .body(full(""))
            .unwrap();
        client.send_request(request)
    };

    let good = ask("/ok")
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(good, "tls");
    for path in ["/failing", "/failing-chunked"] {
        let body = ask(path).await.unwrap().into_body();
        assert!(body.collect().await.is_err(), "{path} ended cleanly");
    }
    let again = ask("/ok")
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(
        again, "tls",
        "a reset stream must not take the connection with it"
    );
}

#[tokio::test]
async fn http_1_is_served_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (files, connector) = make_tls(directory.path(), b"http/1.1");
    let running = start_with(Some(files), &LimitsConfig::default());
    let stream = TcpStream::connect(running.address).await.unwrap();
    let mut stream = connector
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    stream
        .write_all(b"GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.ends_with("\r\n\r\ntls"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_long_or_has_too_many_fields_is_refused() {
    // Dropping it would stop the listener.
    let running = start();
    let address = running.address;
    let long = format!(
        "GET /ok HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "a".repeat(4 * limits::HEAD_LIMIT)
    );
    let answer = exchange(address, &long).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("malformed"), "{answer}");
    let many = "x-many: 1\r\n".repeat(limits::HEADER_COUNT_LIMIT);
    assert!(
        exchange(
            address,
            &format!("GET /ok HTTP/1.1\r\nhost: x\r\n{many}\r\n")
        )
        .await
        .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn a_head_that_does_not_end_is_given_up() {
    let limits = LimitsConfig {
        header_timeout: Duration::from_millis(100),
        ..LimitsConfig::default()
    };
    let running = start_with(None, &limits);
    let waiting = exchange(running.address, "GET /ok HTTP/1.1\r\nhost: ");
    let answer = tokio::time::timeout(Duration::from_secs(5), waiting)
        .await
        .unwrap();
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn a_client_that_stops_reading_is_given_up() {
    let limits = LimitsConfig {
        idle_timeout: Duration::from_millis(100),
        connections: 1,
        ..LimitsConfig::default()
    };
    let running = start_with(None, &limits);
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /stalling HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    // The only place is free again once the listener has given up on the first client.
    let answer = tokio::time::timeout(Duration::from_secs(10), get(running.address, "/ok"))
        .await
        .unwrap();
    assert!(answer.ends_with("plain"), "{answer}");
    drop(idle);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let limits = LimitsConfig {
        connections: 1,
        ..LimitsConfig::default()
    };
    let running = start_with(None, &limits);
    let first = TcpStream::connect(running.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = get(running.address, "/ok");
    tokio::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
    assert!(
        early.is_err(),
        "the second connection was served beside the first"
    );
    drop(first);
    assert!(
        tokio::time::timeout(Duration::from_secs(5), second)
            .await
            .unwrap()
            .ends_with("plain")
    );
}

#[tokio::test]
async fn whoever_waits_for_a_request_makes_room_and_whoever_is_served_does_not() {
    let limits = LimitsConfig {
        connections: 2,
        ..LimitsConfig::default()
    };
    let running = start_with(None, &limits);
    let mut served = TcpStream::connect(running.address).await.unwrap();
    served
        .write_all(b"GET /stalling HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /ok HTTP/1.1\r\nhost: ").await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), get(running.address, "/ok"))
        .await
        .unwrap();
    assert!(answer.ends_with("plain"), "{answer}");
    let mut received = [0; 1];
    // With an end or with a reset.
    assert!(matches!(idle.read(&mut received).await, Ok(0) | Err(_)));
    let mut head = [0; 15];
    served.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let mut body = vec![0; 8 << 20];
    served.read_exact(&mut body).await.unwrap();
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish_and_takes_no_new_ones() {
    let mut running = start();
    let slow = tokio::spawn(get(running.address, "/slow"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.take().unwrap().send(()).unwrap();
    assert!(slow.await.unwrap().ends_with("slow"));
    tokio::time::timeout(Duration::from_secs(5), running.task)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_stop_cuts_off_what_outlives_the_grace_period() {
    let limits = LimitsConfig {
        shutdown_grace: Duration::from_millis(50),
        ..LimitsConfig::default()
    };
    let mut running = start_with(None, &limits);
    let slow = tokio::spawn(get(running.address, "/slow"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(slow.await.unwrap(), "");
}

#[test]
fn an_address_in_use_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let running = start();
        let config = ListenerConfig::at(running.address);
        let error = Listener::bind(&config, &LimitsConfig::default())
            .err()
            .unwrap();
        assert!(
            error
                .to_string()
                .contains("choose another listener.address"),
            "{error}"
        );
    });
}

/// A connection over HTTP/2 whose streams have windows of one byte until their answers are read, and what comes of it.
async fn connect_narrowly(
    address: SocketAddr,
    connector: &TlsConnector,
) -> (
    http2::SendRequest<TestBody>,
    tokio::task::JoinHandle<hyper::Result<()>>,
) {
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1);
    let (client, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    (client, tokio::spawn(connection))
}

fn ask_ok(
    client: &mut http2::SendRequest<TestBody>,
) -> impl Future<Output = hyper::Result<Response<Incoming>>> {
    let request = Request::get("https://localhost/ok").body(full("")).unwrap();
    client.send_request(request)
}

#[tokio::test]
async fn an_answer_whose_window_is_withheld_is_reset_and_its_connection_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (files, connector) = make_tls(directory.path(), b"h2");
    let limits = LimitsConfig {
        idle_timeout: Duration::from_millis(200),
        ..LimitsConfig::default()
    };
    let running = start_with(Some(files), &limits);
    let (mut client, _connection) = connect_narrowly(running.address, &connector).await;
    let unread = ask_ok(&mut client).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(unread.into_body().collect().await.is_err());
    let read = ask_ok(&mut client).await.unwrap().into_body();
    assert_eq!(read.collect().await.unwrap().to_bytes(), "tls");
}

#[tokio::test]
async fn the_end_of_an_answer_that_waits_for_its_window_is_not_cut_off_to_make_room() {
    let directory = tempfile::tempdir().unwrap();
    let (files, connector) = make_tls(directory.path(), b"h2");
    let limits = LimitsConfig {
        connections: 1,
        ..LimitsConfig::default()
    };
    let running = start_with(Some(files), &limits);
    let (mut client, _connection) = connect_narrowly(running.address, &connector).await;
    let unread = ask_ok(&mut client).await.unwrap();
    let newcomer = connect_narrowly(running.address, &connector);
    let longer = limits::UNDISTURBED + limits::UNDISTURBED / 2;
    assert!(tokio::time::timeout(longer, newcomer).await.is_err());
    let whole = unread.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole, "tls");
}

#[tokio::test]
async fn over_http_2_whoever_makes_room_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (files, connector) = make_tls(directory.path(), b"h2");
    let limits = LimitsConfig {
        connections: 1,
        ..LimitsConfig::default()
    };
    let running = start_with(Some(files), &limits);
    let (_client, connection) = connect_narrowly(running.address, &connector).await;
    let newcomer = connect_narrowly(running.address, &connector);
    let newcomer = tokio::time::timeout(LONG, newcomer);
    let (mut client, _served) = newcomer.await.unwrap();
    assert_eq!(ask_ok(&mut client).await.unwrap().status(), 200);
    // Without GOAWAY, the client would see its connection break.
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_asks_again_and_again_keeps_no_more_than_a_share_from_others() {
    let limits = LimitsConfig {
        connections: 4,
        connections_per_address: 2,
        ..LimitsConfig::default()
    };
    let config = ListenerConfig {
        proxy_protocol: vec!["127.0.0.1".parse::<IpAddr>().unwrap().into()],
        ..ListenerConfig::at((Ipv4Addr::LOCALHOST, 0).into())
    };
    let running = start_as(&config, &limits);
    let of = |host: u8, more: &str| {
        format!(
            "PROXY TCP4 203.0.113.{host} 192.0.2.1 1 443\r\nGET /ok HTTP/1.1\r\nhost: x\r\n{more}\r\n"
        )
    };
    let mut greedy = JoinSet::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let first = of(7, "");
        greedy.spawn(async move {
            let mut received = [0; 1024];
            let mut request = first.as_bytes();
            while stream.write_all(request).await.is_ok()
                && matches!(stream.read(&mut received).await, Ok(1..))
            {
                request = b"GET /ok HTTP/1.1\r\nhost: x\r\n\r\n";
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let mut patient = TcpStream::connect(running.address).await.unwrap();
    patient.write_all(of(8, "").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let request = of(9, "connection: close\r\n");
    let answer = tokio::time::timeout(LONG, exchange(running.address, &request));
    assert!(answer.await.unwrap().ends_with("plain"));
    // The one that is beyond the share is closed, and nobody else.
    let closed = tokio::time::timeout(LONG, greedy.join_next());
    closed.await.unwrap().unwrap().unwrap();
    let another = tokio::time::timeout(Duration::from_millis(500), greedy.join_next());
    assert!(another.await.is_err());
    let again = b"GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    patient.write_all(again).await.unwrap();
    let mut received = String::new();
    patient.read_to_string(&mut received).await.unwrap();
    assert_eq!(received.matches("200 OK").count(), 2);
}
