//! Numbers as people read them: never with more digits than their error allows.
//!
//! An error is told with one digit, or two where it begins with 1 (`± 0.4`, `± 1.4`), and the
//! number it belongs to ends at the same place (`12.3 MiB ± 1.4`). Exact numbers have at most four
//! digits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::analyze::Estimate;
use crate::snapshot::muted;

/// Most digits that any number has.
const MAX_DIGITS: i32 = 4;

const BYTES: Units = Units {
    base: 1024.0,
    names: &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"],
};

const COUNT: Units = Units {
    base: 1000.0,
    names: &["", "k", "M", "G", "T", "P"],
};

/// As people read them: never with more digits than the error allows.
impl Estimate {
    /// The number of bytes that it is: `12.3 MiB ± 1.4`.
    pub fn bytes_text(&self) -> String {
        muted(|| bytes_with_error(self))
    }

    /// The number of objects that it is: `12.3k`.
    pub fn count_text(&self) -> String {
        muted(|| count(self))
    }

    /// The change in bytes that it is: `+12.3 MiB ± 1.4`.
    pub fn change_text(&self) -> String {
        muted(|| bytes_change_with_error(self))
    }

    /// The bytes per second that it is, by the second, minute or hour: `+3.1 MiB/min ± 0.4`.
    pub fn rate_text(&self) -> String {
        muted(|| signed(self, super::growth::rate_text(self)))
    }
}

struct Units {
    base: f64,
    names: &'static [&'static str],
}

/// `12.3 MiB`
pub(crate) fn bytes(value: &Estimate) -> String {
    Scaled::new(value, &BYTES).value_or_zero()
}

/// `12.3 MiB ± 1.4`
pub(crate) fn bytes_with_error(value: &Estimate) -> String {
    Scaled::new(value, &BYTES).with_error()
}

/// `10.9–13.8 MiB`
pub(crate) fn bytes_range(value: &Estimate) -> String {
    Scaled::new(value, &BYTES).range()
}

/// `+12.3 MiB`, `-3 MiB`
pub(crate) fn bytes_change(value: &Estimate) -> String {
    signed(value, bytes(value))
}

/// `+12.3 MiB ± 1.4`
pub(crate) fn bytes_change_with_error(value: &Estimate) -> String {
    signed(value, bytes_with_error(value))
}

/// `-3 to +14 MiB`
pub(crate) fn bytes_change_range(value: &Estimate) -> String {
    let scaled = Scaled::new(value, &BYTES);
    if scaled.exact {
        return "exact".to_owned();
    }
    let end = |value: f64, round| {
        let digits = scaled.digits(value, round);
        if value > 0.0 {
            format!("+{digits}")
        } else {
            digits
        }
    };
    let low = end(scaled.value.low, f64::floor);
    let high = end(scaled.value.high, f64::ceil);
    format!("{low} to {high}{}", scaled.unit)
}

/// `+12.3k`
pub(crate) fn count_change(value: &Estimate) -> String {
    signed(value, Scaled::new(value, &COUNT).value_or_zero())
}

/// `+12.3k ± 1.4k`
pub(crate) fn count_change_with_error(value: &Estimate) -> String {
    signed(value, counted_with_error(&Scaled::new(value, &COUNT)))
}

fn signed(value: &Estimate, text: String) -> String {
    // What rounds to nothing has no sign.
    let rounded = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.');
    if value.estimate > 0.0 && rounded.into_iter().any(|c| matches!(c, '1'..='9')) {
        format!("+{text}")
    } else {
        text
    }
}

/// `12.3k`, or `≈5k` of what is less than its error: there is some of it, and nothing is no number of
/// objects that hold bytes.
pub(crate) fn count(value: &Estimate) -> String {
    match is_vague(value) {
        true => format!("≈{}", one_digit(value.estimate)),
        false => Scaled::new(value, &COUNT).value_or_zero(),
    }
}

fn is_vague(value: &Estimate) -> bool {
    value.estimate > 0.0 && value.estimate < value.half_width()
}

/// `5k`, and of less than one object `1`.
fn one_digit(value: f64) -> String {
    let place = value.max(1.0).log10().floor() as i32;
    let digit = to_place(value.max(1.0), place, f64::round);
    Scaled::new(&Estimate::exact(digit), &COUNT).value()
}

