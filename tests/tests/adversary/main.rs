//! A storage provider that lies, against a real gateway: everything that docs/adversary.md lists, for every kind of object. Run it with
//! `./test --only adversary`.

#![expect(
    clippy::indexing_slicing,
    reason = "bytes that are not where they have to be are a failure of the test"
)]

mod alterations;
mod bodies;
mod dripping;
mod headers;
mod judgement;
mod keys;
mod lines;
mod material;
mod random;
mod reads;
mod scene;
mod state;
mod transport;
mod uploads;
