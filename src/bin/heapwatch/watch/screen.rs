//! The terminal: taken whole, and given back as it was, whatever happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Failure;

/// The alternate screen, in raw mode, until it is dropped. ratatui gives it back on a panic too.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    told_to_end: Arc<AtomicBool>,
}

/// What happened while waiting.
pub(super) enum Happening {
    Nothing,
    Key(KeyEvent),
    /// Someone told the process to end.
    Ended,
}

impl Screen {
    pub(super) fn take() -> Result<Screen, Failure> {
        let told_to_end = Arc::new(AtomicBool::new(false));
        // Not SIGHUP: the terminal is gone then, so nothing is to be given back, and waiting for a key
        // from it would never end. By default it ends the process.
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(&told_to_end)).map_err(Failure::new)?;
        }
        let terminal = ratatui::try_init().map_err(|error| broken(&error))?;
        Ok(Screen {
            terminal,
            told_to_end,
        })
    }

    pub(super) fn show(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        match self.terminal.draw(draw) {
            Ok(_) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Waits for a key, a new size or a signal; not longer than `time`.
    pub(super) fn wait(&self, time: Duration) -> Result<Happening, Failure> {
        // A signal interrupts the waiting, which is then no failure.
        let ready = event::poll(time);
        // Relaxed: the flag is all that is told.
        if self.told_to_end.load(Ordering::Relaxed) {
            return Ok(Happening::Ended);
        }
        if !ready.map_err(|error| broken(&error))? {
            return Ok(Happening::Nothing);
        }
        match event::read().map_err(|error| broken(&error))? {
            Event::Key(key) if key.kind != KeyEventKind::Release => Ok(Happening::Key(key)),
            _ => Ok(Happening::Nothing),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(format_args!("the terminal cannot be used: {error}"))
}
