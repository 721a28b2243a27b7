//! The endpoint.
//!
//! [`routes`] decides what to answer, as a pure function; [`answers`] makes it from a snapshot;
//! [`service`] does the waiting and the work in between; [`server`] has the thread, the runtime
//! and the connections.

mod answers;
mod connections;
mod guard;
mod listen;
mod query;
mod reply;
mod routes;
mod server;
mod service;
mod snapshot_routes;
mod store;

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod test_case;
#[cfg(test)]
mod test_client;

pub use server::{Server, serve};
