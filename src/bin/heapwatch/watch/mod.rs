//! `heapwatch watch`: the full screen.
//!
//! A thread asks the service, [`View`] is what is known and chosen, [`keys`] changes it and [`draw`]
//! shows it.

mod draw;
mod keys;
mod lines;
mod past;
mod poll;
mod save;
mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal};
use std::time::Duration;

use crate::Outcome;
use crate::args::Watch;
use crate::failure::Failure;
use crate::source::Source;

use keys::Deed;
use poll::{News, Poller, Service};
use screen::{Happening, Screen};
use view::View;

/// Between two looks at what the poller has: a key is answered at once all the same.
const BEAT: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &Watch) -> Result<Outcome, Failure> {
    let source = &args.source;
    if matches!(source, Source::File(_) | Source::Stdin) {
        return Err(Failure::new(format_args!(
            "watch needs the URL of a running service, such as http://127.0.0.1:6790/, and not {source}"
        )));
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::new(
            "watch needs a terminal; heapwatch top and heapwatch check write lines",
        ));
    }
    let service = Service {
        source: source.clone(),
        token: args.access.token().map(str::to_owned),
    };
    // Before the screen is taken: a wrong address is told in a line that stays.
    let first = service.ask_aloud()?;
    let mut view = View::new(source.to_string(), first);
    let poller = Poller::start(service, args.every.0);
    let mut screen = Screen::take()?;
    let ended = watch(&mut screen, &mut view, &poller);
    drop(screen);
    ended.map(|()| Outcome::Held)
}

fn watch(screen: &mut Screen, view: &mut View, poller: &Poller) -> Result<(), Failure> {
    loop {
        screen.show(|frame| draw::view(frame, view))?;
        match screen.wait(BEAT)? {
            Happening::Ended => return Ok(()),
            Happening::Key(key) => match keys::press(view, key) {
                Deed::None => {}
                Deed::Quit => return Ok(()),
                Deed::Ask => poller.ask_now(),
                Deed::Save => view.say(save::save(view.snapshot())),
            },
            Happening::Nothing => {}
        }
        while let Some(news) = poller.news()? {
            match news {
                News::Polled(poll) => view.take(*poll),
                News::Trouble(words) => view.lose(words),
            }
        }
    }
}
