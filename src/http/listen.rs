//! Where the endpoint listens.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use crate::Error;
use crate::config::Config;

/// Listens on the configured address: the first of those that its name stands for that can be had.
///
/// Without a token, none of them may be one that other machines can reach.
pub(super) fn listen(config: &Config) -> Result<TcpListener, Error> {
    let addresses = resolve(&config.addr)?;
    if config.token.is_none() {
        let open = addresses
            .iter()
            .find(|address| !address.ip().to_canonical().is_loopback());
        if let Some(address) = open {
            return Err(Error::Config(format!(
                "{address} can be reached from other machines, which needs a token: set \
                 HEAPWATCH_TOKEN or Config::token, or listen on 127.0.0.1"
            )));
        }
    }
    let bind_error = |source| Error::Bind {
        addr: config.addr.clone(),
        source,
    };
    let listener = TcpListener::bind(addresses.as_slice()).map_err(bind_error)?;
    listener.set_nonblocking(true).map_err(bind_error)?;
    Ok(listener)
}

fn resolve(addr: &str) -> Result<Vec<SocketAddr>, Error> {
    let malformed = || {
        Error::Config(format!(
            "{addr:?} is not an address to listen on: it must be host:port, such as \
             127.0.0.1:6790 or [::1]:6790"
        ))
    };
    let found: Vec<SocketAddr> = match addr.to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(source) if source.kind() == io::ErrorKind::InvalidInput => return Err(malformed()),
        Err(source) => {
            return Err(Error::Bind {
                addr: addr.into(),
                source,
            });
        }
    };
    if found.is_empty() {
        return Err(malformed());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: &Config) -> String {
        listen(config).unwrap_err().to_string()
    }

    /// A profile tells what a program does; it must not be open to a network by mistake.
    #[test]
    fn an_address_that_others_can_reach_needs_a_token() {
        for addr in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
            let message = error(&Config::new().addr(addr));
            assert!(message.contains("HEAPWATCH_TOKEN"), "{message}");
        }
        assert!(listen(&Config::new().addr("0.0.0.0:0").token("t")).is_ok());
        for addr in ["127.0.0.1:0", "127.3.2.1:0", "localhost:0"] {
            assert!(listen(&Config::new().addr(addr)).is_ok(), "{addr}");
        }
    }

    #[test]
    fn an_address_in_use_is_an_error_that_names_the_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap().to_string();
        let message = error(&Config::new().addr(&addr));
        assert!(
            message.contains(&addr) && message.contains("choose another port"),
            "{message}"
        );
    }

    #[test]
    fn what_is_no_address_is_an_error_that_shows_one() {
        for addr in ["", "6790", "127.0.0.1", "127.0.0.1:66000", "localhost"] {
            let message = error(&Config::new().addr(addr));
            assert!(message.contains("must be host:port"), "{addr}: {message}");
        }
    }
}
