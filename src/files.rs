//! Files read whole, and files written whole or not at all: a reader sees the old content or the new, never half of
//! either, also after a crash or on a full disk.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is no file on a disk (a pipe, a device) is not followed beyond this.
const MOST_STREAMED: u64 = 256 << 20;

/// Reads a whole file.
///
/// # Errors
/// [`Error::Io`] naming `path`, also for a device that has no end.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    if file.metadata().map_err(io)?.is_file() {
        file.read_to_end(&mut bytes).map_err(io)?;
        return Ok(bytes);
    }
    file.take(MOST_STREAMED + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MOST_STREAMED {
        return Err(io(io::Error::other("more than 256 MiB from a stream without an end")));
    }
    Ok(bytes)
}

/// Replaces the content of `path` by `bytes`: they go to a temporary file beside it, reach the disk, and then the file
/// takes the name.
///
/// # Errors
/// [`Error::Io`] naming `path`; what stood there before is untouched, and the temporary file is gone.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|source| Error::io(path, source))
}

/// [`write_atomic`], packed with gzip if the path ends in `.gz`. The same bytes give the same file.
///
/// # Errors
/// Those of [`write_atomic`].
pub fn write_packed(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.extension().is_none_or(|suffix| suffix != "gz") {
        return write_atomic(path, bytes);
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let packed = packer.write_all(bytes).and_then(|()| packer.finish()).map_err(|e| Error::io(path, e))?;
    write_atomic(path, &packed)
}

/// The work of [`write_atomic`]. On failure it removes the temporary file, if it made one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link keeps pointing where it does; the file behind it is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = fs::metadata(&target).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return Err(io::Error::other("not a file that could be replaced"));
    }
    let temporary = temporary_beside(&target)?;
    // A name that exists already is somebody else's file and must not be written or removed.
    let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let done = fill(file, old.as_ref(), bytes).and_then(|()| fs::rename(&temporary, &target));
    if done.is_err() {
        // The first error is the one worth telling.
        let _ = fs::remove_file(&temporary);
        return done;
    }
    sync_folder(&target);
    Ok(())
}

/// Removes what processes that were killed in the middle of a [`write_atomic`] left in `folder`. To be called only where
/// no other process writes at this moment.
pub fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // What cannot be removed takes up room, and nothing else.
        if is_temporary(&entry.file_name().to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is one that [`temporary_beside`] makes.
fn is_temporary(name: &str) -> bool {
    let middle = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp"));
    let numbers = middle.and_then(|rest| rest.rsplit_once('.')).and_then(|(_, numbers)| numbers.split_once('-'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(process, count)| digits(process) && digits(count))
}

/// Writes the temporary file down to the disk, with the permissions of the file that it will replace.
fn fill(mut file: File, old: Option<&Metadata>, bytes: &[u8]) -> io::Result<()> {
    if let Some(old) = old {
        // Some file systems know no permissions; the content matters more.
        let _ = file.set_permissions(old.permissions());
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the target's folder that no other write uses: `.NAME.PROCESS-COUNT.tmp`.
fn temporary_beside(target: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = target.file_name().ok_or_else(|| io::Error::other("not the name of a file"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}.tmp", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    Ok(target.with_file_name(temporary))
}

/// Makes the new name last through a power cut. Where folders cannot be opened (Windows) the system sees to it.
fn sync_folder(target: &Path) {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if let Ok(folder) = File::open(folder) {
        // The file itself is complete; a file system that cannot sync folders is no reason to fail.
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn makes_and_replaces_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        for content in [&b"first, the longer one"[..], b"second", b""] {
            write_atomic(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn what_has_no_end_is_not_followed() {
        assert!(read(Path::new("/nowhere/at/all")).unwrap_err().to_string().starts_with("/nowhere/at/all: "));
        if cfg!(target_os = "linux") {
            let error = read(Path::new("/dev/zero")).unwrap_err().to_string();
            assert_eq!(error, "/dev/zero: more than 256 MiB from a stream without an end");
        }
    }

    #[test]
    fn failures_name_the_target_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").join("a.bin");
        assert!(write_atomic(&missing, b"x").unwrap_err().to_string().starts_with(&missing.display().to_string()));
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        let error = write_atomic(&taken, b"x").unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if *path == taken));
        assert_eq!(names(folder.path()), ["taken"]);
        assert!(write_atomic(Path::new("/"), b"x").is_err());
    }

    #[test]
    fn leftovers_are_told_from_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let left = temporary_beside(&folder.path().join("a.b.bin")).unwrap();
        for name in [".x.tmp", ".lock", "a.1-2.tmp", ".a.1-.tmp", ".a.1-x.tmp"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        fs::write(&left, b"half").unwrap();
        remove_leftovers(folder.path());
        assert!(!left.exists());
        assert_eq!(names(folder.path()).len(), 5);
    }

    #[test]
    fn writers_of_the_same_file_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        std::thread::scope(|scope| {
            for writer in 0..4_u8 {
                let path = &path;
                scope.spawn(move || write_atomic(path, &vec![writer; 100_000]).unwrap());
            }
        });
        let content = fs::read(&path).unwrap();
        assert_eq!(content.len(), 100_000);
        assert!(content.iter().all(|byte| *byte == content[0]));
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_survive() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.bin"), folder.path().join("link"));
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&path, &link).unwrap();
        write_atomic(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
