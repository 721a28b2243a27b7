//! Keeps the code of threads that never end in memory.
#![allow(unsafe_code)]

use std::io;

/// Makes sure that the library which this code is part of stays loaded, as a plugin's would not:
/// `dlclose` would take the code away from under threads of ours. The program itself always stays.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn keep_loaded() -> io::Result<()> {
    use std::ffi::c_void;

    fn object(address: *const c_void) -> Option<libc::Dl_info> {
        // SAFETY: plain pointers, for which null is valid, filled by dladdr.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            (libc::dladdr(address, &raw mut info) != 0).then_some(info)
        }
    }
    // SAFETY: reads a number of the process: an address in the program itself.
    let program = unsafe { libc::getauxval(libc::AT_PHDR) } as *const c_void;
    let Some(ours) = object(keep_loaded as *const c_void) else {
        // Without a loader nothing is ever unloaded.
        return Ok(());
    };
    if object(program).is_some_and(|program| program.dli_fbase == ours.dli_fbase) {
        return Ok(());
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the loader's own name of a library that is loaded; nothing is run.
    if unsafe { libc::dlopen(ours.dli_fname, flags) }.is_null() {
        return Err(io::Error::other(
            "the library that heapwatch is part of could be unloaded while heapwatch's threads run; \
             load it with RTLD_NODELETE",
        ));
    }
    Ok(())
}

/// Nothing is known of other systems' loaders.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_loaded() -> io::Result<()> {
    Ok(())
}
