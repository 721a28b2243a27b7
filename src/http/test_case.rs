//! Requests for the tables of tests.

use std::net::{IpAddr, Ipv4Addr};

use super::guard::Policy;
use super::reply::Reply;
use super::routes::{Answer, Request, route};
use crate::config::Config;

/// A request that a test changes where it wants to.
pub(super) struct Case<'c> {
    pub(super) method: &'c str,
    pub(super) target: &'c str,
    pub(super) headers: Vec<(&'c str, &'c str)>,
    pub(super) body_bytes: usize,
    pub(super) config: Config,
    pub(super) local: IpAddr,
}

pub(super) fn get(target: &str) -> Case<'_> {
    Case {
        method: "GET",
        target,
        headers: vec![("host", "127.0.0.1:6790")],
        body_bytes: 0,
        config: Config::new(),
        local: Ipv4Addr::LOCALHOST.into(),
    }
}

impl<'c> Case<'c> {
    pub(super) fn header(mut self, name: &'c str, value: &'c str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn method(mut self, method: &'c str) -> Self {
        self.method = method;
        self
    }

    pub(super) fn token(mut self, token: &str) -> Self {
        self.config = self.config.token(token);
        self
    }

    pub(super) fn answer(&self) -> Answer {
        let mut request = hyper::Request::builder()
            .method(self.method)
            .uri(self.target);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let request = Request {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            body_bytes: self.body_bytes,
            local: self.local,
        };
        route(&request, &Policy::new(&self.config))
    }

    /// The status and the text of an error; 200 and nothing for work to be done.
    pub(super) fn outcome(&self) -> (u16, String) {
        match self.answer() {
            Answer::Reply(reply) => {
                let text = String::from_utf8(reply.body.to_vec()).unwrap();
                (reply.status.as_u16(), text)
            }
            _ => (200, String::new()),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.outcome().0
    }

    pub(super) fn reply(&self) -> Reply {
        match self.answer() {
            Answer::Reply(reply) => reply,
            work => panic!("{work:?}"),
        }
    }
}
