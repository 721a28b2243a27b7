//! Settings, their limits, and the checks on them.

/// Mean bytes between two samples unless told otherwise: 512 KiB.
pub(crate) const DEFAULT_INTERVAL: u32 = 512 * 1024;

/// The largest sampling interval. Beyond 4 GiB a sampler sees nothing, and live samples keep
/// their interval in 32 bits.
pub(crate) const MAX_INTERVAL: u64 = u32::MAX as u64;

/// Distinct stacks that are told apart; the rest is counted in one overflow site.
pub(crate) const MAX_SITES: usize = 65_536;

/// Sampled blocks that may be live at once.
pub(crate) const MAX_LIVE_SAMPLES: usize = 1_048_576;

/// Bytes that the tables of sites and live samples may take together.
pub(crate) const MAX_SELF_BYTES: usize = 64 << 20;

/// Frames that a stack keeps, allocator frames not counted.
pub(crate) const MAX_DEPTH: usize = 128;

/// What `HEAPWATCH_INTERVAL` says, or why it says nothing usable.
///
/// Runs inside malloc: neither allocates nor formats.
pub(crate) fn parse_interval(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    let mut value: u64 = 0;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(byte - b'0');
    }
    u32::try_from(value).ok()
}

#[cfg(feature = "server")]
mod endpoint;

#[cfg(feature = "server")]
pub use endpoint::Config;
#[cfg(feature = "server")]
pub(crate) use endpoint::Token;

#[cfg(test)]
mod tests {
    use super::*;

    /// A wrong parse would silently sample at another rate than the owner asked for.
    #[test]
    fn interval_is_plain_decimal_bytes_up_to_the_limit() {
        assert_eq!(parse_interval(b"0"), Some(0));
        assert_eq!(parse_interval(b"1"), Some(1));
        assert_eq!(parse_interval(b"524288"), Some(524_288));
        assert_eq!(parse_interval(b"4294967295"), Some(u32::MAX));
        for bad in [
            "",
            "4294967296",
            "99999999999",
            "-1",
            "512k",
            " 1",
            "1 ",
            "0x10",
        ] {
            assert_eq!(parse_interval(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
