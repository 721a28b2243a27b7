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

/// Time between two points of the history unless told otherwise: 5 s.
pub(crate) const DEFAULT_TICK_NS: u64 = 5_000_000_000;

/// The shortest tick, 10 ms, and the longest, an hour.
pub(crate) const TICK_LIMITS_NS: (u64, u64) = (10_000_000, 3_600_000_000_000);

/// What `HEAPWATCH_TICK` says: seconds, with a fraction if need be. In nanoseconds.
///
/// Runs inside malloc: neither allocates nor formats.
pub(crate) fn parse_tick(text: &[u8]) -> Option<u64> {
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let (whole, fraction) = (parts.next()?, parts.next());
    let seconds = u64::from(parse_interval(whole)?);
    let mut nanos = 0;
    if let Some(digits) = fraction {
        if digits.is_empty() || digits.len() > 9 {
            return None;
        }
        nanos = u64::from(parse_interval(digits)?) * 10_u64.pow(9 - digits.len() as u32);
    }
    let tick = seconds * 1_000_000_000 + nanos;
    (TICK_LIMITS_NS.0..=TICK_LIMITS_NS.1)
        .contains(&tick)
        .then_some(tick)
}

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

    /// A wrong tick would make every rate and age wrong by the same factor.
    #[test]
    fn tick_is_seconds_with_a_fraction() {
        assert_eq!(parse_tick(b"5"), Some(5_000_000_000));
        assert_eq!(parse_tick(b"0.1"), Some(100_000_000));
        assert_eq!(parse_tick(b"2.25"), Some(2_250_000_000));
        for bad in [
            "",
            "0",
            "0.001",
            "3601",
            ".5",
            "5.",
            "-1",
            "1e3",
            "0.1234567891",
            "1.2.3",
        ] {
            assert_eq!(parse_tick(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
