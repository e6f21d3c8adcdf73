//! What the envelope adds to the ciphers, and what other libraries cost: one table.
//!
//! All that is compared in a row takes turns, a few milliseconds each, and the time is that of the thread's own CPU clock: what else runs on the
//! machine meets all of them alike. Shares are medians of what each round says.

mod ciphers;
mod headers;
mod objects;
mod report;
mod rounds;
mod sample;

use std::path::PathBuf;

use clap::Parser;

/// Measure the library beside the ciphers alone and beside other libraries, and print tables in Markdown.
#[derive(Parser)]
struct Arguments {
    /// Turns of each
    #[arg(long, default_value_t = 25)]
    rounds: usize,
    /// Milliseconds of each turn
    #[arg(long, default_value_t = 20)]
    turn: u64,
    /// Only headers, printed alone: for a profiler
    #[arg(long)]
    headers: bool,
    /// Directory for table.md and results.json
    #[arg(long)]
    output: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let effort = rounds::Effort {
        rounds: arguments.rounds,
        turn: std::time::Duration::from_millis(arguments.turn),
    };
    if arguments.headers {
        for times in headers::measure(effort)? {
            println!("{}: {:.2} µs", times.name, times.median() * 1e6);
        }
        return Ok(());
    }
    let results = report::Results {
        ciphers: ciphers::measure(effort)?,
        headers: headers::measure(effort)?,
        objects: objects::measure(effort)?,
    };
    let table = report::markdown(&results);
    println!("{table}");
    if let Some(directory) = arguments.output {
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("table.md"), &table)?;
        std::fs::write(directory.join("results.json"), report::json(&results)?)?;
    }
    Ok(())
}
