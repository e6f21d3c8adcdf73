//! `sealgate-gate`: runs each case of the hot path once, for `benches/gate/check` to count.
//!
//! Prints the names in the order in which they run, with their allocations, as JSON. Under callgrind, [`measured`] is where counting begins and
//! ends, so that what a case needs to be made ready is not in it.

mod chunked;
mod envelope;
mod listing;
mod signatures;
mod trailer;

use std::io::Write as _;

use serde_json::{Map, json};

/// Something to count: ready to run, any number of times.
type Case = Box<dyn FnMut() -> anyhow::Result<()>>;

/// callgrind is told to count in here alone, by this name.
#[inline(never)]
fn measured(case: &mut Case) -> anyhow::Result<()> {
    case()
}

fn main() -> anyhow::Result<()> {
    let cases: Vec<(&str, Case)> = vec![
        ("seal 1 MiB", envelope::seal()?),
        ("open 1 MiB", envelope::open()?),
        ("header, seal", envelope::seal_header()?),
        ("header, parse", envelope::parse_header()?),
        ("header, open", envelope::open_header()?),
        ("aws-chunked 1 MiB, unsigned", chunked::unsigned()),
        ("aws-chunked 1 MiB, signed", chunked::signed()?),
        ("trailer of 1 MiB", trailer::trailer()),
        ("SigV4, verify the header", signatures::verify_header()?),
        (
            "SigV4, verify a presigned URL",
            signatures::verify_presigned()?,
        ),
        ("SigV4, sign for the storage", signatures::sign()?),
        ("listing of 1,000 keys", listing::rewrite()?),
    ];
    let mut counts = Map::new();
    for (name, mut case) in cases {
        // What happens once in a process, such as finding out what the processor can do, is not what is counted.
        case()?;
        let mut done = Ok(());
        let allocations = allocation_counter::measure(|| done = measured(&mut case));
        done?;
        counts.insert(
            name.to_owned(),
            json!({"allocations": allocations.count_total, "allocated": allocations.bytes_total}),
        );
    }
    writeln!(std::io::stdout(), "{}", serde_json::Value::from(counts))?;
    Ok(())
}
