//! Tells `crates/envelope` to take shuttle's locks.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(shuttle)");
    println!("cargo:rustc-cfg=shuttle");
}
