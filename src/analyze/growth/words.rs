//! The sentences: what was seen, and what else would look like it.

use super::{Container, Course, Finding, Judgement, Pattern, Tail, Trend, Verdict};

/// What was seen, in one sentence without a full stop.
///
/// Counts of objects older than some age are counts of samples; that is said.
#[must_use]
pub(crate) fn sentence(judgement: &Judgement) -> String {
    let seen = match &judgement.finding {
        Finding::Tail(tail) => of_tail(tail, judgement.typical_life_seconds),
        Finding::Trend(trend) => of_trend(trend, judgement.pattern),
        Finding::Container(container) => of_container(container),
        Finding::Course(course) => of_course(course, judgement.verdict),
        Finding::Nothing => {
            format!(
                "watched for {}, which is too short to judge",
                time(judgement.watched_seconds)
            )
        }
    };
    if judgement.withdrawn {
        return format!("{seen}; too little to stand out among all sites judged");
    }
    seen
}

/// What else would look like this; none where nothing alarms.
#[must_use]
pub(crate) fn caution(judgement: &Judgement) -> Option<String> {
    let also = match &judgement.finding {
        _ if judgement.pattern == Some(Pattern::WithLoad) => {
            return Some("lifetimes have not changed: it will stop when the load does".into());
        }
        _ if !judgement.alarms() => return None,
        Finding::Tail(_) => format!(
            "a cache that has not filled yet; it would have to hold {} objects ({}) by now",
            count(judgement.live_objects),
            bytes(judgement.live_bytes),
        ),
        Finding::Trend(_) => {
            "a queue that will be drained later, or lives that are still adjusting to a new load"
                .into()
        }
        Finding::Container(_) => {
            "a collection that has just reached its final size; the next jump would then not come"
                .into()
        }
        Finding::Course(_) | Finding::Nothing => return None,
    };
    let mixed = if judgement.pattern == Some(Pattern::Mixed) {
        "the table of sites was full, so many call sites are counted here as one; "
    } else {
        ""
    };
    Some(format!("{mixed}would also look like this: {also}"))
}

fn of_tail(tail: &Tail, typical: Option<f64>) -> String {
    let spread = match tail.evenness {
        even if even >= 6.0 => "evenly",
        even if even >= 4.0 => "throughout",
        _ => "in bursts",
    };
    let life = typical.map_or_else(
        || "nothing has been freed at this site".to_owned(),
        |seconds| format!("typical life at this site is {}", time(seconds)),
    );
    format!(
        "{} of {} sampled objects older than {} are still alive, born {spread} over {}; {life}",
        tail.alive,
        tail.reached,
        time(tail.age_seconds),
        time(tail.born_over_seconds),
    )
}

fn of_trend(trend: &Trend, pattern: Option<Pattern>) -> String {
    let (early, late, over) = (
        bytes(trend.early_bytes),
        bytes(trend.late_bytes),
        time(trend.seconds),
    );
    let load = times(trend.load_ratio);
    if pattern == Some(Pattern::WithLoad) {
        return format!(
            "live bytes rose from {early} to {late} over {over}, no more than the rate of allocation, \
             which is {load} what it was"
        );
    }
    let lives = if trend.lives_lengthen() {
        ": objects live longer and longer"
    } else {
        ""
    };
    format!(
        "live bytes rose from {early} to {late} over {over}, while the rate of allocation is \
         {load} what it was{lives}"
    )
}

fn of_container(container: &Container) -> String {
    format!(
        "live bytes rose from {} to {} in {} jumps over {}, the last {} ago, and never fell; the largest \
         object has {}",
        bytes(container.from_bytes),
        bytes(container.to_bytes),
        container.jumps,
        time(container.over_seconds),
        time(container.since_seconds),
        bytes(container.largest_bytes),
    )
}

fn of_course(course: &Course, verdict: Verdict) -> String {
    let (low, peak, now) = (
        bytes(f64::from(course.low)),
        bytes(f64::from(course.peak)),
        bytes(f64::from(course.now)),
    );
    match verdict {
        Verdict::TooEarly => format!("at most {peak} so far, too few samples to judge"),
        Verdict::Cyclic => format!("live bytes swing between {low} and {peak}, now {now}"),
        Verdict::Plateaued => {
            format!(
                "live bytes grew and have been flat at {now} for {}",
                time(course.flat_seconds)
            )
        }
        _ if course.pattern == Some(Pattern::Freed) => {
            format!("live bytes fell from a peak of {peak} to {now}")
        }
        _ => format!("live bytes stay between {low} and {peak}, now {now}"),
    }
}

/// Two digits: no more is known of what few samples stand for.
fn two_digits(value: f64) -> String {
    if value < 99.5 {
        return short(value);
    }
    let scale = 10f64.powi(value.log10().floor() as i32 - 1);
    short((value / scale).round() * scale)
}

/// A decimal below ten only.
fn short(value: f64) -> String {
    let words = if value >= 9.95 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    };
    words.trim_end_matches(".0").to_owned()
}

