//! One client that asks for too much is slowed down, and others are not.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use sealgate_tests::{
    admin::Administered,
    content::pattern,
    endpoint::Endpoint,
    raw_http::{Payload, RawAnswer, RawRequest},
    rig::{bounded, get, put},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BUCKET: &str = "throttling";
const LIMIT: Duration = Duration::from_mins(2);

/// A gateway with a second identity, whose bounds these are, and these tables.
fn start(limits_of_second: &str, more: &str) -> Result<Administered> {
    let second = format!(
        "[[identity]]\nname = \"second\"\n{limits_of_second}\n[[identity.credential]]\naccess_key_id = \"SGSECOND\"\nsecret_access_key = \"env:SECOND_SECRET\"\n{more}"
    );
    let secret = (
        "SECOND_SECRET".to_owned(),
        "a secret of the second".to_owned(),
    );
    Administered::start(&second, vec![secret])
}

fn second(servers: &Administered) -> Endpoint {
    let first = &servers.gateway.endpoint;
    first.with_credentials("SGSECOND", "a secret of the second")
}

async fn throttled(servers: &Administered, labels: &str) -> Result<bool> {
    let text = servers.admin.get("/metrics").await?.text();
    Ok(text.contains(&format!("sealgate_throttled_requests_total{{{labels}}}")))
}

async fn head_bucket(endpoint: &Endpoint) -> Result<RawAnswer> {
    RawRequest::new("GET", &format!("/{BUCKET}?list-type=2&max-keys=1"))
        .sign(endpoint, Payload::Signed(b""), SystemTime::now())?
        .send(endpoint)
        .await
}

