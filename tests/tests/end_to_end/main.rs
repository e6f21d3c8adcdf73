//! The gateway between real clients and a real storage. Run them with `./test`, or `./test --only NAME`.

mod addressing;
mod admin;
mod bad_input;
mod conformance;
mod dev;
mod expect_continue;
mod export;
mod hostile_commands;
mod http_1;
mod http_2;
mod key_life;
mod key_server_down;
mod key_services;
mod main_job;
mod metrics;
mod migration;
mod proxies;
mod recovery;
mod restart;
mod retirement;
mod rotation_cost;
mod second_reader;
#[cfg(target_os = "linux")]
mod secrets_in_memory;
mod shredding;
mod signed_chunks;
mod stored;
mod surface;
mod tampering;
mod tls;
mod two_gateways;
mod upstream_connections;
mod verify;
mod write_only;
