//! Progress of what takes longer than a second.

use std::io::Read;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Before this nothing is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where no terminal shows it, this much later a line says so.
const SILENCE: Duration = Duration::from_secs(3);

const REDRAW: Duration = Duration::from_millis(100);

const COUNTED: &str = "{msg} {wide_bar} {bytes}/{total_bytes}";
const PASSING: &str = "{spinner} {elapsed} of {prefix}: {wide_msg}";
const UNKNOWN: &str = "{spinner} {msg} {bytes} {elapsed}";

/// Shows on standard error that something goes on, until it is dropped: all the time on a terminal,
/// else by a line if nothing has come after a few seconds.
pub(crate) struct Waiting {
    bar: ProgressBar,
    done: Option<Sender<()>>,
    watcher: Option<JoinHandle<()>>,
}

impl Waiting {
    /// It is waited for at most `limit`, where there is one.
    pub(crate) fn new(message: String, limit: Option<Duration>) -> Waiting {
        let bar = ProgressBar::hidden()
            .with_style(style(UNKNOWN))
            .with_message(message.clone());
        let (done, over) = mpsc::channel();
        let shown = bar.clone();
        let watcher = thread::spawn(move || {
            let goes_on = |time| over.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            if !goes_on(PATIENCE) {
                return;
            }
            shown.set_draw_target(ProgressDrawTarget::stderr());
            if !shown.is_hidden() {
                shown.enable_steady_tick(REDRAW);
            } else if goes_on(SILENCE) && shown.position() == 0 {
                output::tell(&silence(&message, limit));
            }
        });
        Waiting {
            bar,
            done: Some(done),
            watcher: Some(watcher),
        }
    }

    /// Shows nothing.
    pub(crate) fn unseen() -> Waiting {
        Waiting {
            bar: ProgressBar::hidden(),
            done: None,
            watcher: None,
        }
    }

    /// Counts what is read, of `length` bytes where that is known.
    pub(crate) fn reader<R: Read>(&self, length: Option<u64>, from: R) -> impl Read + use<R> {
        if let Some(length) = length {
            self.bar.set_style(style(COUNTED));
            self.bar.set_length(length);
        }
        self.bar.wrap_read(from)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(watcher) = self.watcher.take() {
            // It does nothing that could panic; and there is nothing to tell if it did.
            let _ = watcher.join();
        }
        self.bar.finish_and_clear();
    }
}

/// Shows how much of a given time has passed: as a bar on a terminal, else as a line now and then,
/// which a log keeps.
pub(crate) struct Countdown {
    bar: ProgressBar,
    started: Instant,
    span: Duration,
}

impl Countdown {
    pub(crate) fn new(span: Duration) -> Countdown {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style(PASSING));
        bar.set_message("watching");
        bar.set_prefix(format!("{} s", span.as_secs()));
        bar.enable_steady_tick(REDRAW);
        Countdown {
            bar,
            started: Instant::now(),
            span,
        }
    }

    /// Says how things are.
    pub(crate) fn say(&self, state: &str) {
        if self.bar.is_hidden() {
            let (passed, all) = (self.started.elapsed().as_secs(), self.span.as_secs());
            output::tell(&format!("{passed} of {all} s: {state}"));
        } else {
            self.bar.set_message(state.to_owned());
        }
    }
}

impl Drop for Countdown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn silence(message: &str, limit: Option<Duration>) -> String {
    let waited = (PATIENCE + SILENCE).as_secs();
    match limit {
        Some(limit) => format!(
            "{message}: nothing has come for {waited} s; it is given {} s",
            limit.as_secs()
        ),
        None => format!("{message}: nothing has come for {waited} s"),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
