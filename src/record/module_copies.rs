//! Copies of what was read of loaded objects: unwind tables, paths, build ids. They stay for good, each
//! once, so that unloading an object under a capture's feet is harmless.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use allocator_api2::boxed::Box;

use super::own::{Own, OwnVec};

/// Bytes that may be copied.
const MAX_COPIED: usize = 16 << 20;

static COPIED: AtomicUsize = AtomicUsize::new(0);
/// The last one, which leads to the others.
static COPIES: AtomicPtr<Copy> = AtomicPtr::new(ptr::null_mut());

struct Copy {
    bytes: OwnVec<u8>,
    before: Option<&'static Copy>,
}

/// The last copy that was made.
fn last() -> Option<&'static Copy> {
    // Acquire: pairs with the release in `keep`.
    let last = COPIES.load(Ordering::Acquire);
    // SAFETY: copies are published whole, never changed and never freed.
    unsafe { last.as_ref() }
}

/// A copy, made unless there is one: plugins that take each other's place are copied once each. `None`
/// without memory or past the bound. Called by one thread at a time.
pub(super) fn keep(bytes: &[u8]) -> Option<&'static [u8]> {
    let mut copies = std::iter::successors(last(), |copy| copy.before);
    if let Some(copy) = copies.find(|copy| copy.bytes == bytes) {
        return Some(&copy.bytes);
    }
    let mut copy = OwnVec::new_in(Own::Modules);
    let copied = COPIED.load(Ordering::Relaxed) + bytes.len();
    if copied > MAX_COPIED || copy.try_reserve_exact(bytes.len()).is_err() {
        return None;
    }
    copy.extend_from_slice(bytes);
    let before = last();
    let copy = Copy {
        bytes: copy,
        before,
    };
    let copy = Box::leak(Box::try_new_in(copy, Own::Modules).ok()?);
    COPIED.store(copied, Ordering::Relaxed);
    // Release: pairs with the acquire in `last`.
    COPIES.store(copy, Ordering::Release);
    Some(&copy.bytes)
}
