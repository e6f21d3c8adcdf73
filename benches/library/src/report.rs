//! The tables, and everything as JSON.

use std::fmt::Write as _;

use sealgate_envelope::{Backend, layout::SEGMENT_LENGTH};
use serde_json::{Value, json};

use crate::{ciphers, objects, rounds::Times};

/// All that was measured.
pub struct Results {
    /// Segments in place.
    pub ciphers: Vec<ciphers::Row>,
    /// Headers.
    pub headers: Vec<Times>,
    /// Whole objects.
    pub objects: Vec<objects::Row>,
}

#[expect(clippy::cast_precision_loss, reason = "sizes of buffers")]
fn gigabytes_a_second(bytes: usize, times: &Times) -> f64 {
    bytes as f64 / times.median() / 1e9
}

/// Tables in Markdown.
pub fn markdown(results: &Results) -> String {
    let mut text = String::new();
    write_ciphers(&mut text, &results.ciphers);
    text.push_str("\nHeaders, µs:\n\n| what | µs |\n|---|---|\n");
    for times in &results.headers {
        let _ = writeln!(text, "| {} | {:.2} |", times.name, times.median() * 1e6);
    }
    write_objects(&mut text, &results.objects);
    text
}

fn write_ciphers(text: &mut String, rows: &[ciphers::Row]) {
    text.push_str("Segments of 64 KiB in place, GB/s of one core; the share is the median of all rounds, with its quartiles:\n\n| | |");
    for backend in Backend::ALL {
        let _ = write!(text, " {backend:?} alone | sealgate | share |");
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|---|---|".repeat(Backend::ALL.len()));
    text.push('\n');
    let bytes = ciphers::SEGMENTS * SEGMENT_LENGTH;
    for row in rows {
        let _ = write!(text, "| {:?} | {} |", row.suite, row.operation);
        for pair in row.times.chunks_exact(2) {
            let (alone, library) = (&pair[0], &pair[1]);
            let [lower, share, upper] = library.share_of(alone).map(|share| share * 100.0);
            let _ = write!(
                text,
                " {:.2} | {:.2} | {share:.1} % ({lower:.1}–{upper:.1}) |",
                gigabytes_a_second(bytes, alone),
                gigabytes_a_second(bytes, library),
            );
        }
        text.push('\n');
    }
}

fn write_objects(text: &mut String, rows: &[objects::Row]) {
    text.push_str("\nWhole objects from memory to memory, µs up to 64 KiB, GB/s above; of one core:\n\n| library |");
    for row in rows {
        let _ = write!(text, " {} {} KiB |", row.operation, row.size >> 10);
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(rows.len()));
    text.push('\n');
    let names = rows.first().map(|row| row.times.as_slice()).unwrap_or_default();
    for (place, named) in names.iter().enumerate() {
        let _ = write!(text, "| {} |", named.name);
        for row in rows {
            let times = &row.times[place];
            let _ = if row.size <= 64 << 10 {
                write!(text, " {:.1} µs |", times.median() * 1e6)
            } else {
                write!(text, " {:.2} |", gigabytes_a_second(row.size, times))
            };
        }
        text.push('\n');
    }
}

fn of_times(times: &[Times]) -> Value {
    times
        .iter()
        .map(|times| (times.name.clone(), json!(times.seconds)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Every round's seconds.
///
/// # Errors
/// None in practice: all keys are texts.
pub fn json(results: &Results) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&json!({
        "segments": results.ciphers.iter().map(|row| json!({
            "suite": format!("{:?}", row.suite), "operation": row.operation, "bytes": ciphers::SEGMENTS * SEGMENT_LENGTH,
            "seconds": of_times(&row.times),
        })).collect::<Vec<_>>(),
        "headers": of_times(&results.headers),
        "objects": results.objects.iter().map(|row| json!({
            "operation": row.operation, "bytes": row.size, "seconds": of_times(&row.times),
        })).collect::<Vec<_>>(),
    }))
}
