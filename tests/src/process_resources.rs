//! What a running process holds, and what it may hold at most, as Linux tells and sets it.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Open files and connections.
    pub descriptors: usize,
    /// Of these, connections and listeners.
    pub sockets: usize,
    /// Memory that is there, in KiB.
    pub resident: u64,
    /// The most memory that was there since the process began, in KiB.
    pub peak: u64,
    /// Memory that was asked for, in KiB.
    pub address_space: u64,
    /// Threads.
    pub threads: u64,
}

impl Resources {
    /// What the process of this number holds.
    ///
    /// # Errors
    /// If it has ended.
    pub fn of(process: u32) -> Result<Self> {
        let (mut descriptors, mut sockets) = (0, 0);
        let directory = format!("/proc/{process}/fd");
        for entry in fs::read_dir(&directory).with_context(|| directory.clone())? {
            descriptors += 1;
            // It may have been closed meanwhile.
            let target = fs::read_link(entry?.path()).unwrap_or_default();
            sockets += usize::from(target.display().to_string().starts_with("socket:"));
        }
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let number = |name: &str| -> Result<u64> { Ok(word_behind(name, &status)?.parse()?) };
        Ok(Self {
            descriptors,
            sockets,
            resident: number("VmRSS:")?,
            peak: number("VmHWM:")?,
            address_space: number("VmSize:")?,
            threads: number("Threads:")?,
        })
    }
}

/// For how long the threads that a process has now were ready to run and did not, all together, since each of them began.
///
/// # Errors
/// If it has ended.
pub fn run_delay(process: u32) -> Result<Duration> {
    let mut delay = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // It may have ended meanwhile.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let nanoseconds = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        delay += Duration::from_nanos(nanoseconds.unwrap_or_default());
    }
    Ok(delay)
}

/// Sets a limit of a running process: its option of `prlimit`, such as `nofile`, and the value or `unlimited`. The hard limit stays.
///
/// # Errors
/// If the system refuses.
pub fn limit(process: u32, resource: &str, value: &str) -> Result<()> {
    let status = Command::new("prlimit")
        .args(["--pid", &process.to_string()])
        .arg(format!("--{resource}={value}:"))
        .status()
        .context("prlimit is missing (Debian, Ubuntu: package util-linux)")?;
    ensure!(status.success(), "prlimit --{resource}={value}: {status}");
    Ok(())
}

/// A soft limit of a running process, by the words of `/proc/PID/limits`, such as `Max open files`.
///
/// # Errors
/// If it has ended, or there is no such limit.
pub fn soft_limit(process: u32, words: &str) -> Result<String> {
    Ok(limit_of(process, words)?.0)
}

/// A hard limit of a running process, by the same words.
///
/// # Errors
/// If it has ended, or there is no such limit.
pub fn hard_limit(process: u32, words: &str) -> Result<String> {
    Ok(limit_of(process, words)?.1)
}

fn limit_of(process: u32, words: &str) -> Result<(String, String)> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits"))?;
    let line = limits.lines().find_map(|line| line.strip_prefix(words));
    let mut values = line.into_iter().flat_map(str::split_whitespace);
    let both = (values.next(), values.next());
    let (Some(soft), Some(hard)) = both else {
        bail!("no {words}");
    };
    Ok((soft.to_owned(), hard.to_owned()))
}

/// The first word behind the name with which a line begins.
fn word_behind<'a>(name: &str, text: &'a str) -> Result<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.with_context(|| format!("no {name}"))
}