/// `12.3k ± 1.4k`, or `0–20k` of what is less than its error.
pub(crate) fn count_with_error(value: &Estimate) -> String {
    let scaled = Scaled::new(value, &COUNT);
    match is_vague(value) {
        true => scaled.range(),
        false => counted_with_error(&scaled),
    }
}

fn counted_with_error(scaled: &Scaled) -> String {
    let unit = if scaled.exact { "" } else { scaled.unit };
    scaled.with_error() + unit
}

/// A number of bytes that is known: `512 KiB`.
pub(crate) fn exact_bytes(value: f64) -> String {
    bytes(&Estimate::exact(value))
}

/// `45 %`, of a share between 0 and 1 and the half width of its interval.
pub(crate) fn percent(share: f64, error: f64) -> String {
    let (share, error) = (share * 100.0, error * 100.0);
    let decimals = if error > 0.0 && error < 1.0 { 1 } else { 0 };
    let place = place(share, error).max(-decimals);
    format!("{} %", fixed(to_place(share, place, f64::round), place))
}

/// `4.2 s`, `12 min 30 s`, `3 h 12 min`, `2 d 3 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600, whole / 60);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {} min", minutes % 60)
    } else {
        format!("{minutes} min {} s", whole % 60)
    }
}

/// Time that is an estimate: `2.7 d`, in one unit and two digits.
pub(crate) fn rough_duration(seconds: f64) -> String {
    let units = [
        (90.0, 1.0, "s"),
        (5_400.0, 60.0, "min"),
        (172_800.0, 3_600.0, "h"),
        (63_115_200.0, 86_400.0, "d"),
    ];
    let unit = units.into_iter().find(|(end, ..)| seconds < *end);
    let (_, size, unit) = unit.unwrap_or((f64::INFINITY, 31_557_600.0, "years"));
    let value = seconds / size;
    let decimals = usize::from(value < 9.95);
    let digits = format!("{value:.decimals$}");
    format!("{} {unit}", digits.trim_end_matches(".0"))
}

/// `Tue, 14 Nov 2023 22:13:20 GMT`; times before 1970 and after 9999 as the nearest of these.
pub(crate) fn date(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.clamp(UNIX_EPOCH, last))
}

/// `18,234`
pub(crate) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An estimate in a unit, and the place (power of ten) of its last digit that means something.
struct Scaled {
    value: Estimate,
    exact: bool,
    unit: &'static str,
    smallest_unit: &'static str,
    place: i32,
}

impl Scaled {
    fn new(value: &Estimate, units: &Units) -> Self {
        let error = value.half_width();
        let size = if value.estimate.abs() > error {
            value.estimate.abs()
        } else {
            value.low.abs().max(value.high.abs())
        };
        let mut scale = 1.0;
        let mut index = 0;
        while size / scale >= units.base - 0.5 && index + 1 < units.names.len() {
            scale *= units.base;
            index += 1;
        }
        let scaled = Estimate {
            estimate: value.estimate / scale,
            low: value.low / scale,
            high: value.high / scale,
        };
        let mut place = place(scaled.estimate, error / scale);
        if index == 0 {
            // There is no part of a byte or an object.
            place = place.max(0);
        }
        Scaled {
            value: scaled,
            exact: error == 0.0,
            unit: units.names[index],
            smallest_unit: units.names[0],
            place,
        }
    }

    fn value(&self) -> String {
        format!(
            "{}{}",
            self.digits(self.value.estimate, f64::round),
            self.unit
        )
    }

    /// Nothing, and what rounds to it, is nothing in any unit.
    fn value_or_zero(&self) -> String {
        if to_place(self.value.estimate, self.place, f64::round) == 0.0 {
            return format!("0{}", self.smallest_unit);
        }
        self.value()
    }

    fn with_error(&self) -> String {
        if self.exact {
            return self.value();
        }
        // Rounding must not tell an error of nothing.
        let error = self.value.half_width().max(10f64.powi(self.place));
        format!("{} ± {}", self.value(), self.digits(error, f64::round))
    }

    fn range(&self) -> String {
        if self.exact {
            return self.value();
        }
        let low = self.digits(self.value.low, f64::floor);
        let high = self.digits(self.value.high, f64::ceil);
        format!("{low}–{high}{}", self.unit)
    }

