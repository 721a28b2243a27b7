//! The one bound that the tables share, [`MAX_SELF_BYTES`](crate::config::MAX_SELF_BYTES).

use super::own::Own;

/// Bytes of the tables that share a bound. The lists of loaded objects have one of their own, so
/// that a program that loads many still has its sites told apart; what walks keep is bounded by
/// itself.
pub(crate) fn table_bytes() -> usize {
    Own::Sites.bytes() + Own::Live.bytes() + Own::Scopes.bytes() + Own::Walks.bytes()
}