/// How many times as much: what came from next to nothing is told no further than that.
fn times(ratio: f64) -> String {
    match ratio {
        r if r > 100.0 => "more than 100 times".to_owned(),
        r if r >= 9.95 => format!("{r:.0} times"),
        r => format!("{r:.1} times"),
    }
}

/// Time is not sampled: whole days are known, however many.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 0.1 => (s * 1e3, "ms"),
        s if s < 100.0 => (s, "s"),
        s if s < 6_000.0 => (s / 60.0, "min"),
        s if s < 48.0 * 3_600.0 => (s / 3_600.0, "h"),
        s => (s / 86_400.0, "days"),
    };
    format!("{} {unit}", short(value))
}

fn bytes(value: f64) -> String {
    let mut value = value.max(0.0).round();
    for unit in ["B", "KiB", "MiB", "GiB"] {
        // What would round to 1000 is told in the next unit.
        if value < 995.0 {
            return format!("{} {unit}", two_digits(value));
        }
        value /= 1_024.0;
    }
    format!("{} TiB", two_digits(value))
}

fn count(value: f64) -> String {
    let (value, unit) = match value.round() {
        n if n < 9_950.0 => return two_digits(n),
        n if n < 995e3 => (n / 1e3, " thousand"),
        n if n < 995e6 => (n / 1e6, " million"),
        n => (n / 1e9, " billion"),
    };
    two_digits(value) + unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::growth::Rate;

    fn leak() -> Judgement {
        Judgement {
            verdict: Verdict::Leaking,
            pattern: None,
            rate: Rate::default(),
            confidence: Some(1.0),
            p_value: 0.0,
            finding: Finding::Tail(Tail {
                reached: 31,
                alive: 31,
                age_seconds: 240.0,
                born_over_seconds: 1_200.0,
                evenness: 7.2,
                rate: Rate::default(),
                confidence: 1.0,
                p_value: 0.0,
            }),
            live_objects: 81_000.0,
            live_bytes: 17.0 * 1024.0 * 1024.0,
            typical_life_seconds: Some(0.2),
            watched_seconds: 1_500.0,
            withdrawn: false,
        }
    }

    #[test]
    fn a_leak_in_words() {
        assert_eq!(
            sentence(&leak()),
            "31 of 31 sampled objects older than 4 min are still alive, born evenly over 20 min; \
             typical life at this site is 0.2 s"
        );
        assert_eq!(
            caution(&leak()).as_deref(),
            Some(
                "would also look like this: a cache that has not filled yet; it would have to hold \
                 81 thousand objects (17 MiB) by now"
            )
        );
    }

    #[test]
    fn mixed_content_is_said() {
        let mixed = Judgement {
            verdict: Verdict::Growing,
            pattern: Some(Pattern::Mixed),
            ..leak()
        };
        assert!(
            caution(&mixed).is_some_and(|words| words.starts_with("the table of sites was full"))
        );
    }

    #[test]
    fn nothing_alarming_needs_no_caution() {
        let calm = Judgement {
            verdict: Verdict::Stable,
            ..leak()
        };
        assert_eq!(caution(&calm), None);
    }

    #[test]
    fn numbers_have_two_digits() {
        assert_eq!(time(0.0203), "20 ms");
        assert_eq!(time(95.0), "95 s");
        assert_eq!(time(18_700.0), "5.2 h");
        assert_eq!(bytes(3_250_000.0), "3.1 MiB");
        assert_eq!(time(365.0 * 86_400.0), "365 days");
        assert_eq!(bytes(0.4), "0 B");
        assert_eq!(bytes(994.0), "990 B");
        assert_eq!(bytes(994.9), "1 KiB");
        assert_eq!(bytes(999.0), "1 KiB");
        assert_eq!(bytes(523.4 * 1_048_576.0), "520 MiB");
        assert_eq!(bytes(99.6 * 1_048_576.0), "100 MiB");
        assert_eq!(bytes(996.0 * 1_048_576.0), "1 GiB");
        assert_eq!(bytes(12_345.0 * 1024f64.powi(4)), "12000 TiB");
        assert_eq!(count(0.0), "0");
        assert_eq!(count(42.4), "42");
        assert_eq!(count(918.0), "920");
        assert_eq!(count(1_234.4), "1200");
        assert_eq!(count(9_949.9), "10 thousand");
        assert_eq!(count(999_999.0), "1 million");
        assert_eq!(count(2_350_000.0), "2.4 million");
    }

    /// A load that was next to nothing at first is not known to ten digits, and was not infinite.
    #[test]
    fn a_load_from_next_to_nothing_is_not_counted() {
        assert_eq!(times(0.96), "1.0 times");
        assert_eq!(times(12.34), "12 times");
        assert_eq!(times(100.0), "100 times");
        assert_eq!(times(3.2e9), "more than 100 times");
        assert_eq!(times(f64::INFINITY), "more than 100 times");
    }
}
