//! Who runs a command, as far as the machine tells.

/// The user and the machine. The name is what the environment says, which the user can choose; the number, on Linux, is the system's.
pub(super) fn this_operator() -> String {
    let user = user_name().unwrap_or_else(|| "an unnamed user".to_owned());
    #[cfg(target_os = "linux")]
    let user = format!("{user} ({})", rustix::process::getuid().as_raw());
    on_this_machine(user)
}

/// What the environment calls the user.
pub(super) fn user_name() -> Option<String> {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    name.ok()
}

/// With the name of the machine, where it tells one.
pub(super) fn on_this_machine(user: String) -> String {
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(machine) => format!("{user} on {}", machine.trim_end()),
        Err(_) => user,
    }
}
