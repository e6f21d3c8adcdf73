//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use sealgate_kms_mock::{DEFAULT_ACCOUNT, DEFAULT_REGION};

const EXAMPLES: &str = "\
Examples:
  Keys that last, with an access key made on the first run:
    sealgate-kms-mock --listen 127.0.0.1:4599 --state-dir ./kms \\
      --credentials ./kms-credentials.json --create-credentials --create-alias alias/dev

  Keys in memory, for one test, with an access key from the environment:
    SECRET=a-long-secret sealgate-kms-mock \\
      --principal name=test,access-key-id=AKIATEST,secret=env:SECRET,operations=*

  Two principals, one of which may only decrypt, over TLS, with a request log:
    sealgate-kms-mock --state-dir ./kms --request-log ./kms-requests.jsonl \\
      --principal name=admin,access-key-id=AKIAADMIN,secret=file:admin.secret,operations=* \\
      --principal name=reader,access-key-id=AKIAREADER,secret=file:reader.secret,operations=Decrypt+DescribeKey \\
      --tls-cert server.pem --tls-key server.key

  Faults for a test of outages: the next three decryptions are throttled, the control URL is printed at the start:
    sealgate-kms-mock --credentials ./kms-credentials.json --control 127.0.0.1:4600
    curl -X PUT http://127.0.0.1:4600/faults \\
      -d '{\"faults\": [{\"operations\": [\"Decrypt\"], \"times\": 3, \"then\": {\"error\": \"ThrottlingException\"}}]}'

  The AWS command line against it:
    aws --endpoint-url http://127.0.0.1:4599 --region us-east-1 kms list-keys

When it serves it prints one line on standard output, 'ready ' and its URL, with --control one with 'control ' before; logs go to standard error.
It is made for development and tests: key material lies unencrypted in the state directory.";

/// A key server that speaks the AWS KMS protocol, for development and tests.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Arguments {
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,

    /// Directory that keeps the keys (created with mode 0700). Without it they end with the process.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) state_dir: Option<PathBuf>,

    /// A principal: name=NAME,access-key-id=ID,secret=SOURCE,operations=A+B. SOURCE is env:VARIABLE or file:PATH;
    /// operations may be * for all. May be repeated.
    #[arg(long, value_name = "PRINCIPAL")]
    pub(crate) principal: Vec<String>,

    /// JSON file with principals: {"principals": [{"name", "access_key_id", "secret_access_key", "operations"}]}.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// Makes the credentials file, with one principal that may do everything, when it is not there.
    #[arg(long, requires = "credentials")]
    pub(crate) create_credentials: bool,

    /// An alias to have: with the key it points to, or a new one. May be repeated.
    #[arg(long, value_name = "alias/NAME")]
    pub(crate) create_alias: Vec<String>,

    /// Region that ARNs name and requests must be signed for.
    #[arg(long, default_value = DEFAULT_REGION)]
    pub(crate) region: String,

    /// Further region to answer for, where ReplicateKey puts replicas of multi-Region keys. May be repeated.
    #[arg(long, value_name = "REGION")]
    pub(crate) replica_region: Vec<String>,

    /// Account that ARNs name.
    #[arg(long, value_name = "12 DIGITS", default_value = DEFAULT_ACCOUNT)]
    pub(crate) account: String,

    /// Certificate chain (PEM) to serve TLS with.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key (PEM) of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// File to append one line of JSON to for each request (created with mode 0600).
    #[arg(long, value_name = "FILE")]
    pub(crate) request_log: Option<PathBuf>,

    /// Loopback address for GET, PUT and DELETE /faults, which delay requests and fail them on request. It asks for no
    /// credentials; without this option no fault can be set.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) control: Option<SocketAddr>,

    /// Logs on standard error as JSON; RUST_LOG sets what is logged.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
        let parse =
            |words: &[&str]| Arguments::try_parse_from([&["sealgate-kms-mock"], words].concat());
        assert!(parse(&[]).is_ok());
        assert!(
            parse(&["--create-credentials"]).is_err(),
            "needs --credentials"
        );
        assert!(parse(&["--tls-cert", "a"]).is_err(), "needs --tls-key");
    }
}