    fn digits(&self, value: f64, round: fn(f64) -> f64) -> String {
        let text = fixed(to_place(value, self.place, round), self.place);
        if self.exact && text.contains('.') {
            return text.trim_end_matches('0').trim_end_matches('.').to_owned();
        }
        text
    }
}

/// The place of the last digit to show of a value with this error.
fn place(value: f64, error: f64) -> i32 {
    let first = |value: f64| value.log10().floor() as i32;
    let finest = if value == 0.0 {
        i32::MIN
    } else {
        first(value.abs()) + 1 - MAX_DIGITS
    };
    if error == 0.0 {
        return finest.max(1 - MAX_DIGITS);
    }
    // 0.97 and more rounds to 1.0.
    let error_first = first(error * 1.03);
    let leading = error / 10f64.powi(error_first);
    let coarse = if leading < 1.95 {
        error_first - 1
    } else {
        error_first
    };
    coarse.max(finest)
}

fn to_place(value: f64, place: i32, round: fn(f64) -> f64) -> f64 {
    // Dividing by a power of ten below one would make 0.3 of 3·0.1: 0.30000000000000004.
    if place < 0 {
        let scale = 10f64.powi(-place);
        round(value * scale) / scale
    } else {
        let scale = 10f64.powi(place);
        round(value / scale) * scale
    }
}

