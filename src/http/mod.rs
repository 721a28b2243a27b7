//! The endpoint.
//!
//! [`routes`] decides what to answer, as a pure function; [`answers`] makes it from a snapshot;
//! [`service`] does the waiting in between, and [`lane`] the work; [`server`] has the thread, the
//! runtime and the connections; `router` lends the service to a server of the application's own.

mod answers;
mod connections;
mod guard;
mod history;
mod lane;
mod listen;
mod own_runtime;
mod page;
mod query;
mod reply;
#[cfg(feature = "axum")]
mod router;
mod routes;
mod server;
mod service;
mod snapshot_routes;
mod store;

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod shutdown_tests;
#[cfg(test)]
mod test_case;
#[cfg(test)]
mod test_client;

#[cfg(feature = "axum")]
pub use router::router;
pub use server::{Server, serve};
