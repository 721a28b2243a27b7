//! A program under heapwatch in a process of its own, which does as it is told line by line.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::child;

/// The program, seen from outside; it ends when this is dropped.
pub struct Program {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// Where its endpoint listens.
    pub addr: SocketAddr,
}

const READY: &str = "endpoint at ";
const DONE: &str = "done";

impl Program {
    /// Starts the test `test` of this binary as the program: it must call [`obey`] in a child.
    pub fn start(test: &str) -> Program {
        let mut child = child::command(test)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = answers
            .find_map(|line| Some(line.unwrap().split_once(READY)?.1.to_owned()))
            .expect("the program says where it listens");
        Program {
            orders: child.stdin.take(),
            child,
            answers,
            addr: ready.parse().unwrap(),
        }
    }

    /// Gives an order and waits until it is carried out.
    pub fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{order}").unwrap();
        let done = self.answers.any(|line| line.unwrap() == DONE);
        assert!(done, "the program ended at {order:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// Serves, and carries out orders until there is nobody to give them.
pub fn obey(mut carry_out: impl FnMut(&str)) {
    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    println!("{READY}{}", server.local_addr());
    for order in std::io::stdin().lines() {
        carry_out(&order.unwrap());
        println!("{DONE}");
    }
}
