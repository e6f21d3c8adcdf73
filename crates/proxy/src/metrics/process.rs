//! The process itself, under the names that every client library of Prometheus has. Memory and file descriptors are those of Linux.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge};

pub(super) struct ProcessCollector {
    started: IntGauge,
    resident: IntGauge,
    descriptors: IntGauge,
    processor: Counter,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        let started = IntGauge::new(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
        )?;
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default();
        started.set(i64::try_from(now.as_secs()).unwrap_or_default());
        Ok(Self {
            started,
            resident: IntGauge::new(
                "process_resident_memory_bytes",
                "Memory that the process has, in bytes.",
            )?,
            descriptors: IntGauge::new("process_open_fds", "File descriptors that are open.")?,
            processor: Counter::new(
                "process_cpu_seconds_total",
                "Time of processors that the process has taken.",
            )?,
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.started.desc(),
            self.resident.desc(),
            self.descriptors.desc(),
            self.processor.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.started.collect();
        #[cfg(target_os = "linux")]
        {
            if let Some(bytes) = linux::resident_memory() {
                self.resident.set(bytes);
                families.extend(self.resident.collect());
            }
            if let Some(count) = linux::open_descriptors() {
                self.descriptors.set(count);
                families.extend(self.descriptors.collect());
            }
            if let Some(seconds) = linux::processor_seconds() {
                self.processor.reset();
                self.processor.inc_by(seconds);
                families.extend(self.processor.collect());
            }
        }
        families
    }
}

#[cfg(target_os = "linux")]
mod linux {
    /// proc(5), `VmRSS`, in KiB.
    pub(super) fn resident_memory() -> Option<i64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: i64 = line.split_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    pub(super) fn open_descriptors() -> Option<i64> {
        let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
        // One of them reads the directory.
        i64::try_from(count).ok().map(|count| count - 1)
    }

    /// proc(5), `stat`: user and system time, the fields 14 and 15, in ticks. Linux shows programs 100 of them a second, whatever it counts itself.
    pub(super) fn processor_seconds() -> Option<f64> {
        const TICKS: f64 = 100.0;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name before them may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(11);
        let user: u32 = fields.next()?.parse().ok()?;
        let system: u32 = fields.next()?.parse().ok()?;
        Some((f64::from(user) + f64::from(system)) / TICKS)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn there_are_numbers() {
            assert!(resident_memory().unwrap() > 1 << 20);
            assert!(open_descriptors().unwrap() >= 3);
            assert!(processor_seconds().unwrap() >= 0.0);
        }
    }
}
