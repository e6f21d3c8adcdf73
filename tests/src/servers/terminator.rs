//! Proxies of other people in front of the gateway: HAProxy and nginx.

use std::{
    fmt::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process::{Process, START_LIMIT};

/// A proxy in a process of its own.
#[derive(Debug)]
pub struct Terminator {
    /// The process.
    pub process: Process,
}

impl Terminator {
    /// HAProxy with a configuration, which must bind these ports of 127.0.0.1.
    ///
    /// # Errors
    /// If it is not installed or does not become ready.
    pub fn haproxy(directory: &Path, configuration: &str, ports: &[u16]) -> Result<Self> {
        let file = directory.join("haproxy.cfg");
        std::fs::write(&file, configuration)?;
        let mut command = Command::new(installed("haproxy", "haproxy")?);
        command.arg("-db").arg("-f").arg(&file);
        Self::start("haproxy", &mut command, directory, ports)
    }

    /// nginx with the content of its `http` block, which must bind these ports of 127.0.0.1.
    ///
    /// # Errors
    /// If it is not installed or does not become ready.
    pub fn nginx(directory: &Path, http: &str, ports: &[u16]) -> Result<Self> {
        let home = directory.join("nginx");
        std::fs::create_dir_all(&home)?;
        let shown = home.display();
        let mut temporary = String::new();
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(temporary, "{name}_temp_path {shown}/{name};")?;
        }
        let configuration = format!(
            "daemon off;\nmaster_process off;\npid {shown}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{http}}}\n"
        );
        let file = home.join("nginx.conf");
        std::fs::write(&file, configuration)?;
        let mut command = Command::new(installed("nginx", "nginx-light")?);
        command.arg("-e").arg("stderr").arg("-p").arg(&home);
        command.arg("-c").arg(&file);
        Self::start("nginx", &mut command, directory, ports)
    }

    fn start(name: &str, command: &mut Command, directory: &Path, ports: &[u16]) -> Result<Self> {
        let mut process = Process::start(name, command, directory)?;
        let deadline = Instant::now() + START_LIMIT;
        for port in ports {
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                if process.has_ended()? || Instant::now() > deadline {
                    bail!("{name} does not become ready\n{}", process.last_words());
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(Self { process })
    }
}

/// A program in `PATH`, or where Debian keeps servers, which is in the `PATH` of root alone.
fn installed(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!(
                "{program} is missing: install it (Debian, Ubuntu: apt-get install {package}), or run ./test as root, which does"
            )
        })
}
