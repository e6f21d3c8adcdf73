//! What a decision costs: `cargo run --release -p sealgate-access --example decision_cost`.
//!
//! A GET asks two questions, `s3:GetObject` and `decrypt`. The policies are those of a deployment with 100 tenants, a rule for each, and two
//! rules for everybody that forbid.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

use std::{hint::black_box, time::Instant};

use sealgate_access::{
    Action, Circumstances, Engine, Principal, Principals, Question, Resource, Rule,
};
use time::OffsetDateTime;

const TENANTS: usize = 100;
const ROUNDS: u32 = 20_000;

fn main() {
    let mut principals = Principals::default();
    let mut rules = Vec::new();
    for tenant in 0..TENANTS {
        principals.add(format!("tenant-{tenant}"), []);
        rules.push(Rule {
            id: format!("tenant-{tenant}"),
            identities: vec![format!("tenant-{tenant}")],
            allow: vec!["reader".to_owned(), "writer".to_owned()],
            buckets: vec!["data".to_owned()],
            prefixes: vec![format!("tenant-{tenant}/")],
            ..Rule::default()
        });
    }
    for id in ["drawer", "archive"] {
        rules.push(Rule {
            id: id.to_owned(),
            identities: vec!["*".to_owned()],
            deny: vec!["decrypt".to_owned(), "s3:PutObject".to_owned()],
            prefixes: vec![format!("{id}/")],
            ..Rule::default()
        });
    }
    let started = Instant::now();
    let engine = Engine::compile(&principals, &rules, &[]).unwrap();
    println!(
        "{} Cedar policies compiled in {:?}",
        engine.policy_count(),
        started.elapsed()
    );
    let circumstances = Circumstances::local(OffsetDateTime::now_utc());
    for action in [
        Action::GET_OBJECT,
        Action::DECRYPT,
        Action::PUT_BUCKET_POLICY,
    ] {
        let question = Question {
            principal: Principal::Identity("tenant-7"),
            action,
            resource: Resource::Object {
                bucket: "data",
                key: "tenant-7/2026/11/26/report.pdf",
            },
            circumstances: &circumstances,
        };
        engine.decide(&question);
        let started = Instant::now();
        for _ in 0..ROUNDS {
            black_box(engine.decide(black_box(&question)));
        }
        let decision = engine.decide(&question);
        println!(
            "{action}: {:?} each ({decision})",
            started.elapsed() / ROUNDS
        );
    }
}
