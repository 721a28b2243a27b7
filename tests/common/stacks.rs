//! Work on small stacks and on foreign ones. Needs nothing else of `common`, as programs that tests
//! build include it, too.

use std::ffi::c_void;

/// What a thread of [`run_on_stack`] does.
#[derive(Clone, Copy)]
struct Task {
    left: usize,
    work: fn(),
}

/// Goes down the stack until no more than `left` bytes are left above `low`.
#[inline(never)]
fn with_left(low: usize, left: usize, work: fn()) {
    let here = std::hint::black_box([0_u64; 16]);
    if here.as_ptr() as usize - low > left {
        with_left(low, left, work);
    } else {
        work();
    }
    std::hint::black_box(&here);
}

/// The lower end of the calling thread's stack.
fn low_end() -> usize {
    // SAFETY: plain use of pthreads.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        let (mut low, mut size) = (std::ptr::null_mut(), 0);
        assert_eq!(
            libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes),
            0
        );
        libc::pthread_attr_getstack(&raw const attributes, &raw mut low, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        low as usize
    }
}

extern "C" fn thread_main(task: *mut c_void) -> *mut c_void {
    // SAFETY: `run_on_stack` keeps the task until this thread has ended.
    let Task { left, work } = unsafe { *task.cast::<Task>() };
    with_left(low_end(), left, work);
    std::ptr::null_mut()
}

/// Works on a thread of libc's, with a stack of this size of which so much is left.
pub fn run_on_stack(size: usize, left: usize, work: fn()) {
    let mut task = Task { left, work };
    // SAFETY: `thread_main` gets the task that it expects.
    unsafe { run_on_thread(size, thread_main, (&raw mut task).cast()) };
}

/// Runs a thread of libc's, with a stack of this size, to its end.
///
/// # Safety
///
/// The function may be called with that argument.
pub unsafe fn run_on_thread(
    size: usize,
    main: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) {
    // SAFETY: plain use of pthreads, and the caller's promise; the thread is joined.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        assert_eq!(libc::pthread_attr_init(&raw mut attributes), 0);
        assert_eq!(
            libc::pthread_attr_setstacksize(&raw mut attributes, size),
            0
        );
        let mut thread = std::mem::zeroed();
        let made = libc::pthread_create(&raw mut thread, &raw const attributes, main, argument);
        assert_eq!(made, 0, "no thread with a stack of {size} bytes");
        assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
        libc::pthread_attr_destroy(&raw mut attributes);
    }
}

/// Works in a context of libc's, as coroutines do.
///
/// # Safety
///
/// The stack is of readable and writable memory that nobody else uses.
pub unsafe fn run_in_context(stack: *mut u8, size: usize, work: extern "C" fn()) {
    // SAFETY: plain use of contexts; the stack outlives them.
    unsafe {
        let mut here: libc::ucontext_t = std::mem::zeroed();
        let mut there: libc::ucontext_t = std::mem::zeroed();
        assert_eq!(libc::getcontext(&raw mut there), 0);
        there.uc_stack.ss_sp = stack.cast();
        there.uc_stack.ss_size = size;
        there.uc_link = &raw mut here;
        libc::makecontext(&raw mut there, work, 0);
        assert_eq!(libc::swapcontext(&raw mut here, &raw const there), 0);
    }
}
