//! The BPF toolchain: a compiler that can build `core` for BPF, LLVM, and bpf-linker made for that LLVM.
//!
//! Two compilers serve. **The distribution's** (Debian's `rustc-web` and its sources) comes first: it is
//! released, it brings the very LLVM that the linker uses from the same archive, and needs no server but
//! the archive's. **rustup's nightly** with `rust-src` comes second: it exists everywhere, but moves on to a
//! newer LLVM any night, and bpf-linker cannot read what an LLVM newer than its own wrote.
//! What is complete already is taken before anything is installed. `TRACER_BPF_TOOLCHAIN=packages` or
//! `=nightly` leaves only that one.

use crate::packages;
use crate::process::{output, run, say};
use crate::project::Project;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const BPF_LINKER: &str = "0.13.0";
/// What this version of bpf-linker can be built with, the preferred one first.
const LLVM_VERSIONS: [u32; 3] = [22, 21, 23];
/// Oldest minor version of Rust 1 that compiles the kernel programs: the workspace's own.
const MIN_RUST: u32 = 95;

const COMPILER_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];
/// LLVM, what linking with it asks for, and the C++ library.
const LLVM_PACKAGES: [&str; 5] = ["llvm-22-dev", "libpolly-22-dev", "libzstd-dev", "zlib1g-dev", "g++"];

/// A toolchain that is complete.
#[derive(Debug)]
pub struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compiler {
    Packages,
    Nightly,
}

/// An installation of LLVM to build the linker with.
#[derive(Debug)]
struct Llvm {
    version: u32,
    prefix: PathBuf,
}

impl Toolchain {
    /// Finds a toolchain, or installs one.
    pub fn find_or_install(project: &Project) -> Result<Self> {
        let compilers = wanted()?;
        if let Some((compiler, llvm)) = compilers.iter().find_map(|it| Some((*it, it.check().ok()?))) {
            return Self::with_linker(project, compiler, &llvm);
        }
        let mut reasons = Vec::new();
        for compiler in compilers {
            match compiler.install().and_then(|()| compiler.check()) {
                Ok(llvm) => return Self::with_linker(project, compiler, &llvm),
                Err(error) => reasons.push(format!("{}: {error:#}", compiler.name())),
            }
        }
        bail!(
            "no toolchain for BPF:\n  {}\nEither of them is enough; `cargo check` and `cargo clippy` need neither.",
            reasons.join("\n  ")
        )
    }

    fn with_linker(project: &Project, compiler: Compiler, llvm: &Llvm) -> Result<Self> {
        let linker = install_linker(project, llvm)?;
        Ok(Self { compiler, linker })
    }

    /// A cargo command that compiles for BPF when it runs in `ebpf/`.
    pub fn cargo(&self) -> Command {
        let mut cargo = match self.compiler {
            Compiler::Packages => {
                let mut cargo = Command::new(env_or("CARGO", "cargo"));
                // A released compiler, asked to accept `-Z build-std` all the same.
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Compiler::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", "nightly", "cargo"]).env_remove("RUSTC");
                cargo
            }
        };
        cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker);
        // They would replace the flags in ebpf/.cargo/config.toml.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo
    }

    /// In a few words, for the log.
    pub fn name(&self) -> &'static str {
        self.compiler.name()
    }
}

fn wanted() -> Result<Vec<Compiler>> {
    Ok(match std::env::var("TRACER_BPF_TOOLCHAIN").as_deref() {
        Err(_) | Ok("") => vec![Compiler::Packages, Compiler::Nightly],
        Ok("packages") => vec![Compiler::Packages],
        Ok("nightly") => vec![Compiler::Nightly],
        Ok(other) => bail!("TRACER_BPF_TOOLCHAIN={other}: it must be `packages`, `nightly` or unset"),
    })
}

