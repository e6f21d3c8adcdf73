//! What commands in the state bucket make a gateway do.

use http::Method;

use super::{Rig, between, content, request};
use crate::{
    gateway::control_watch::Followed,
    state::control::{Command, Order},
};

fn rotate() -> Command {
    Command::new(Order::Rotate { domain: None }).unwrap()
}

impl Rig {
    fn generates(&self) -> u64 {
        self.gateway.keyring.status().key_services[0].generates
    }
}

#[tokio::test]
async fn rotations_that_are_found_together_are_one_and_a_flush_comes_before_them() {
    let rig = Rig::start("").await;
    rig.put("a", "content").await.unwrap();
    let before = rig.generates();
    let mut commands: Vec<_> = (0..31).map(|_| rotate()).collect();
    let mut followed = Followed::default();
    assert!(rig.gateway.follow(commands.clone(), &mut followed).await);
    assert_eq!(rig.generates(), before + 1);
    // Others that come soon after wait; a flush does not, and leaves nothing to rotate.
    commands.truncate(10);
    commands.push(rotate());
    commands.push(Command::new(Order::Flush).unwrap());
    assert!(rig.gateway.follow(commands.clone(), &mut followed).await);
    assert_eq!(rig.gateway.keyring.status().sealing_keys, 0);
    assert!(!rig.gateway.follow(commands, &mut followed).await);
    assert_eq!(rig.generates(), before + 1);
}

#[tokio::test]
async fn a_flush_reaches_open_uploads() {
    let rig = Rig::start("").await;
    let created = rig
        .text(request(Method::POST, "parts").query("uploads="))
        .await;
    let id = between(&created, "<UploadId>", "</UploadId>").to_owned();
    let part = |number: u32| {
        request(Method::PUT, "parts")
            .query(format!("partNumber={number}&uploadId={id}"))
            .bytes(content(5 << 20))
    };
    let state = rig.gateway.state.name().to_owned();
    let asks = || {
        let seen = rig.storage.take_seen();
        seen.iter()
            .filter(|seen| seen.bucket == state && seen.method == Method::GET)
            .count()
    };
    rig.call(part(1)).await.unwrap();
    asks();
    rig.call(part(2)).await.unwrap();
    assert_eq!(asks(), 0, "its keys are remembered");
    let flush = vec![Command::new(Order::Flush).unwrap()];
    rig.gateway.follow(flush, &mut Followed::default()).await;
    rig.call(part(3)).await.unwrap();
    assert!(asks() > 0, "its record is read anew");
}
