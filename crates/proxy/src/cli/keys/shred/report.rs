//! What the command says, for people and for programs.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::certificate::Certificate;
use super::exclusivity::Refusal;
use super::moment::Moment;
use super::order::Order;
use super::prepare::Prepared;

/// What became of one order.
pub(super) enum Due {
    /// Its time has not come.
    Waiting(String, Moment),
    /// With the certificate's file and the date from which it is final.
    Done(String, PathBuf, Moment),
    /// Something speaks against it.
    Refused(String, Vec<Refusal>),
}

/// Says something beside the report.
pub(super) fn tell(line: &str) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "sealgate: {line}");
}

fn refusals_as_json(refusals: &[Refusal]) -> Vec<Value> {
    refusals
        .iter()
        .map(|refusal| json!({ "cause": refusal.cause, "fix": refusal.fix }))
        .collect()
}

fn refusals_as_text(refusals: &[Refusal]) -> String {
    let lines = refusals
        .iter()
        .map(|refusal| format!("refused: {}\n  to do: {}", refusal.cause, refusal.fix));
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn refused(domain: &str, refusals: &[Refusal]) -> (Value, String) {
    let document = json!({
        "domain": domain,
        "shredded": false,
        "refused": refusals_as_json(refusals),
    });
    (document, refusals_as_text(refusals))
}

pub(super) fn planned(domain: &str, prepared: &Prepared) -> (Value, String) {
    let plan = &prepared.plan;
    let keys: Vec<_> = plan
        .keys
        .iter()
        .map(|key| json!({ "key_service": key.key_service, "key": key.key, "full_name": key.full_name }))
        .collect();
    let document = json!({
        "domain": domain,
        "names": plan.names,
        "shredded": false,
        "dry_run": true,
        "keys": keys,
        "registry_records": plan.working_keys,
        "objects": plan.objects,
        "objects_of_others": prepared.census.objects_outside,
        "sample": plan.sample.len(),
        "refused": refusals_as_json(&prepared.refusals),
    });
    let mut lines = vec![format!(
        "{domain}: {} objects and {} registry records; {} objects of others were looked at",
        plan.objects, plan.working_keys, prepared.census.objects_outside
    )];
    for key in &plan.keys {
        let service = key.key_service.as_deref().unwrap_or("recovery key");
        lines.push(format!(
            "would be destroyed: {service}: {} ({})",
            key.full_name, key.key
        ));
    }
    if prepared.refusals.is_empty() {
        lines.push("nothing speaks against it".to_owned());
    } else {
        lines.push(refusals_as_text(&prepared.refusals));
    }
    (document, lines.join("\n"))
}

pub(super) fn done(order: &Order, certificate: &Certificate) -> anyhow::Result<Value> {
    Ok(json!({
        "domain": order.domain,
        "shredded": true,
        "final_from": certificate.final_from,
        "certificate_file": order.certificate,
        "certificate": serde_json::to_value(certificate)?,
        "refused": [],
    }))
}

pub(super) fn ordered(order: &Order) -> Value {
    json!({
        "domain": order.domain,
        "shredded": false,
        "ordered_for": order.not_before,
        "refused": [],
    })
}

pub(super) fn cancelled(domain: &str) -> Value {
    json!({ "domain": domain, "cancelled": true })
}

/// All orders; and whether each of what lies there is one.
pub(super) fn listing(orders: Vec<anyhow::Result<Order>>) -> (Value, String, bool) {
    let mut documents = Vec::new();
    let mut lines = Vec::new();
    let mut all_sound = true;
    for order in orders {
        match order {
            Ok(order) => {
                let state = if order.is_begun() { "begun" } else { "waiting" };
                lines.push(format!(
                    "{}: {state}, not before {}, ordered {} by {}, certificate {}",
                    order.domain,
                    order.not_before,
                    order.ordered,
                    order.ordered_by,
                    order.certificate.display()
                ));
                documents.push(json!({
                    "domain": order.domain,
                    "state": state,
                    "not_before": order.not_before,
                    "ordered": order.ordered,
                    "ordered_by": order.ordered_by,
                    "certificate_file": order.certificate,
                }));
            }
            Err(error) => {
                all_sound = false;
                lines.push(format!("NO ORDER: {error:#}"));
                documents.push(json!({ "state": "none", "cause": format!("{error:#}") }));
            }
        }
    }
    if lines.is_empty() {
        lines.push("nothing is ordered".to_owned());
    }
    (json!({ "orders": documents }), lines.join("\n"), all_sound)
}

pub(super) fn due(outcomes: &[anyhow::Result<Due>]) -> (Value, String) {
    let mut documents = Vec::new();
    let mut lines = Vec::new();
    for outcome in outcomes {
        let (document, line) = match outcome {
            Ok(Due::Waiting(domain, moment)) => (
                json!({ "domain": domain, "shredded": false, "ordered_for": moment }),
                format!("{domain}: not before {moment}"),
            ),
            Ok(Due::Done(domain, certificate, final_from)) => (
                json!({ "domain": domain, "shredded": true, "certificate_file": certificate, "final_from": final_from }),
                format!(
                    "{domain}: destroyed, final from {final_from}; certificate {}",
                    certificate.display()
                ),
            ),
            Ok(Due::Refused(domain, refusals)) => {
                let (document, text) = refused(domain, refusals);
                (document, format!("{domain}:\n{text}"))
            }
            Err(error) => (
                json!({ "shredded": false, "failed": format!("{error:#}") }),
                format!("FAILED: {error:#}"),
            ),
        };
        documents.push(document);
        lines.push(line);
    }
    if lines.is_empty() {
        lines.push("nothing is ordered".to_owned());
    }
    (json!({ "orders": documents }), lines.join("\n"))
}
