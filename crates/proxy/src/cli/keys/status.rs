//! `sealgate keys status`: key services, domains, the registry, and what gateways say of themselves.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::super::output;
use super::super::service::runtime;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::gateway::key_status::{DomainStatus, KeyServiceFinding, RegistryStatus};
use crate::gateway::now_in_milliseconds;
use crate::logging;
use crate::state::control::{Control, ReplicaRecord};

/// Show key services, domains, the registry of working keys, and what running gateways count
///
/// Each key service is asked about its key; nothing is unwrapped. What gateways count, and what registry records say of
/// their domain and age, comes from the storage and is authenticated by nobody.
///
/// The exit status is 0 if every domain can have new working keys, and the state bucket can be read.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealgate keys status\n  sealgate keys status --json | jq '.domains[] | select(.quorum | not)'"
)]
pub(super) struct StatusArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "sealgate.toml")]
    config: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug)]
struct Status {
    key_services: Vec<KeyServiceFinding>,
    domains: Vec<DomainStatus>,
    registry: Result<RegistryStatus, String>,
    gateways: Result<Vec<ReplicaRecord>, String>,
}

pub(super) fn run(arguments: &StatusArguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    logging::start_for_command(config.log)?;
    let status = runtime()?.block_on(ask(config))?;
    output::line(&if arguments.json {
        serde_json::to_string_pretty(&status.as_json())?
    } else {
        status.as_text()
    })?;
    status.judge()
}

async fn ask(config: Config) -> anyhow::Result<Status> {
    let gateway = Gateway::observer(config).await?;
    let key_services = gateway.describe_key_services().await;
    let domains = gateway.domain_status(&key_services);
    Ok(Status {
        registry: gateway
            .registry_status(&key_services)
            .await
            .map_err(|error| format!("{error:#}")),
        gateways: Control::new(gateway.state.clone())
            .replicas()
            .await
            .map_err(|error| error.to_string()),
        key_services,
        domains,
    })
}

impl Status {
    /// Refuses what is not well, and what nobody knows.
    fn judge(&self) -> anyhow::Result<()> {
        let unread = self.registry.as_ref().err();
        if let Some(error) = unread.or(self.gateways.as_ref().err()) {
            anyhow::bail!("the state bucket can't be read: {error}");
        }
        anyhow::ensure!(
            self.domains.iter().all(|domain| domain.has_quorum),
            "a domain has fewer usable key services than required_wraps: it gets no new working keys"
        );
        Ok(())
    }

    fn as_json(&self) -> Value {
        let services = self.key_services.iter().map(|service| {
            json!({
                "name": service.name, "provider": service.provider, "key": service.key,
                "usable": service.obstacle.is_none(), "obstacle": service.obstacle,
            })
        });
        let domains = self.domains.iter().map(|domain| {
            json!({
                "domain": domain.name, "key_services": domain.key_services,
                "required_wraps": domain.required_wraps, "usable": domain.usable, "quorum": domain.has_quorum,
            })
        });
        let registry = match &self.registry {
            Ok(registry) => {
                let of_domain = registry.domains.iter().map(|(name, records)| {
                    json!({
                        "domain": name, "records": records.count, "oldest": records.oldest, "newest": records.newest,
                        "without_a_configured_wrap": records.lacking, "with_wraps_by_other_keys": records.foreign,
                    })
                });
                json!({ "records": registry.records, "unreadable": registry.unreadable, "domains": of_domain.collect::<Vec<_>>() })
            }
            Err(error) => json!({ "error": error }),
        };
        let gateways = match &self.gateways {
            Ok(records) => json!(records),
            Err(error) => json!({ "error": error }),
        };
        json!({
            "key_services": services.collect::<Vec<_>>(),
            "domains": domains.collect::<Vec<_>>(),
            "registry": registry,
            "gateways_unauthenticated": gateways,
        })
    }

    fn as_text(&self) -> String {
        let mut lines = vec!["key services".to_owned()];
        for service in &self.key_services {
            let state = service.obstacle.as_deref().unwrap_or("can be used");
            lines.push(format!(
                "  {}  {}  {}: {state}",
                service.name, service.provider, service.key
            ));
        }
        lines.push("domains".to_owned());
        for domain in &self.domains {
            let word = if domain.has_quorum {
                "quorum met"
            } else {
                "NO QUORUM"
            };
            lines.push(format!(
                "  {}: {word}, {} of {} key services usable ({}), {} required",
                domain.name,
                domain.usable,
                domain.key_services.len(),
                domain.key_services.join(", "),
                domain.required_wraps
            ));
        }
        match &self.registry {
            Ok(registry) => {
                lines.push(format!(
                    "registry: {} working keys, {} records unreadable",
                    registry.records, registry.unreadable
                ));
                for (name, records) in &registry.domains {
                    lines.push(format!(
                        "  {name}: {} working keys, made {} to {} days ago; {} lack a wrap that the domain asks for, {} have wraps by keys that are not configured",
                        records.count,
                        days_since(records.newest),
                        days_since(records.oldest),
                        records.lacking,
                        records.foreign
                    ));
                }
            }
            Err(error) => lines.push(format!("registry: {error}")),
        }
        match &self.gateways {
            Ok(records) => {
                lines.push(format!(
                    "gateways, by what they wrote themselves into the state bucket: {}",
                    records.len()
                ));
                lines.extend(records.iter().flat_map(gateway_lines));
            }
            Err(error) => lines.push(format!("gateways: {error}")),
        }
        lines.join("\n")
    }
}

fn gateway_lines(record: &ReplicaRecord) -> Vec<String> {
    let mut lines = vec![format!(
        "  {}: {} working keys cached, the oldest for {} s; {} hits, {} misses, {} failures, {} served in an outage",
        record.host,
        record.cached_keys,
        record.oldest_cached_key,
        record.hits,
        record.misses,
        record.failures,
        record.outage_hits
    )];
    for service in &record.key_services {
        lines.push(format!(
            "    {}: {} generates, {} wraps, {} unwraps; {} outages, {} refusals, {} calls spared",
            service.name,
            service.generates,
            service.wraps,
            service.unwraps,
            service.outages,
            service.refusals,
            service.spared
        ));
    }
    lines
}

fn days_since(milliseconds: u64) -> u64 {
    now_in_milliseconds().saturating_sub(milliseconds) / (24 * 3_600 * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_well() {
        let status = |gateways: Result<Vec<ReplicaRecord>, String>| Status {
            key_services: Vec::new(),
            domains: Vec::new(),
            registry: Ok(RegistryStatus::default()),
            gateways,
        };
        status(Ok(Vec::new())).judge().unwrap();
        let error = status(Err("refused".to_owned())).judge().unwrap_err();
        assert!(error.to_string().ends_with("refused"), "{error}");
        let unread = Status {
            registry: Err("away".to_owned()),
            ..status(Ok(Vec::new()))
        };
        assert!(unread.judge().unwrap_err().to_string().ends_with("away"));
    }
}
