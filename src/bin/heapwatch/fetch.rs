//! `heapwatch fetch`

use crate::args::{Fetch, FileFormat};
use crate::failure::Failure;
use crate::output::Output;
use crate::{Outcome, source};

pub(crate) fn run(args: &Fetch) -> Result<Outcome, Failure> {
    let output = Output::from(&args.to);
    output.check()?;
    let (snapshot, bytes) = source::read_with_bytes(&args.from.source, args.from.access.token())?;
    let bytes = match args.format {
        None => bytes,
        Some(FileFormat::Pprof) => snapshot.pprof().encode(),
        Some(FileFormat::Native) => {
            let mut bytes = Vec::new();
            snapshot.write(&mut bytes)?;
            bytes
        }
    };
    output.binary(&bytes)?;
    Ok(Outcome::Held)
}
