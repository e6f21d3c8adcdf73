//! A response that occupies its place among the concurrent requests until its body has been sent.

use http::Response;
use http_body_util::BodyExt;

use super::places::Place;
use crate::{
    held_body::HeldBody,
    operation::ResponseBody,
    throttle::{Pace, Paced},
};

/// Ties a place to the life of a response's body, which is sent no faster than `pace` allows.
pub(super) fn hold(
    response: Response<ResponseBody>,
    place: Place,
    pace: Pace,
) -> Response<ResponseBody> {
    response.map(|body| {
        let body = HeldBody::new(body, place);
        if pace.is_free() {
            body.boxed_unsync()
        } else {
            Paced::new(body, pace).boxed_unsync()
        }
    })
}
