//! How a body arrives: in frames of any size, with pauses, and with a connection that fails.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;

use super::plaintext_tests::{HELLO, block_on, crc64, headers, settings};
use super::*;
use crate::auth::PayloadMode;

#[test]
fn http_trailers_and_empty_frames_are_skipped() {
    let frames = [
        Frame::data(Bytes::new()),
        Frame::data(Bytes::from_static(b"hel")),
        Frame::data(Bytes::new()),
        Frame::data(Bytes::from_static(b"lo")),
        Frame::trailers(headers(&[("x", "y")])),
    ];
    let stream = futures_util::stream::iter(frames.map(Ok::<_, Infallible>));
    let length = headers(&[("content-length", "5")]);
    let mut body = PlaintextBody::new(
        StreamBody::new(stream),
        &length,
        &PayloadMode::Unsigned,
        settings(),
    )
    .unwrap();
    assert_eq!(block_on(body.collect(5)).unwrap(), HELLO);
}

#[test]
fn a_failed_connection_is_for_ever() {
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"hel"))),
        Err(std::io::Error::other("reset")),
    ];
    let stream = futures_util::stream::iter(frames);
    let length = headers(&[("content-length", "5")]);
    let mut body = PlaintextBody::new(
        StreamBody::new(stream),
        &length,
        &PayloadMode::Unsigned,
        settings(),
    )
    .unwrap();
    block_on(async {
        assert_eq!(body.next().await.unwrap().unwrap(), "hel");
        for _ in 0..2 {
            let error = body.next().await.unwrap_err();
            assert!(
                matches!(&error, BodyError::Transport(cause) if cause.to_string() == "reset"),
                "{error:?}"
            );
        }
    });
}

#[test]
fn silence_ends_and_cancelling_loses_nothing() {
    block_on(async {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        let settings = BodySettings {
            idle_timeout: Duration::from_millis(300),
            ..settings()
        };
        let length = headers(&[("content-length", "5")]);
        let body = StreamBody::new(Box::pin(stream));
        let mut body = PlaintextBody::new(body, &length, &PayloadMode::Unsigned, settings).unwrap();
        assert!(
            tokio::time::timeout(Duration::from_millis(10), body.next())
                .await
                .is_err()
        );
        sender
            .send(Ok(Frame::data(Bytes::from_static(b"hel"))))
            .await
            .unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), "hel");
        for _ in 0..2 {
            let error = body.next().await.unwrap_err();
            assert!(
                matches!(error, BodyError::RequestTimeout { idle } if idle == settings.idle_timeout),
                "{error:?}"
            );
        }
    });
}

proptest! {
    #[test]
    fn any_division_into_frames_gives_the_same(
        plaintext in proptest::collection::vec(any::<u8>(), 0..30_000),
        chunk in 8_192_usize..10_000,
        frame in 50_usize..9_000,
    ) {
        let mut body = Vec::new();
        for chunk in plaintext.chunks(chunk) {
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        let checksum = Checksum::from_crc64nvme(crc64(&plaintext));
        body.extend_from_slice(format!("0\r\nx-amz-checksum-crc64nvme:{checksum}\r\n\r\n").as_bytes());
        let frames: Vec<_> = body
            .chunks(frame)
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let length = plaintext.len().to_string();
        let headers = headers(&[
            ("x-amz-decoded-content-length", &length),
            ("x-amz-trailer", "x-amz-checksum-crc64nvme"),
        ]);
        let stream = StreamBody::new(futures_util::stream::iter(frames));
        let mode = PayloadMode::StreamingUnsignedTrailer;
        let mut body = PlaintextBody::new(stream, &headers, &mode, settings()).unwrap();
        let collected = block_on(body.collect(plaintext.len()));
        prop_assert_eq!(collected.unwrap(), plaintext);
        prop_assert_eq!(body.verified().unwrap().client_checksum, Some(checksum));
    }
}
