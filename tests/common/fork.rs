//! Children of `fork`.

use libc::c_int;

/// Forks, and returns the wait status of a child that exits with what `work` returns there. What `work` owns is
/// dropped in the parent.
pub fn in_child(work: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the child uses what is tested, and ends by _exit.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0, "no fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            libc::_exit(work());
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        status
    }
}

/// Ends this process by a signal after so many seconds: it hangs.
pub fn end_if_it_hangs(seconds: u32) {
    // SAFETY: sets a timer of the process.
    unsafe { libc::alarm(seconds) };
}
