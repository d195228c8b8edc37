//! Where a process works: the names from its working directory up to the root, as `d_path` walks them.

use crate::{kernel::Address, layout};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use tracer_common::{MAX_DIRECTORY, MAX_NAME};

/// Most steps, names and mounts together: deeper directories are told by their last names.
const MAX_STEPS: usize = 32;

/// How far it has come. It lies in a map and is read and written there at every step: what the verifier does not
/// follow, it need not tell apart.
#[repr(C)]
pub struct Walk {
    /// `struct dentry`.
    dentry: u64,
    /// `struct mount`.
    mount: u64,
    /// Bytes written.
    len: u32,
    /// Whether the root was reached.
    whole: u32,
}

/// Writes the names to `to`, the last one first, each ended by NUL, and one more NUL once the root is reached. Gives
/// their length, at most [`MAX_DIRECTORY`].
///
/// # Safety
/// `to` must have room for [`MAX_DIRECTORY`] and [`MAX_NAME`] bytes, and `walk` must be valid.
#[inline(always)]
pub unsafe fn directory(task: Address, to: *mut u8, walk: *mut Walk) -> u32 {
    let Some(fs) = task.follow(layout!(task_fs)) else { return 0 };
    let (Some(dentry), Some(mount)) = (fs.follow(layout!(fs_pwd_dentry)), fs.follow(layout!(fs_pwd_mnt)))
    else {
        return 0;
    };
    // SAFETY: the caller's promises, here and below.
    unsafe {
        walk.write_volatile(Walk {
            dentry: dentry.0,
            mount: mount.0 - layout!(mount_mnt) as u64,
            len: 0,
            whole: 0,
        });
        for _ in 0..MAX_STEPS {
            if step(to, walk).is_none() {
                break;
            }
        }
        let len = (&raw const (*walk).len).read_volatile().min(MAX_DIRECTORY as u32 - 1);
        if (&raw const (*walk).whole).read_volatile() == 0 {
            return len;
        }
        to.add(len as usize).write(0);
        len + 1
    }
}

/// One name, or from the root of a mount to where that is mounted; nothing at the end.
///
/// # Safety
/// As for [`directory`].
#[inline(always)]
unsafe fn step(to: *mut u8, walk: *mut Walk) -> Option<()> {
    // SAFETY: the caller's promises; the place is less than MAX_DIRECTORY and the name at most MAX_NAME bytes.
    unsafe {
        let dentry = Address((&raw const (*walk).dentry).read_volatile());
        let mount = Address((&raw const (*walk).mount).read_volatile());
        if mount.follow(layout!(mount_mnt) + layout!(vfsmount_root))? == dentry {
            let parent = mount.follow(layout!(mount_parent))?;
            if parent == mount {
                (&raw mut (*walk).whole).write_volatile(1);
                return None;
            }
            (&raw mut (*walk).dentry).write_volatile(mount.follow(layout!(mount_mountpoint))?.0);
            (&raw mut (*walk).mount).write_volatile(parent.0);
            return Some(());
        }
        let parent = dentry.follow(layout!(dentry_parent))?;
        let len = (&raw const (*walk).len).read_volatile();
        if parent == dentry || len >= (MAX_DIRECTORY - MAX_NAME) as u32 {
            return None;
        }
        let name = dentry.follow(layout!(dentry_name))?;
        let n = bpf_probe_read_kernel_str(to.add(len as usize).cast(), MAX_NAME as u32, name.0 as *const _);
        if n <= 1 || n > MAX_NAME as i64 {
            return None;
        }
        (&raw mut (*walk).len).write_volatile(len + n as u32);
        (&raw mut (*walk).dentry).write_volatile(parent.0);
        Some(())
    }
}
