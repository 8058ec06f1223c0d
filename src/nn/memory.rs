//! How the process treats memory that a step of training gives back.

/// Keeps memory that is given back for the next step, instead of returning it to the system.
///
/// A step of training takes and gives back buffers of tens of megabytes, the same ones each time. The C library would
/// map and unmap each of them, and the system hand out and clear every page anew: a quarter of a training step. The
/// setting is the whole process's, so a program calls this, once, and never the library on its own; before it starts
/// threads, so that they come to share one heap. The process then holds what it once needed until it ends. Does nothing
/// where the C library is not GNU's.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const AHEAD: libc::c_int = 64 << 20;
        // SAFETY: mallopt only sets numbers of the allocator, under its own lock; all values are in the ranges that its
        // manual page gives.
        unsafe {
            // One heap for all threads: what one gives back, another can take.
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_TOP_PAD, AHEAD);
        }
    }
}
