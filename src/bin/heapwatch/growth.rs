//! `heapwatch growth`

use crate::args::{Format, Growth};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::waiting::Waiting;
use crate::{Outcome, colour};

pub(crate) fn run(args: &Growth) -> Result<Outcome, Failure> {
    let output = Output::from(&args.to);
    output.check()?;
    let source = &args.from.source;
    let url = source.endpoint("growth")?;
    let client = Client::new(url, args.from.access.token())?;
    let path = match args.format {
        Format::Text => "heap/growth",
        Format::Json => "heap/growth?format=json",
    };
    let waiting = Waiting::new(format!("asking {source}"));
    let text = client.text(path).map_err(|failure| failure.about(source))?;
    drop(waiting);
    output.text(&colour::verdicts(&text))?;
    Ok(Outcome::Held)
}
