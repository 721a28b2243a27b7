//! A seccomp filter that lets only listed system calls through.

use std::ffi::{c_int, c_long, c_void};

/// What a thread under the filter ends the process with when it calls anything else.
pub(crate) const REFUSED: c_int = 77;

const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") {
    0xC000_003E
} else {
    // aarch64
    0xC000_00B7
};
/// Offsets in the kernel's `seccomp_data`.
const OFFSET_OF_NUMBER: u32 = 0;
const OFFSET_OF_ARCHITECTURE: u32 = 4;

fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

/// Skips instructions if the loaded word is this one, or if it is not.
fn skip_if(word: u32, equal: u8, different: u8) -> libc::sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    instruction(code, word, equal, different)
}

fn answer(action: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    let code = code.try_into().unwrap();
    libc::sock_filter { code, jt, jf, k }
}

fn program(allowed: &[c_long]) -> Vec<libc::sock_filter> {
    let mut program = vec![
        load(OFFSET_OF_ARCHITECTURE),
        skip_if(ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(OFFSET_OF_NUMBER),
    ];
    for number in allowed {
        program.push(skip_if((*number).try_into().unwrap(), 0, 1));
        program.push(answer(libc::SECCOMP_RET_ALLOW));
    }
    // A signal rather than a plain end, so that the call can be named.
    program.push(answer(libc::SECCOMP_RET_TRAP));
    program
}

extern "C" fn refused(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    /// Where the number of the refused call is in the kernel's `siginfo_t` on 64-bit systems.
    const OFFSET: usize = 24;
    // SAFETY: the kernel's description of a SIGSYS has the number there.
    let number = unsafe { info.cast::<u8>().add(OFFSET).cast::<c_int>().read() };
    let mut text = *b"refused: system call 0000\n";
    let end = text.len() - 1;
    let mut rest = number;
    for digit in text[end - 4..end].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // SAFETY: plain system calls, which the filter lets through.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(REFUSED)
    }
}

/// From now on this thread may only call these; anything else ends the process, and says what it
/// was. `write` and `exit_group` must be among them.
pub(crate) fn install(allowed: &[c_long]) {
    let program = program(allowed);
    let filter = libc::sock_fprog {
        len: program.len().try_into().unwrap(),
        filter: program.as_ptr().cast_mut(),
    };
    let stack = vec![0_u8; 64 << 10].leak();
    // SAFETY: plain system calls with structures that are valid while they run; the alternate stack
    // stays.
    unsafe {
        let mut alternate: libc::stack_t = std::mem::zeroed();
        alternate.ss_sp = stack.as_mut_ptr().cast();
        alternate.ss_size = stack.len();
        assert_eq!(
            libc::sigaltstack(&raw const alternate, std::ptr::null_mut()),
            0
        );
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = refused as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let failed = libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut());
        assert_eq!(failed, 0);
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        let failed = libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter);
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    }
}