fn fixed(value: f64, place: i32) -> String {
    // `+ 0.0` turns −0 into 0.
    format!("{:.*}", usize::try_from(-place).unwrap_or(0), value + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate {
            estimate: value,
            low,
            high,
        }
    }

    fn around(value: f64, error: f64) -> Estimate {
        estimate(value, value - error, value + error)
    }

    /// A digit too many claims a precision that sampling does not have.
    #[test]
    fn digits_end_where_the_error_begins() {
        for (value, error, expected) in [
            (12.34567, 1.42, "12.3 MiB ± 1.4"),
            (12.34567, 3.7, "12 MiB ± 4"),
            (12.34567, 0.21, "12.3 MiB ± 0.2"),
            (12.34567, 0.000_3, "12.35 MiB ± 0.01"),
            (12.34567, 0.098, "12.35 MiB ± 0.10"),
            (312.0, 140.0, "310 MiB ± 140"),
            (312.0, 190.0, "310 MiB ± 190"),
            (312.0, 240.0, "300 MiB ± 200"),
            (1023.8, 33.0, "1.00 GiB ± 0.03"),
            (0.5, 1.4, "0.5 MiB ± 1.4"),
            (0.0, 0.96, "0 KiB ± 1000"),
            (-3.1, 0.42, "-3.1 MiB ± 0.4"),
            (-0.04, 4.0, "0 MiB ± 4"),
        ] {
            let value = around(value * MIB, error * MIB);
            assert_eq!(bytes_with_error(&value), expected);
        }
    }

    /// The interval is told outward: what it covers, its text covers.
    #[test]
    fn ranges_are_rounded_outward() {
        let one_sample = estimate(524_416.0, 13_277.0, 2_921_900.0);
        assert_eq!(bytes_range(&one_sample), "0.0–2.8 MiB");
        assert_eq!(bytes(&one_sample), "0.5 MiB");
        assert_eq!(bytes_range(&estimate(5e6, 3.21e6, 8.1e6)), "3–8 MiB");
        assert_eq!(bytes_range(&estimate(0.0, 0.0, 1.934e6)), "0.0–1.9 MiB");
        assert_eq!(bytes(&estimate(0.0, 0.0, 1.934e6)), "0 B");
        assert_eq!(bytes_range(&estimate(5e6, 3.21e6, 8.5e6)), "3–9 MiB");
    }

    /// A change without its sign, or with one too many, says the opposite.
    #[test]
    fn changes_have_signs() {
        assert_eq!(bytes_change(&around(12.3 * MIB, 1.4 * MIB)), "+12.3 MiB");
        assert_eq!(bytes_change(&around(-12.3 * MIB, 1.4 * MIB)), "-12.3 MiB");
        assert_eq!(bytes_change(&Estimate::exact(0.0)), "0 B");
        assert_eq!(bytes_change(&around(0.04 * MIB, 2.4 * MIB)), "0 B");
        assert_eq!(count_change(&around(-40.0, 2_400.0)), "0");
        for (change, text) in [
            (0.04, "0.0 MiB ± 1.4"),
            (-0.04, "0.0 MiB ± 1.4"),
            (0.06, "+0.1 MiB ± 1.4"),
        ] {
            let change = around(change * MIB, 1.4 * MIB);
            assert_eq!(bytes_change_with_error(&change), text);
        }
        let objects = around(4.0, 1_400.0);
        assert_eq!(count_change_with_error(&objects), "0.0k ± 1.4k");
        let range = |low, high| bytes_change_range(&estimate((low + high) / 2.0, low, high));
        assert_eq!(range(-3.1 * MIB, 13.2 * MIB), "-4 to +14 MiB");
        assert_eq!(range(-13.1 * MIB, -3.9 * MIB), "-14 to -3 MiB");
        assert_eq!(range(0.0, 9.0 * MIB), "0 to +9 MiB");
        assert_eq!(count_change(&around(12_345.0, 1_200.0)), "+12.3k");
    }

    /// What was counted one by one is told in full, up to four digits.
    #[test]
    fn exact_numbers_have_no_error() {
        for (value, expected) in [
            (0.0, "0 B"),
            (7.0, "7 B"),
            (1_023.0, "1023 B"),
            (524_288.0, "512 KiB"),
            (1_572_864.0, "1.5 MiB"),
            (1_600_000.0, "1.526 MiB"),
            (100.0 * 1024.0 * MIB, "100 GiB"),
        ] {
            assert_eq!(exact_bytes(value), expected);
            assert_eq!(bytes_with_error(&Estimate::exact(value)), expected);
            assert_eq!(bytes_range(&Estimate::exact(value)), expected);
        }
    }

    /// There is no half object.
    #[test]
    fn counts_are_whole_and_shortened() {
        assert_eq!(count(&around(26.4, 0.3)), "26");
        assert_eq!(count(&around(26.4, 13.0)), "26");
        assert_eq!(count(&around(12_345.0, 1_200.0)), "12.3k");
        assert_eq!(count_with_error(&around(12_345.0, 1_200.0)), "12.3k ± 1.2k");
        assert_eq!(count(&around(2.5e6, 4e5)), "2.5M");
        assert_eq!(count(&Estimate::exact(999.0)), "999");
        assert_eq!(count_with_error(&Estimate::exact(12_345.0)), "12.35k");
        assert_eq!(count(&estimate(0.0, 0.0, 9_000.0)), "0");
    }

    /// Where there are bytes there are objects: "21 MiB in 0 objects" is false whatever the error is.
    #[test]
    fn counts_below_their_error_are_never_none() {
        let count_of = |value| (count(&value), count_with_error(&value));
        let texts = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            count_of(estimate(4_870.0, 21.0, 18_300.0)),
            texts("≈5k", "0–19k")
        );
        assert_eq!(
            count_of(estimate(21.0, 20.0, 3e6)),
            texts("≈20", "0.0–3.0M")
        );
        assert_eq!(count_of(estimate(0.4, 0.1, 30.0)), texts("≈1", "0–30"));
        assert_eq!(
            count_of(estimate(967.0, 0.0, 9_600.0)),
            texts("≈1k", "0–10k")
        );
    }

    /// A clock may be wrong, and a file may say anything; a report does not panic for it.
    #[test]
    fn dates_are_bounded() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(date(at(1_700_000_000)), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(date(at(1 << 60)), "Fri, 31 Dec 9999 23:59:59 GMT");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(date(before), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn shares_durations_and_thousands() {
        assert_eq!(percent(0.453, 0.12), "45 %");
        assert_eq!(percent(0.453, 0.004), "45.3 %");
        assert_eq!(percent(0.453, 0.3), "50 %");
        assert_eq!(percent(1.0, 0.0), "100 %");
        assert_eq!(duration(4.21), "4.2 s");
        assert_eq!(duration(59.99), "1 min 0 s");
        assert_eq!(duration(750.2), "12 min 30 s");
        assert_eq!(duration(11_520.0), "3 h 12 min");
        assert_eq!(duration(183_600.0), "2 d 3 h");
        assert_eq!(rough_duration(0.0), "0 s");
        assert_eq!(rough_duration(3_600.0), "60 min");
        assert_eq!(rough_duration(170_753.0), "47 h");
        assert_eq!(rough_duration(237_476.0), "2.7 d");
        assert_eq!(rough_duration(1e9), "32 years");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(18_234), "18,234");
        assert_eq!(thousands(1_000_000), "1,000,000");
    }
}
