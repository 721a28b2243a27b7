//! The two text forms of metrics, and which of them a client asks for.

/// A text form of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Classic,
}

impl Exposition {
    /// The form that the value of an `Accept` header asks for.
    ///
    /// OpenMetrics only where it is named and not liked less than the classic form: a browser or
    /// `curl`, which takes anything, gets the form that every reader of Prometheus text knows.
    pub(crate) fn accepted(accept: &str) -> Exposition {
        let open = quality(accept, &["application/openmetrics-text"], &["1.0.0"]);
        let classic = quality(accept, &["text/plain", "text/*", "*/*"], &["0.0.4"]);
        if open > 0.0 && open >= classic {
            Exposition::OpenMetrics
        } else {
            Exposition::Classic
        }
    }

    /// The value of the `Content-Type` header.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// How much a client likes a form: the quality of the first of `types` that `Accept` names with no
/// version or one of `versions`; 0 where none is named.
fn quality(accept: &str, types: &[&str], versions: &[&str]) -> f64 {
    let of = |wanted: &str| {
        accept
            .split(',')
            .filter_map(|range| range_quality(range, wanted, versions))
            .reduce(f64::max)
    };
    types.iter().find_map(|wanted| of(wanted)).unwrap_or(0.0)
}

fn range_quality(range: &str, wanted: &str, versions: &[&str]) -> Option<f64> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(wanted) {
        return None;
    }
    let mut quality = 1.0;
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => quality = value.parse().unwrap_or(0.0),
            "version" if !versions.contains(&value) => return None,
            _ => {}
        }
    }
    (0.0..=1.0).contains(&quality).then_some(quality)
}

/// Rewrites OpenMetrics text with counters and gauges as Prometheus text 0.0.4.
///
/// There a counter's `HELP` and `TYPE` carry the name of its samples, `_total` included; there is no
/// `UNIT`, and no end mark. Samples are the same: no raw line break can be inside of one, because
/// label values escape it.
pub(super) fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 256);
    let mut help = None;
    for line in open_metrics.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            let suffix = if family.ends_with(" counter") {
                "_total"
            } else {
                ""
            };
            for line in help.take().into_iter().chain([line]) {
                push_with_suffix(&mut text, line, suffix);
            }
        } else if line != "# EOF" && !line.starts_with("# UNIT ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Adds a `# KIND name rest` line, its name followed by a suffix.
fn push_with_suffix(text: &mut String, line: &str, suffix: &str) {
    let mut words = line.splitn(4, ' ');
    for (index, word) in words.by_ref().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(word);
        if index == 2 {
            text.push_str(suffix);
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scraper that gets the form it did not ask for drops the target.
    #[test]
    fn accept_decides_the_form() {
        use Exposition::{Classic, OpenMetrics};
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            ("", Classic),
            ("*/*", Classic),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Classic),
            ("application/*", Classic),
            ("text/plain;version=0.0.4", Classic),
            ("application/json", Classic),
            (prometheus_2, OpenMetrics),
            (prometheus_3, OpenMetrics),
            ("application/openmetrics-text", OpenMetrics),
            ("Application/OpenMetrics-Text; Version=1.0.0", OpenMetrics),
            (
                "application/openmetrics-text; version=\"1.0.0\"; charset=utf-8",
                OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", Classic),
            ("application/openmetrics-text;q=0", Classic),
            ("application/openmetrics-text;q=0.0, */*", Classic),
            ("application/openmetrics-text;q=nonsense", Classic),
            (
                "application/openmetrics-text;q=0.5, text/plain;q=0.9",
                Classic,
            ),
            ("application/openmetrics-text;q=0.5, text/*;q=0.9", Classic),
            (
                "text/plain;q=0.5, application/openmetrics-text;q=0.9",
                OpenMetrics,
            ),
            ("application/openmetrics-text, text/plain", OpenMetrics),
            (
                "text/plain;q=0.1, */*, application/openmetrics-text;q=0.4",
                OpenMetrics,
            ),
        ] {
            assert_eq!(Exposition::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn classic_form_names_counters_by_their_samples() {
        let open = "# HELP a_bytes Bytes of a.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
                    a_bytes_total{x=\"1\"} 5\n\
                    # HELP b Some counter, not a counter.\n# TYPE b gauge\nb 1\n# EOF\n";
        let expected = "# HELP a_bytes_total Bytes of a.\n# TYPE a_bytes_total counter\n\
                        a_bytes_total{x=\"1\"} 5\n\
                        # HELP b Some counter, not a counter.\n# TYPE b gauge\nb 1\n";
        assert_eq!(classic(open), expected);
    }

    /// A label value is the program's own text and may look like anything.
    #[test]
    fn label_values_pass_unchanged() {
        for value in [
            r#"\"quoted\""#,
            r"back\\slash",
            r"line\nbreak\n# EOF",
            "# TYPE x counter",
        ] {
            let sample = format!("a{{x=\"{value}\"}} 1\n");
            let open = format!("# HELP a Help.\n# TYPE a gauge\n{sample}# EOF\n");
            assert_eq!(
                classic(&open),
                format!("# HELP a Help.\n# TYPE a gauge\n{sample}")
            );
        }
    }
}
