//! Processes that end with the test, and whose last words are kept.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The last bytes of a log that a failure shows.
const TAIL: usize = 6_000;

/// How long a server may take until it serves. It is long because a machine with two cores may run two tests and a build.
pub const START_LIMIT: Duration = Duration::from_mins(1);

/// The ports of servers that can't choose one themselves.
const PORTS: Range<u16> = 15_000..32_000;

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(50);

/// A server in a process of its own, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    output: Arc<Mutex<Vec<String>>>,
    lines: mpsc::Receiver<String>,
}

impl Process {
    /// Starts a process. Its standard error goes to a file in `directory`; its standard output is read line by line.
    ///
    /// # Errors
    /// If the program or the file for its log can't be opened.
    pub fn start(name: &str, command: &mut Command, directory: &Path) -> Result<Self> {
        let log = free_log(directory, name);
        let stderr = File::create(&log).with_context(|| format!("{}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| {
                format!("{name} does not start: {}", command.get_program().display())
            })?;
        let stdout = child
            .stdout
            .take()
            .context("standard output is not a pipe")?;
        let (sender, lines) = mpsc::channel();
        let output = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&output);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(mut kept) = kept.lock() {
                    kept.push(line.clone());
                }
                // Nobody listens once the server is ready; the pipe is emptied all the same.
                sender.send(line).ok();
            }
        });
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            output,
            lines,
        })
    }

    /// Waits for the line `ready URL` on standard output, or `serving URL` of one that is not ready yet, and returns the URL.
    ///
    /// # Errors
    /// If the process ends before, or takes too long; with the end of its log.
    pub fn ready_url(&mut self) -> Result<String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match self.lines.recv_timeout(POLL) {
                Ok(line) => {
                    let url = ["ready ", "serving "]
                        .iter()
                        .find_map(|word| line.strip_prefix(word));
                    if let Some(url) = url {
                        return Ok(url.trim().to_owned());
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(cause) => {
                    let state = match self.child.try_wait() {
                        Ok(Some(status)) => format!("it ended with {status}"),
                        _ => format!("{cause}"),
                    };
                    bail!(
                        "{} printed no ready line: {state}\n{}",
                        self.name,
                        self.last_words()
                    );
                }
            }
        }
    }

    /// The system's number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process has ended.
    ///
    /// # Errors
    /// If the system can't tell.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Ends the process without warning, as `kill -9` does.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal, such as `TERM`.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status()?;
        if !sent.success() {
            bail!("{} takes no SIG{name}: {sent}", self.name);
        }
        Ok(())
    }

    /// Waits for it to end.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        bail!(
            "{} did not end within {limit:?}\n{}",
            self.name,
            self.last_words()
        )
    }

    /// Asks the process to end with SIGTERM and waits for that.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.ended(limit)
    }

    /// What the process has printed to standard output so far.
    pub fn printed(&self) -> Vec<String> {
        self.output
            .lock()
            .map(|lines| lines.clone())
            .unwrap_or_default()
    }

    /// All that the process has logged so far.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn logged(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log).with_context(|| format!("{}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The end of the log, for the message of a failure.
    pub fn last_words(&self) -> String {
        let text = self.logged().unwrap_or_else(|error| format!("{error:#}"));
        let start = text.len().saturating_sub(TAIL);
        let tail = text
            .get(text.ceil_char_boundary(start)..)
            .unwrap_or_default();
        format!("--- the last of {}'s log ---\n{tail}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is what the test wanted then.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_log(directory: &Path, name: &str) -> PathBuf {
    let mut number = 0;
    loop {
        let path = directory.join(format!("{name}-{number}.log"));
        if !path.exists() {
            return path;
        }
        number += 1;
    }
}

/// A port that nobody listens on at this moment, for servers that can't choose one themselves. It is below those that the system gives to
/// connections of its own accord (32768 and up on Linux), so that none of the many that other tests open takes it before the server does, and
/// no two calls in one process give the same.
///
/// # Errors
/// If all are taken.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run beside each other begin at different places.
    let start = std::process::id().wrapping_mul(7919);
    for _ in PORTS {
        let turn = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let count = u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(turn % count)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("every port of {PORTS:?} on 127.0.0.1 is taken")
}

/// Runs a program to its end, but not for longer than `limit`.
///
/// # Errors
/// If it does not start, or takes too long. That it failed is for the caller to see.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let name = command.get_program().display().to_string();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} does not start"))?;
    let id = child.id().to_string();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    if let Ok(output) = receiver.recv_timeout(limit) {
        return Ok(output?);
    }
    Command::new("kill").args(["-KILL", &id]).status()?;
    // Its output says where it hung.
    let (stdout, stderr) = match receiver.recv_timeout(POLL * 100) {
        Ok(Ok(output)) => (output.stdout, output.stderr),
        _ => (Vec::new(), Vec::new()),
    };
    bail!(
        "{name} took longer than {limit:?}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    )
}

/// As [`run`], and its standard output as text.
///
/// # Errors
/// Also if it fails; with what it printed.
pub fn run_successfully(command: &mut Command, limit: Duration) -> Result<String> {
    let output = run(command, limit)?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.display().to_string())
        .collect();
    bail!(
        "{} {} ended with {}\n{stdout}{}",
        command.get_program().display(),
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}
