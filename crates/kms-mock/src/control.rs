//! The control address: faults are set there while the server runs, apart from the protocol that clients speak.
//!
//! ```text
//! GET    /faults    {"faults": [{…, "struck": 2, "active": true}]}
//! PUT    /faults    {"faults": [{…}]} instead of those before; answers as GET
//! DELETE /faults    none; answers as GET
//! ```
//!
//! It asks for no credentials, so it listens on loopback addresses alone.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::faults::{Fault, Faults};
use crate::listener::ACCEPT_PAUSE;

/// Longest body: room for as many faults as there may be.
const MAX_BODY: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    faults: Vec<Fault>,
}

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, faults: Faults) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let faults = faults.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request| {
                let faults = faults.clone();
                async move { Ok::<_, Infallible>(respond(&faults, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = connection.await {
                tracing::debug!(%error, %remote, "control connection ended early");
            }
        });
    }
}

async fn respond(faults: &Faults, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let changed = match (request.method(), request.uri().path()) {
        (&Method::GET, "/faults") => Ok(()),
        (&Method::DELETE, "/faults") => set(faults, Vec::new()),
        (&Method::PUT, "/faults") => {
            match Limited::new(request.into_body(), MAX_BODY).collect().await {
                Ok(body) => serde_json::from_slice::<Wanted>(&body.to_bytes())
                    .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
                    .and_then(|wanted| set(faults, wanted.faults)),
                Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
            }
        }
        (_, "/faults") => Err((
            StatusCode::METHOD_NOT_ALLOWED,
            "faults take GET, PUT and DELETE".to_owned(),
        )),
        _ => Err((
            StatusCode::NOT_FOUND,
            "this address has /faults and nothing else".to_owned(),
        )),
    };
    let (status, document) = match changed {
        Ok(()) => (StatusCode::OK, json!({ "faults": faults.status() })),
        Err((status, message)) => (status, json!({ "message": message })),
    };
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn set(faults: &Faults, wanted: Vec<Fault>) -> Result<(), (StatusCode, String)> {
    faults
        .set(wanted)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}
