//! The texts of frames: plain, and each kept once, however many frames have it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::plain;
use crate::snapshot::{Frame, Origin};

#[derive(Debug, Default)]
pub(super) struct Texts {
    known: HashSet<Arc<str>>,
}

impl Texts {
    /// Makes a frame's texts [`plain`], and shares them with all frames before.
    pub(super) fn share(&mut self, frame: &mut Frame) {
        self.text(&mut frame.function);
        if let Some(file) = &mut frame.file {
            self.text(file);
        }
        match &mut frame.origin {
            Origin::Own { krate } => self.text(krate),
            Origin::Dependency { name, version } => {
                self.text(name);
                self.text(version);
            }
            Origin::Std | Origin::Allocator | Origin::Foreign => {}
        }
    }

    fn text(&mut self, text: &mut Arc<str>) {
        if let Cow::Owned(tidied) = plain(text) {
            *text = tidied.into();
        }
        match self.known.get(text) {
            Some(same) => *text = same.clone(),
            None => {
                self.known.insert(text.clone());
            }
        }
    }
}
