//! Without the feature `symbols` no file is read: places are modules and offsets.

use super::lack::Lack;
use super::offsets::offset_frame;
use super::{Code, Resolved};
use crate::snapshot::Module;

pub(super) fn resolve(module: &Module, addresses: &[u64]) -> Resolved {
    let frame = |address: &u64| vec![offset_frame(module, *address)];
    Resolved {
        frames: addresses.iter().map(frame).collect(),
        lasting: true,
        lack: Some(Lack::Unread),
    }
}

/// Where a module's code is, its file would tell.
pub(crate) fn code(_: &Module) -> Option<Code> {
    None
}
