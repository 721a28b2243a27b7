//! The message is the report.

use std::hint::black_box;

use heapwatch::testing::assert_no_growth;

use crate::failure;

struct Rooms {
    members: Vec<String>,
    calls: usize,
}

impl Rooms {
    #[inline(never)]
    fn join(&mut self) {
        self.members.push("x".repeat(100)); // join
        self.calls += 1;
        if self.calls.is_multiple_of(2) {
            greet();
        }
    }
}

#[inline(never)]
fn greet() {
    std::mem::forget(black_box(Box::new([7_u8; 24]))); // greet
}

/// The line of this file that ends with a mark.
fn line(mark: &str) -> usize {
    let mut lines = include_str!("message.rs").lines();
    lines.position(|line| line.ends_with(mark)).unwrap() + 1
}

/// Whoever reads it must find the lines, the amounts, and why it is growth.
#[test]
fn names_lines_and_amounts() {
    let mut rooms = Rooms {
        members: Vec::with_capacity(1000),
        calls: 0,
    };
    let message = failure(|| assert_no_growth(|| rooms.join(), 100));
    let expected = format!(
        "memory still grows after 800 iterations, by 112 B an iteration

100 B in 1 object an iteration: testing::testing::message::Rooms::join \
         (tests/testing/message.rs:{})
    at most 19.53 KiB in iterations 100 to 200, at least 39.06 KiB in iterations 400 to 800
    78.13 KiB in 800 objects are live now

12 B in 0.5 objects an iteration: testing::testing::message::greet \
         (tests/testing/message.rs:{})
    at most 2.344 KiB in iterations 100 to 200, at least 4.688 KiB in iterations 400 to 800
    9.375 KiB in 400 objects are live now

If this is a cache that is still filling, fill it before, or ask for more iterations.",
        line("// join"),
        line("// greet"),
    );
    assert_eq!(message, expected);
}
