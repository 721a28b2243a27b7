//! What `tests/kinds` allocates, as rustc 1.95 names it in both manglings.

use super::super::allocated_type;
use crate::snapshot::{Frame, Origin};

fn frame(line: &str) -> Frame {
    let (whose, function) = line.split_once(' ').unwrap_or((line, ""));
    Frame {
        function: function.into(),
        file: None,
        line: None,
        origin: match whose {
            "std" => Origin::Std,
            "own" => Origin::Own {
                krate: "chat".into(),
            },
            "foreign" => Origin::Foreign,
            package => Origin::Dependency {
                name: package.into(),
                version: "".into(),
            },
        },
        inlined: false,
    }
}

/// Kinds of which some stack is not named as its author would, and how it is.
fn misnamed(stacks: &str) -> Vec<(&str, Option<String>)> {
    let mut misnamed = Vec::new();
    for stack in stacks.trim().split("\n\n") {
        let mut lines = stack.lines();
        let (kind, called) = lines.next().unwrap().split_once(": ").unwrap();
        let frames: Vec<Frame> = lines.map(frame).collect();
        let named = allocated_type(&frames);
        if named.as_deref() != Some(called) {
            misnamed.push((kind, named));
        }
    }
    misnamed
}

#[test]
fn every_kind_of_thing_is_named_as_its_author_would() {
    for stacks in [
        include_str!("kinds/legacy.txt"),
        include_str!("kinds/v0.txt"),
    ] {
        assert_eq!(misnamed(stacks), []);
    }
}
