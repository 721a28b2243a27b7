//! Asks the service again and again, on a thread of its own.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use heapwatch::Snapshot;
use heapwatch::growth::{Growth, Report};

use crate::failure::Failure;
use crate::source::{self, Source};

/// Asking keeps the service busy for one part in this many, if that does not take longer than this.
const ONE_PART_IN: u32 = 10;
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Whom to ask, and how it lets us in.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) source: Source,
    pub(super) token: Option<String>,
}

/// What was answered.
pub(super) struct Poll {
    pub(super) snapshot: Snapshot,
    /// Those that leak or grow, worst first.
    pub(super) alarms: Vec<Growth>,
    /// Why nothing can be said of growth yet, where that is so.
    pub(super) too_early: Option<String>,
}

impl Poll {
    fn of(snapshot: Snapshot) -> Poll {
        let report = snapshot.growth();
        let too_early = too_early(report.as_ref());
        let mut alarms = report.map_or(Vec::new(), |report| report.verdicts);
        alarms.retain(|growth| growth.verdict.alarms());
        Poll {
            snapshot,
            alarms,
            too_early,
        }
    }
}

/// That none is alarming is good news only where all were judged.
fn too_early(report: Option<&Report>) -> Option<String> {
    let Some(report) = report else {
        return Some("growth is not known: nothing watches it in this process".to_owned());
    };
    let (watched, needed) = (report.watched_seconds, report.min_watch_seconds);
    (watched < needed).then(|| {
        let (watched, needed) = (watched.max(0.0).floor(), needed.ceil());
        format!("too early to tell what leaks or grows: watched for {watched} s of {needed} s")
    })
}

impl Service {
    /// Asks once.
    pub(super) fn ask(&self) -> Result<Poll, Failure> {
        source::read_quietly(&self.source, self.token.as_deref()).map(Poll::of)
    }

    /// Asks once, and says so if it takes long.
    pub(super) fn ask_aloud(&self) -> Result<Poll, Failure> {
        source::read(&self.source, self.token.as_deref()).map(Poll::of)
    }
}

/// What the poller tells.
pub(super) enum News {
    Polled(Box<Poll>),
    /// The service did not answer; it is asked again.
    Trouble(String),
}

/// The thread that asks. It ends when this is dropped and its last question is answered.
pub(super) struct Poller {
    now: Sender<()>,
    news: Receiver<News>,
}

impl Poller {
    pub(super) fn start(service: Service, every: Duration) -> Poller {
        let (now, told) = mpsc::channel();
        let (tell, news) = mpsc::channel();
        thread::spawn(move || keep_asking(&service, every, &told, &tell));
        Poller { now, news }
    }

    /// Asks without waiting for the time to come.
    pub(super) fn ask_now(&self) {
        // If it has ended, `news` says so.
        let _ = self.now.send(());
    }

    pub(super) fn news(&self) -> Result<Option<News>, Failure> {
        match self.news.try_recv() {
            Ok(news) => Ok(Some(news)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Failure::new(
                "the thread that asks the service ended; this is a fault of heapwatch",
            )),
        }
    }
}

fn keep_asking(service: &Service, every: Duration, told: &Receiver<()>, tell: &Sender<News>) {
    let mut wait = every;
    while told.recv_timeout(wait) != Err(RecvTimeoutError::Disconnected) {
        // A key that is held down asks often; one answer is for all.
        while told.try_recv().is_ok() {}
        let begun = Instant::now();
        let news = match service.ask() {
            Ok(poll) => News::Polled(Box::new(poll)),
            Err(failure) => News::Trouble(failure.to_string()),
        };
        if tell.send(news).is_err() {
            return;
        }
        let rest = begun.elapsed() * (ONE_PART_IN - 1);
        wait = every.max(rest.min(LONGEST_WAIT));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The service would be asked for minutes after the key was let go.
    #[test]
    fn a_key_that_is_held_down_asks_once() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", closed.local_addr().unwrap());
        drop(closed);
        let service = Service {
            source: Source::parse(url.into()).unwrap(),
            token: None,
        };
        let (now, told) = mpsc::channel();
        let (tell, news) = mpsc::channel();
        for _ in 0..100 {
            now.send(()).unwrap();
        }
        drop(now);
        keep_asking(&service, Duration::from_secs(3_600), &told, &tell);
        assert_eq!(news.try_iter().count(), 1);
    }
}
