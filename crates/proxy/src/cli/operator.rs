//! Who runs a command, as far as the machine tells.

/// The user and the machine. The name is what the environment says, which the user can choose; the number, on Linux, is the system's.
pub(super) fn this_operator() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| "an unnamed user".to_owned());
    #[cfg(target_os = "linux")]
    let user = format!("{user} ({})", rustix::process::getuid().as_raw());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(machine) => format!("{user} on {}", machine.trim_end()),
        Err(_) => user,
    }
}
