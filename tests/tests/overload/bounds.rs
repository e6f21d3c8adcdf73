//! The limits of a gateway under test, and the memory that follows from them.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use sealgate_tests::process_resources::{hard_limit, limit};

/// What docs/operations.md says that a gateway takes at most, in MiB: by itself, without what long use has it remember; and in KiB: for each of what there
/// is many of.
const PROGRAM: u64 = 80;
const EACH_CONNECTION: u64 = 80;
pub(crate) const EACH_CONNECTION_OVER_TLS: u64 = 320;
pub(crate) const EACH_REQUEST: u64 = 2 << 10;

/// Files and connections that neither clients nor their requests need.
const OTHER_DESCRIPTORS: u64 = 256;

/// What a gateway is told of `[limits]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) connections: u64,
    /// What one address keeps of them; none where it is left to the gateway.
    pub(crate) of_an_address: Option<u64>,
    pub(crate) requests: u64,
    /// Of each kind without a signature.
    pub(crate) unsigned: u64,
    /// How many signed ones may be of the crowd, all together.
    pub(crate) crowd: u64,
    /// For small objects, in MiB.
    pub(crate) small_objects: u64,
    /// For documents, in MiB.
    pub(crate) documents: u64,
    /// Seconds that a head may take, and that a body may stand still.
    pub(crate) header_timeout: u64,
    pub(crate) idle_timeout: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 512,
            of_an_address: None,
            requests: 16,
            unsigned: 4,
            crowd: 12,
            small_objects: 4,
            documents: 17,
            header_timeout: 30,
            idle_timeout: 30,
        }
    }
}

impl Bounds {
    /// Clients of the crowd: ten times as many as there are places for them.
    pub(crate) fn tenfold(&self) -> u64 {
        10 * self.crowd
    }

    /// The tables of the configuration.
    pub(crate) fn tables(&self) -> Result<String> {
        let mut text = String::new();
        writeln!(
            text,
            "\n[[identity]]\nname = \"crowd\"\nlimits = {{ concurrent_requests = {} }}\n\
             [[identity.credential]]\naccess_key_id = \"SGCROWD\"\nsecret_access_key = \"env:CROWD_SECRET\"\n",
            self.crowd
        )?;
        writeln!(
            text,
            "[limits]\nconnections = {}\nconcurrent_requests = {}\nunsigned_requests = {}\nsmall_object_memory = \"{} MiB\"\n\
             document_memory = \"{} MiB\"\nheader_timeout = \"{}s\"\nidle_timeout = \"{}s\"\n",
            self.connections,
            self.requests,
            self.unsigned,
            self.small_objects,
            self.documents,
            self.header_timeout,
            self.idle_timeout
        )?;
        if let Some(share) = self.of_an_address {
            writeln!(text, "connections_per_address = {share}")?;
        }
        Ok(text)
    }

    /// The memory that the gateway may take at most, in KiB.
    pub(crate) fn memory(&self, is_tls: bool) -> u64 {
        let each_connection = if is_tls {
            EACH_CONNECTION_OVER_TLS
        } else {
            EACH_CONNECTION
        };
        let whole = PROGRAM + 2 * self.small_objects + 4 * self.documents;
        let requests = self.requests + 3 * self.unsigned;
        (whole << 10) + self.connections * each_connection + requests * EACH_REQUEST
    }
}

/// Lets this process have as many connections, and whatever it starts that many and those to the storage.
pub(crate) fn allow_connections(count: u64) -> Result<()> {
    let own = std::process::id();
    let needed = count + OTHER_DESCRIPTORS;
    let hard = hard_limit(own, "Max open files")?;
    ensure!(
        hard == "unlimited" || hard.parse::<u64>()? >= needed,
        "{count} connections need {needed} descriptors in a process, and the hard limit here is {hard}; raise it (ulimit -Hn, LimitNOFILE=, --ulimit nofile=)"
    );
    // As many as may be, and not only as are needed: other tests run in this process at the same time.
    limit(own, "nofile", &hard)
}
