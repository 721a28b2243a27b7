//! One run: the service, its load, the report, and serving on.

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;

use crate::args::Args;
use crate::load::Load;
use crate::{Chat, progress, report, server};

type Failure = Box<dyn Error>;

/// The first of two snapshots is taken after this part of the load, when connections and caches are
/// what they will be.
const WARM_UP_PART: u32 = 4;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    report::set_interval(args.interval)?;
    let endpoint = report::serve(args.addr)
        .map_err(|error| cannot_listen("heapwatch", "--addr", args.addr, error))?;
    Runtime::new()?.block_on(serve_and_load(args, &endpoint))
}

async fn serve_and_load(args: &Args, endpoint: &report::Endpoint) -> Result<(), Failure> {
    let listener = TcpListener::bind(args.chat_addr)
        .await
        .map_err(|error| cannot_listen("the chat service", "--chat-addr", args.chat_addr, error))?;
    let chat_addr = listener.local_addr()?;
    tokio::spawn(server::serve(listener, Chat::new(args.fixed)));
    let service = if args.fixed { "corrected" } else { "leaking" };
    say(&format!(
        "chat ({service}): http://{chat_addr}/\nheapwatch: {}\n",
        endpoint.url()
    ));

    let mut load = Load::start(chat_addr);
    let mut interrupt = pin!(ctrl_c());
    let mut warm = None;
    let loaded = async {
        let warming_up = tokio::time::sleep(Duration::from_secs(args.seconds) / WARM_UP_PART);
        let snapshot = async {
            warming_up.await;
            warm = Some(heapwatch::snapshot());
        };
        tokio::join!(snapshot, progress::show(load.tally(), args.seconds));
    };
    let interrupted = tokio::select! {
        () = loaded => false,
        caught = &mut interrupt => { caught?; true }
    };
    // Judged while the load is on: when it ends, everything falls.
    let changes = match warm.transpose()? {
        Some(warm) => report::diff(&warm)?,
        None => "interrupted before the first of two snapshots\n".to_owned(),
    };
    let verdicts = report::verdicts()?;
    let keep_load = args.keep_load && !interrupted;
    if !keep_load {
        load.stop().await;
    }
    progress::clear();
    say(&format!(
        "load: {}\nheapwatch: {}\n\n{}\n{changes}\n{verdicts}\n",
        load.tally().summary(),
        endpoint.url(),
        report::top()?
    ));
    if args.once || interrupted {
        return Ok(());
    }

    let what = if keep_load {
        "under load"
    } else {
        "without load"
    };
    say(&format!("serving on {what}; Ctrl-C ends it\n"));
    interrupt.await?;
    if keep_load {
        load.stop().await;
        say(&format!("load: {}\n", load.tally().summary()));
    }
    Ok(())
}

fn cannot_listen(what: &str, option: &str, addr: SocketAddr, error: impl Display) -> Failure {
    format!("cannot serve {what} on {addr}: {error}; choose another address with {option}, port 0 for a free one").into()
}

/// Writes to standard output. A reader that has gone (`| head`) is no reason to stop.
fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
