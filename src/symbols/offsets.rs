//! Modules and offsets in them: all that is known of a place whose file does not tell its name.

use super::names::escaped;
use crate::snapshot::{Frame, Module, Origin};

pub(super) fn offset_frame(module: &Module, address: u64) -> Frame {
    Frame {
        function: offset_name(module, address).into(),
        file: None,
        line: None,
        origin: Origin::Foreign,
        inlined: false,
    }
}

/// `libfoo.so+0x1234`: the offset is the address that the object file states.
pub(super) fn offset_name(module: &Module, address: u64) -> String {
    let name = module.path.rsplit('/').next().unwrap_or_default();
    let name = if name.is_empty() { "?" } else { name };
    format!("{}+{address:#x}", escaped(name))
}