impl Compiler {
    fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages of the distribution",
            Self::Nightly => "rustup's nightly",
        }
    }

    fn rustc(self) -> Command {
        match self {
            Self::Packages => Command::new("/usr/bin/rustc"),
            Self::Nightly => {
                let mut rustc = Command::new("rustup");
                rustc.args(["run", "nightly", "rustc"]);
                rustc
            }
        }
    }

    /// The LLVM to link with, if compiler, sources and LLVM are all there.
    fn check(self) -> Result<Llvm> {
        let version = output(self.rustc().arg("-vV"))?;
        let release = field(&version, "release: 1.")?;
        if release < MIN_RUST {
            bail!("it is Rust 1.{release}, and the kernel programs need 1.{MIN_RUST}");
        }
        let sysroot = output(self.rustc().args(["--print", "sysroot"]))?;
        let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
        if !core.exists() {
            bail!("it has no sources of core in {}", core.display());
        }
        find_llvm(field(&version, "LLVM version: ")?)
    }

    fn install(self) -> Result<()> {
        match self {
            Self::Packages => packages::install(&[&COMPILER_PACKAGES[..], &LLVM_PACKAGES].concat()),
            Self::Nightly => {
                output(Command::new("rustup").args([
                    "component",
                    "add",
                    "rust-src",
                    "--toolchain",
                    "nightly",
                ]))
                .context("try `rustup toolchain install nightly --component rust-src`")?;
                if packages::available() { packages::install(&LLVM_PACKAGES) } else { Ok(()) }
            }
        }
    }
}

/// The number after `name` in what `rustc -vV` says.
fn field(version: &str, name: &str) -> Result<u32> {
    let value = version.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.split('.').next()?.parse().ok())
        .with_context(|| format!("`rustc -vV` says nothing understandable after `{name}`"))
}

/// An LLVM that can read what LLVM `at_least` wrote.
fn find_llvm(at_least: u32) -> Result<Llvm> {
    let given = std::env::var_os("LLVM_PREFIX").map(PathBuf::from);
    for version in LLVM_VERSIONS.into_iter().filter(|version| *version >= at_least) {
        let usual =
            ["/usr/lib/llvm-", "/usr/lib64/llvm", "/usr/lib/llvm"].map(|it| format!("{it}{version}").into());
        let prefix = given.iter().cloned().chain(usual).find(|prefix| is_llvm(prefix, version));
        if let Some(prefix) = prefix {
            return Ok(Llvm { version, prefix });
        }
    }
    bail!(
        "no LLVM {at_least} with its headers, up to {:?}: install it, or name it by LLVM_PREFIX",
        LLVM_VERSIONS.iter().max()
    )
}

fn is_llvm(prefix: &Path, version: u32) -> bool {
    let reported = output(Command::new(prefix.join("bin/llvm-config")).arg("--version"));
    prefix.join("include/llvm-c/Core.h").exists()
        && reported.is_ok_and(|reported| reported.starts_with(&format!("{version}.")))
}

/// bpf-linker for this LLVM; the directory's name says what it is, so a change of version makes another.
fn install_linker(project: &Project, llvm: &Llvm) -> Result<PathBuf> {
    let root = project.tools().join(format!("bpf-linker-{BPF_LINKER}-llvm-{}", llvm.version));
    let linker = root.join("bin/bpf-linker");
    if linker.exists() {
        return Ok(linker);
    }
    say(&format!("building bpf-linker {BPF_LINKER} with LLVM {}, once: about a minute", llvm.version));
    let feature = format!("llvm-{}", llvm.version);
    let mut cargo = Command::new(env_or("CARGO", "cargo"));
    cargo
        .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--quiet"])
        .args(["--no-default-features", "--features", &feature, "--root"])
        .arg(&root)
        .env("LLVM_PREFIX", &llvm.prefix)
        // Built in a temporary directory, away from the workspace's artifacts.
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(&project.root);
    run(&mut cargo).context("could not build bpf-linker")?;
    Ok(linker)
}

fn env_or(variable: &str, default: &str) -> std::ffi::OsString {
    std::env::var_os(variable).unwrap_or_else(|| default.into())
}
