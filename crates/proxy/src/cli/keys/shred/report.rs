//! What the command says, for people and for programs.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::certificate::Certificate;
use super::exclusivity::Refusal;
use super::fate::Fate;
use super::look::Looked;
use super::moment::Moment;
use super::order::Order;
use super::orders::{Ended, Ending, Stored};
use super::plan::{KeyState, Plan, PlannedKey};

/// What became of one order.
pub(super) enum Due {
    /// Its time has not come.
    Waiting(String, Moment),
    /// With the certificate, and its file.
    Done(String, PathBuf, Box<Certificate>),
    /// It ended before, and its file was put back.
    Ended(Ended, PathBuf),
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

pub(super) fn planned(domain: &str, looked: &Looked) -> (Value, String) {
    let plan = &looked.plan;
    let keys: Vec<_> = plan
        .keys
        .iter()
        .map(|PlannedKey { chosen, .. }| {
            json!({ "key_service": chosen.key_service, "key": chosen.key, "full_name": chosen.full_name, "place": chosen.place })
        })
        .collect();
    let document = json!({
        "domain": domain,
        "names": plan.names,
        "shredded": false,
        "dry_run": true,
        "keys": keys,
        "buckets": plan.buckets,
        "notes": plan.notes,
        "registry_records": plan.records.len(),
        "objects": plan.objects,
        "objects_of_others": looked.census.objects_outside,
        "sample": plan.sample.len(),
        "refused": refusals_as_json(&looked.refusals),
    });
    let mut lines = vec![if plan.buckets.is_empty() {
        format!("{domain}: no object was looked at")
    } else {
        format!(
            "{domain}: {} objects and {} registry records; {} objects of others were looked at, in {}",
            plan.objects,
            plan.records.len(),
            looked.census.objects_outside,
            plan.buckets.join(", ")
        )
    }];
    for PlannedKey { chosen, .. } in &plan.keys {
        lines.push(format!(
            "would be destroyed: {}: {} ({}) at {}",
            chosen.service(),
            chosen.full_name,
            chosen.key,
            chosen.place
        ));
    }
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    if looked.refusals.is_empty() {
        lines.push("nothing speaks against it".to_owned());
    } else {
        lines.push(refusals_as_text(&looked.refusals));
    }
    (document, lines.join("\n"))
}

/// What would become of each key: exactly what a confirmation counts for.
pub(super) fn keys_to_confirm(order: &Order, plan: &Plan) -> Vec<String> {
    let keys = plan.keys.iter().map(|key| {
        let PlannedKey { chosen, state, .. } = key;
        let state = match state {
            KeyState::Planned if key.was_asked => {
                " [to be destroyed; it was asked for before, and can be used]".to_owned()
            }
            KeyState::Planned if key.may_have_been_asked => {
                " [to be destroyed; it may have been asked for before, and can be used]".to_owned()
            }
            KeyState::Planned => " [to be destroyed]".to_owned(),
            KeyState::Asked | KeyState::Overwritten => {
                " [its file holds zeros, or is gone]".to_owned()
            }
            KeyState::Destroyed(destroyed) if destroyed.final_from > Moment::now() => {
                format!(" [done, final from {}]", destroyed.final_from)
            }
            KeyState::Destroyed(_) => " [done]".to_owned(),
            KeyState::ByWord(known) => format!(" [NOT CONFIRMED: {known}]"),
        };
        let shown = key.shown.as_ref();
        let shown = shown.map_or_else(String::new, |shown| format!(" [now {shown}]"));
        format!(
            "  {}: {} ({}) at {}{state}{shown}",
            chosen.service(),
            chosen.full_name,
            chosen.key,
            chosen.place
        )
    });
    let stated = order.stated.iter();
    let stated = stated.map(|key| format!("  destroyed already, as you state: {key}"));
    keys.chain(stated).collect()
}

/// What is shown before it is confirmed.
pub(super) fn to_confirm(order: &Order, plan: &Plan) -> String {
    let mut lines = vec![format!(
        "this destroys for ever, so that nothing of {} opens any more ({} objects in {}):",
        order.domain,
        plan.objects,
        plan.buckets.join(", ")
    )];
    lines.extend(keys_to_confirm(order, plan));
    lines.extend(plan.notes.iter().map(|note| format!("  note: {note}")));
    if let Some(cause) = &order.progress.needs_confirmation {
        lines.push(format!("  it has to be confirmed, since {cause}"));
    }
    lines.join("\n")
}

/// What is said of an order that ended and whose file is there again.
pub(super) fn ended(ended: &Ended, path: &Path) -> String {
    format!(
        "the order for {} was {} at {}, and its file was put back, or was left by a run that was killed then: nothing is done by it; remove {}",
        ended.domain,
        ended.how.name(),
        ended.at,
        path.display()
    )
}

pub(super) fn done(order: &Order, certificate: &Certificate) -> anyhow::Result<Value> {
    Ok(json!({
        "domain": order.domain,
        "shredded": true,
        "final_from": certificate.final_from,
        "not_confirmed": certificate.not_confirmed,
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

/// What is said of an order whose time has not come.
pub(super) fn waits(order: &Order) -> String {
    format!(
        "ordered: {} is destroyed by the first `sealgate keys shred --due` after {}, if nothing speaks against it then; --cancel takes it back",
        order.domain, order.not_before
    )
}

pub(super) fn cancelled(domain: &str, how: Ending, keys: &[(&PlannedKey, &Fate)]) -> Value {
    let gone = keys
        .iter()
        .filter(|(_, fate)| matches!(fate, Fate::Gone(_)))
        .map(|(key, _)| &key.chosen);
    json!({
        "domain": domain,
        "cancelled": true,
        "how": how,
        "gone_for_good": gone.collect::<Vec<_>>(),
    })
}

/// All orders; and whether each of what lies there is one.
pub(super) fn listing(orders: Vec<anyhow::Result<Stored>>) -> (Value, String, bool) {
    let mut documents = Vec::new();
    let mut lines = Vec::new();
    let mut all_sound = true;
    for order in orders {
        match order {
            Ok(Stored::Order(order)) => {
                let state = order.stage();
                let keys: Vec<_> = order.keys.iter().map(|key| &key.key).collect();
                lines.push(format!(
                    "{}: {state}, not before {}, ordered {} by {}, certificate {}",
                    order.domain,
                    order.not_before,
                    order.ordered,
                    order.ordered_by,
                    order.certificate.display()
                ));
                if let Some(cause) = &order.progress.needs_confirmation {
                    lines.push(format!("  confirm it with --domain: {cause}"));
                }
                for key in &order.keys {
                    let (service, full_name) = (key.service(), &key.full_name);
                    lines.push(format!("  {service}: {full_name} ({})", key.key));
                }
                documents.push(json!({
                    "domain": order.domain,
                    "state": state,
                    "cause": order.progress.needs_confirmation,
                    "keys": keys,
                    "not_before": order.not_before,
                    "ordered": order.ordered,
                    "ordered_by": order.ordered_by,
                    "certificate_file": order.certificate,
                }));
            }
            Ok(Stored::Ended(ended, path)) => {
                lines.push(self::ended(&ended, &path));
                documents.push(json!({
                    "domain": ended.domain,
                    "state": "ended",
                    "how": ended.how,
                    "file": path,
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
            Ok(Due::Done(domain, file, certificate)) => (
                json!({
                    "domain": domain,
                    "shredded": true,
                    "certificate_file": file,
                    "final_from": certificate.final_from,
                    "not_confirmed": certificate.not_confirmed,
                }),
                match certificate.final_from {
                    Some(date) => {
                        format!(
                            "{domain}: destroyed, final from {date}; certificate {}",
                            file.display()
                        )
                    }
                    None => format!(
                        "{domain}: carried out, and NOT CONFIRMED for every key; see the certificate {}",
                        file.display()
                    ),
                },
            ),
            Ok(Due::Ended(ended, path)) => (
                json!({ "domain": ended.domain, "shredded": false, "ended": ended.how, "file": path }),
                self::ended(ended, path),
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
