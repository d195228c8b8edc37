//! Embeds the kernel programs in the agent, so that there is one binary to ship.
//!
//! `cargo xtask build` puts them where this script looks: the file that `TRACER_BPF_OBJECT` names, else
//! `bpf/tracer-ebpf` in the target directory. Without either it embeds an empty file, so that check, clippy
//! and doc of the workspace need no BPF toolchain; the agent then says at run time how to build it.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TRACER_BPF_OBJECT");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let embedded = directory("OUT_DIR").join("tracer-ebpf");
    let programs = kernel_programs()?;
    let bytes = programs.map(fs::read).transpose()?.unwrap_or_default();
    // Read by the agent with `aya::include_bytes_aligned!`: an object file must be aligned in memory.
    fs::write(embedded, bytes)
}

fn kernel_programs() -> io::Result<Option<PathBuf>> {
    if let Some(named) = env::var_os("TRACER_BPF_OBJECT").map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", named.display());
        if !named.is_file() {
            return Err(io::Error::other(format!(
                "TRACER_BPF_OBJECT={} is no file: build it with `cargo xtask build`, or unset the variable",
                named.display()
            )));
        }
        return Ok(Some(named));
    }
    let made = target_directory().join("bpf");
    // Cargo runs this script again whenever what it watches does not exist, so the directory is watched,
    // not the file, and made if need be.
    fs::create_dir_all(&made)?;
    println!("cargo::rerun-if-changed={}", made.display());
    Ok(Some(made.join("tracer-ebpf")).filter(|file| file.is_file()))
}

fn target_directory() -> PathBuf {
    let workspace = directory("CARGO_MANIFEST_DIR").join("..");
    workspace.join(env::var_os("CARGO_TARGET_DIR").as_deref().map_or(Path::new("target"), Path::new))
}

fn directory(variable: &str) -> PathBuf {
    env::var_os(variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("cargo sets {variable} for build scripts"))
}
