//! The kernel programs in this binary.

use anyhow::{Result, ensure};

/// 8-byte alignment, as ELF structures are read in place.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/tracer-ebpf")));

/// The compiled programs.
///
/// # Errors
/// When this binary was built without them.
pub fn bytes() -> Result<&'static [u8]> {
    ensure!(
        !OBJECT.0.is_empty(),
        "this binary was built without the kernel programs: build it with `cargo xtask build`"
    );
    Ok(&OBJECT.0)
}
