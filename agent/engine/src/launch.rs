//! One process launch: from exec to exit.

use crate::budget::{ALLOCATION, Shrink};
use tracer_common::{Exec, exec_flag};
use twox_hash::XxHash3_64;

/// Most images of one process that are kept; a process that execs more often keeps its first ones.
const MAX_IMAGES: usize = 8;
/// What is kept of a command line that finds no room: the program, an option or two, the begin of what they say.
const FEW_ARGS: usize = 8;
/// Bytes of each.
const SHORT_ARG: usize = 64;

/// A launched process.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its images in the order of their exec calls (a shell's `exec`, `env`, `setpriv`); the last one
    /// is what it became.
    pub images: Vec<Image>,
    /// Those between that were not kept.
    pub left_out: u32,
    /// Wait status, once it ended.
    pub status: Option<u32>,
}

/// One exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// File as given to `execve`, maybe relative.
    pub file: String,
    /// Arguments.
    pub args: Vec<String>,
    /// Short name.
    pub comm: String,
    /// Parent process at the exec.
    pub parent_pid: u32,
    /// Real user.
    pub uid: u32,
    /// Effective user: with whose rights it runs.
    pub euid: u32,
    /// Whether the image has no name in any directory, or is a memfd.
    pub fileless: Option<&'static str>,
    /// When its file was written last, in seconds since the epoch, where that is known.
    pub written: Option<u32>,
}

impl Launch {
    /// A process with its first image.
    pub fn new(image: Image) -> Self {
        Self { images: vec![image], left_out: 0, status: None }
    }

    /// The process changed its image again.
    pub fn exec(&mut self, image: Image) {
        if self.images.len() < MAX_IMAGES {
            self.images.push(image);
        } else if let Some(last) = self.images.last_mut() {
            *last = image;
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

impl Shrink for Launch {
    fn footprint(&self) -> usize {
        self.images.iter().map(Image::footprint).sum()
    }

    /// The last image stays, with the begin of its arguments.
    fn shrink(&mut self) {
        let gone = self.images.len().saturating_sub(1);
        self.left_out = self.left_out.saturating_add(u32::try_from(gone).unwrap_or(u32::MAX));
        self.images.drain(..self.images.len().saturating_sub(1));
        for image in &mut self.images {
            image.args.truncate(FEW_ARGS);
            image.args.shrink_to_fit();
            for arg in &mut image.args {
                arg.truncate(arg.floor_char_boundary(SHORT_ARG));
                arg.shrink_to_fit();
            }
        }
    }
}

impl Image {
    fn footprint(&self) -> usize {
        let args = self.args.iter().map(|arg| size_of::<String>() + ALLOCATION + arg.len());
        size_of::<Self>() + self.file.len() + self.comm.len() + args.sum::<usize>()
    }

    /// A hash of its arguments: whoever has the same runs the same command line.
    pub fn itself(&self) -> u64 {
        XxHash3_64::oneshot(self.args.join("\0").as_bytes())
    }

    /// A hash of its file, as it was named.
    pub fn file_itself(&self) -> u64 {
        XxHash3_64::oneshot(self.file.as_bytes())
    }

    /// What a record says of an image.
    pub fn of(exec: &Exec, file: &[u8], args: &[u8]) -> Self {
        let args = args.strip_suffix(b"\0").unwrap_or(args);
        let comm = exec.comm.split(|b| *b == 0).next().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            file: text(file),
            args: if args.is_empty() { Vec::new() } else { args.split(|b| *b == 0).map(text).collect() },
            comm: text(comm),
            parent_pid: exec.ppid,
            uid: exec.uid,
            euid: exec.euid,
            fileless: match exec.flags {
                flags if flags & exec_flag::MEMFD != 0 => Some("memfd"),
                flags if flags & exec_flag::UNLINKED != 0 => Some("unlinked"),
                _ => None,
            },
            written: Some(exec.image_written).filter(|written| *written != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_ended_by_nul() {
        let image = Image::of(&Exec::default(), b"/bin/sh", b"sh\0-c\0\0");
        assert_eq!(image.args, ["sh", "-c", ""]);
        assert!(Image::of(&Exec::default(), b"/bin/sh", b"").args.is_empty());
        let cut = Image::of(&Exec::default(), b"/bin/sh", b"sh\0-");
        assert_eq!(cut.args, ["sh", "-"]);
    }

    #[test]
    fn a_shrunk_launch_keeps_the_begin_of_its_last_command_line() {
        let image = |args: &[u8]| Image::of(&Exec::default(), b"/bin/sh", args);
        let mut launch = Launch::new(image(b"env\0"));
        launch.exec(image(&[b"sh\0-c\0".as_slice(), &[b'a'; 4000]].concat()));
        let before = launch.footprint();
        launch.shrink();
        assert!(launch.footprint() < before / 8);
        assert_eq!((launch.images.len(), launch.left_out), (1, 1));
        assert_eq!(launch.images[0].args, ["sh", "-c", &"a".repeat(SHORT_ARG)]);
    }

    #[test]
    fn the_last_image_is_what_it_became() {
        let image = |n: usize| Image::of(&Exec::default(), format!("/bin/{n}").as_bytes(), b"");
        let mut launch = Launch::new(image(0));
        (1..20).for_each(|n| launch.exec(image(n)));
        assert_eq!((launch.images.len(), launch.left_out), (MAX_IMAGES, 12));
        assert_eq!(launch.images[0].file, "/bin/0");
        assert_eq!(launch.images.last().expect("not empty").file, "/bin/19");
    }
}
