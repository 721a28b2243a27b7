//! The texts of frames: plain, of bounded length, and each kept once, however many frames have it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::{MAX_FILE_NAME, plain};
use crate::snapshot::{Frame, Origin};
use crate::symbols::cut;

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
            Origin::Own { krate } => self.name(krate),
            Origin::Dependency { name, version } => {
                self.name(name);
                self.name(version);
            }
            Origin::Std | Origin::Allocator | Origin::Foreign => {}
        }
    }

    fn name(&mut self, name: &mut Arc<str>) {
        if name.len() > MAX_FILE_NAME {
            *name = cut(name.to_string(), MAX_FILE_NAME).into();
        }
        self.text(name);
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
