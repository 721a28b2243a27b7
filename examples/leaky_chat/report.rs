//! All that the example asks of heapwatch.

use std::net::SocketAddr;

use heapwatch::report::By;
use heapwatch::{Error, Server};

pub(crate) struct Endpoint(Server);

impl Endpoint {
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr())
    }
}

pub(crate) fn set_interval(bytes: u64) -> Result<(), Error> {
    heapwatch::set_interval(bytes)
}

pub(crate) fn serve(addr: SocketAddr) -> Result<Endpoint, Error> {
    heapwatch::serve(addr).map(Endpoint)
}

/// The table that `/heap/top?by=function` answers: stacks that end in one function are one row.
pub(crate) fn top() -> Result<String, Error> {
    Ok(heapwatch::snapshot()?.top(By::Function).to_string())
}
