//! The gateway between real clients and a real storage. Run them with `./test`, or `./test --only NAME`.

mod bad_input;
mod conformance;
mod dev;
mod expect_continue;
mod export;
mod key_server_down;
mod main_job;
mod migration;
mod restart;
mod second_reader;
mod surface;
mod tampering;
mod tls;
mod two_gateways;