fn is_slow_down(answer: &RawAnswer) -> bool {
    let wait = answer
        .header("retry-after")
        .and_then(|wait| wait.parse::<u64>().ok());
    answer.status == 503
        && answer.error_code().as_deref() == Some("SlowDown")
        && wait.is_some_and(|wait| wait >= 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_identity_are_bounded_and_those_of_another_are_not() -> Result<()> {
    let servers = start("limits = { requests_per_second = 5 }", "")?;
    bounded(LIMIT, async {
        let first = &servers.gateway.endpoint;
        first.s3()?.create_bucket().bucket(BUCKET).send().await?;
        let second = second(&servers);
        let answers = join_all((0..40).map(|_| head_bucket(&second))).await;
        let answers: Vec<_> = answers.into_iter().collect::<Result<_>>()?;
        let good = answers.iter().filter(|answer| answer.status == 200).count();
        ensure!((5..40).contains(&good), "{good} were answered");
        ensure!(
            answers
                .iter()
                .all(|answer| answer.status == 200 || is_slow_down(answer))
        );
        let others = join_all((0..40).map(|_| head_bucket(first))).await;
        for answer in others {
            ensure!(answer?.status == 200, "another identity is slowed down");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        ensure!(head_bucket(&second).await?.status == 200, "it never ends");
        ensure!(
            throttled(
                &servers,
                "bound=\"requests_per_second\",client=\"identity\""
            )
            .await?
        );
        Ok(())
    })
    .await
    .with_context(|| servers.gateway.process.last_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_fetched_takes_its_place_among_the_requests_at_once() -> Result<()> {
    let servers = start("limits = { concurrent_requests = 1 }", "")?;
    bounded(LIMIT, async {
        let first = servers.gateway.endpoint.s3()?;
        first.create_bucket().bucket(BUCKET).send().await?;
        put(&first, BUCKET, "large", &pattern(5, 24 << 20)).await?;
        let second = second(&servers);
        let request = RawRequest::new("GET", &format!("/{BUCKET}/large"))
            .sign(&second, Payload::Signed(b""), SystemTime::now())?
            .to_bytes(&second);
        let mut stream = TcpStream::connect(second.authority()).await?;
        stream.write_all(&request).await?;
        let mut piece = [0; 100];
        ensure!(stream.read(&mut piece).await? > 0);
        let refused = head_bucket(&second).await?;
        ensure!(is_slow_down(&refused), "{}", refused.status);
        ensure!(get(&first, BUCKET, "large").await?.len() == 24 << 20);
        drop(stream);
        let deadline = Instant::now() + Duration::from_secs(20);
        while head_bucket(&second).await?.status != 200 {
            ensure!(Instant::now() < deadline, "the place was never given back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    })
    .await
    .with_context(|| servers.gateway.process.last_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_beyond_the_bound_go_slower_in_both_directions_and_come_whole() -> Result<()> {
    let servers = start("limits = { bytes_per_second = \"2 MiB\" }", "")?;
    bounded(LIMIT, async {
        let first = servers.gateway.endpoint.s3()?;
        first.create_bucket().bucket(BUCKET).send().await?;
        let second = second(&servers).s3()?;
        let body = pattern(5, 6 << 20);
        for upload in [true, false] {
            let started = Instant::now();
            if upload {
                put(&second, BUCKET, "key", &body).await?;
            } else {
                ensure!(get(&second, BUCKET, "key").await? == body, "other bytes");
            }
            // Two seconds' worth may be there at the beginning, in part.
            let took = started.elapsed();
            ensure!(
                took >= Duration::from_millis(1_800),
                "upload {upload}: {took:?}"
            );
        }
        let started = Instant::now();
        ensure!(get(&first, BUCKET, "key").await? == body, "other bytes");
        ensure!(
            started.elapsed() < Duration::from_millis(1_800),
            "another identity goes slower"
        );
        Ok(())
    })
    .await
    .with_context(|| servers.gateway.process.last_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_signatures_close_the_door_to_their_address_for_a_while() -> Result<()> {
    let bounds = "[limits.per_address]\nfailed_signatures_per_minute = 20\n";
    let servers = start("", &format!("{bounds}[limits]\nconcurrent_requests = 64\n"))?;
    bounded(LIMIT, async {
        let good = &servers.gateway.endpoint;
        good.s3()?.create_bucket().bucket(BUCKET).send().await?;
        let wrong = good.with_credentials(&good.access_key_id, "a guess at the secret");
        let unknown = good.with_credentials("SGUNKNOWN", "a guess at the secret");
        let mut refused = 0;
        for number in 0..30 {
            let guess = if number % 2 == 0 { &wrong } else { &unknown };
            let answer = head_bucket(guess).await?;
            ensure!(
                answer.status == 403 || is_slow_down(&answer),
                "{}",
                answer.status
            );
            refused += u32::from(answer.status == 503);
        }
        ensure!(refused >= 5, "only {refused} guesses were not looked at");
        // Once more, so that it is not the moment at which it opens.
        let mut held_back = is_slow_down(&head_bucket(good).await?);
        head_bucket(&wrong).await?;
        held_back |= is_slow_down(&head_bucket(good).await?);
        ensure!(held_back, "the address is looked at");
        let deadline = Instant::now() + Duration::from_secs(20);
        while head_bucket(good).await?.status != 200 {
            ensure!(Instant::now() < deadline, "the door never opens");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        ensure!(
            throttled(
                &servers,
                "bound=\"failed_signatures_per_minute\",client=\"address\""
            )
            .await?
        );
        Ok(())
    })
    .await
    .with_context(|| servers.gateway.process.last_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_answered_and_nothing_collapses() -> Result<()> {
    let servers = start("", "[limits]\nconcurrent_requests = 4\n")?;
    bounded(LIMIT, async {
        let endpoint = &servers.gateway.endpoint;
        let client = endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        put(&client, BUCKET, "key", &pattern(5, 2 << 20)).await?;
        let read = || async {
            RawRequest::new("GET", &format!("/{BUCKET}/key"))
                .sign(endpoint, Payload::Signed(b""), SystemTime::now())?
                .send(endpoint)
                .await
        };
        let answers = join_all((0..100).map(|_| read())).await;
        let answers: Vec<_> = answers.into_iter().collect::<Result<_>>()?;
        let good = answers.iter().filter(|answer| answer.status == 200);
        ensure!(
            good.clone()
                .all(|answer| answer.is_complete && answer.body.len() == 2 << 20)
        );
        let good = good.count();
        ensure!((4..100).contains(&good), "{good} of 100 were answered");
        ensure!(
            answers
                .iter()
                .all(|answer| answer.status == 200 || is_slow_down(answer))
        );
        ensure!(read().await?.status == 200);
        ensure!(servers.admin.readiness().await?.0);
        Ok(())
    })
    .await
    .with_context(|| servers.gateway.process.last_words())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_address_may_have_is_shared_by_its_identities_and_others_have_their_own()
-> Result<()> {
    // The address of a client is that which its proxy names.
    let bounds = "[limits.per_address]\nrequests_per_second = 5\nconcurrent_requests = 0\n";
    let servers = start("", bounds)?;
    bounded(LIMIT, async {
        let first = &servers.gateway.endpoint;
        first.s3()?.create_bucket().bucket(BUCKET).send().await?;
        let second = second(&servers);
        let answers = join_all(
            (0..40).map(|number| head_bucket(if number % 2 == 0 { first } else { &second })),
        )
        .await;
        let answers: Vec<_> = answers.into_iter().collect::<Result<_>>()?;
        let good = answers.iter().filter(|answer| answer.status == 200).count();
        ensure!((1..25).contains(&good), "{good} were answered");
        ensure!(
            answers
                .iter()
                .all(|answer| answer.status == 200 || is_slow_down(answer))
        );
        // Another address of this machine.
        let elsewhere = join_all((0..4).map(|_| head_bucket_from(first, "127.0.0.2"))).await;
        for status in elsewhere {
            ensure!(status? == 200, "another address is slowed down");
        }
        ensure!(throttled(&servers, "bound=\"requests_per_second\",client=\"address\"").await?);
        Ok(())
    })
    .await
    .with_context(|| servers.gateway.process.last_words())
}

/// The status of one request over a connection from this address.
async fn head_bucket_from(endpoint: &Endpoint, address: &str) -> Result<u16> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(format!("{address}:0").parse()?)?;
    let mut stream = socket.connect(endpoint.authority().parse()?).await?;
    let request = RawRequest::new("GET", &format!("/{BUCKET}?list-type=2&max-keys=1"))
        .sign(endpoint, Payload::Signed(b""), SystemTime::now())?
        .to_bytes(endpoint);
    stream.write_all(&request).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    let text = String::from_utf8_lossy(&received);
    let status = text.split(' ').nth(1).context("no answer")?;
    Ok(status.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_requests_at_once_of_one_address_are_bounded() -> Result<()> {
    let bounds = "[limits.per_address]\nbytes_per_second = \"2 MiB\"\nconcurrent_requests = 1\n";
    let servers = start("", bounds)?;
    bounded(LIMIT, async {
        let endpoint = &servers.gateway.endpoint;
        let client = endpoint.s3()?;
        client.create_bucket().bucket(BUCKET).send().await?;
        let body = pattern(5, 6 << 20);
        let started = Instant::now();
        put(&client, BUCKET, "key", &body).await?;
        let took = started.elapsed();
        ensure!(took >= Duration::from_millis(1_800), "{took:?}");
        // While an answer is under way, there is no place for a second request of this address.
        let answer = client.get_object().bucket(BUCKET).key("key").send();
        let reading = tokio::spawn(answer.await?.body.collect());
        ensure!(
            is_slow_down(&head_bucket(endpoint).await?),
            "there is a place beside a download"
        );
        ensure!(
            head_bucket_from(endpoint, "127.0.0.2").await? == 200,
            "another address has no place"
        );
        ensure!(reading.await??.into_bytes() == body);
        ensure!(throttled(&servers, "bound=\"concurrent_requests\",client=\"address\"").await?);
        Ok(())
    })
    .await
    .with_context(|| servers.gateway.process.last_words())
}
