//! The messages of pprof's `profile.proto`, as far as field numbers and types make them up.
//!
//! Strings are indices into `string_table`, whose first entry is empty. The table holds bytes, as
//! some tools write names that are not UTF-8.
//!
//! What prost would derive is written by a macro here, because the derivation takes several times as
//! long to build as all that it is for.

use std::borrow::Cow;

use prost::bytes::{Buf, BufMut};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

/// Structures of fields `tag how type name: Type`, with how they are read and written.
macro_rules! messages {
    ($($(#[$about:meta])* pub(crate) struct $message:ident {
        $($(#[$of:meta])* $tag:literal $how:ident $type:ident $field:ident: $held:ty,)*
    })*) => {$(
        $(#[$about])*
        pub(crate) struct $message {
            $($(#[$of])* pub(crate) $field: $held,)*
        }

        impl Message for $message {
            fn encode_raw(&self, buf: &mut impl BufMut) {
                $(put!($how $type, $tag, &self.$field, buf);)*
            }

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                buf: &mut impl Buf,
                context: DecodeContext,
            ) -> Result<(), DecodeError> {
                match tag {
                    $($tag => read!($how $type, wire_type, &mut self.$field, buf, context),)*
                    _ => encoding::skip_field(wire_type, tag, buf, context),
                }
            }

            fn encoded_len(&self) -> usize {
                0 $(+ length!($how $type, $tag, &self.$field))*
            }

            fn clear(&mut self) {
                *self = Self::default();
            }
        }
    )*};
}

/// Writes a field: one value unless it is 0, `packed` numbers, `each` of a list, or `maybe` one.
macro_rules! put {
    (one $type:ident, $tag:literal, $value:expr, $buf:ident) => {
        if !is_default($value) {
            encoding::$type::encode($tag, $value, $buf);
        }
    };
    (packed $type:ident, $tag:literal, $value:expr, $buf:ident) => {
        encoding::$type::encode_packed($tag, $value, $buf)
    };
    (each $type:ident, $tag:literal, $value:expr, $buf:ident) => {
        encoding::$type::encode_repeated($tag, $value, $buf)
    };
    (maybe $type:ident, $tag:literal, $value:expr, $buf:ident) => {
        if let Some(value) = $value {
            encoding::$type::encode($tag, value, $buf);
        }
    };
}

/// What a field takes when it is written.
macro_rules! length {
    (one $type:ident, $tag:literal, $value:expr) => {
        if is_default($value) {
            0
        } else {
            encoding::$type::encoded_len($tag, $value)
        }
    };
    (packed $type:ident, $tag:literal, $value:expr) => {
        encoding::$type::encoded_len_packed($tag, $value)
    };
    (each $type:ident, $tag:literal, $value:expr) => {
        encoding::$type::encoded_len_repeated($tag, $value)
    };
    (maybe $type:ident, $tag:literal, $value:expr) => {
        $value
            .as_ref()
            .map_or(0, |value| encoding::$type::encoded_len($tag, value))
    };
}

/// Reads a field.
macro_rules! read {
    (one $type:ident, $($from:tt)*) => {
        encoding::$type::merge($($from)*)
    };
    (maybe $type:ident, $wire_type:ident, $value:expr, $buf:ident, $context:ident) => {
        encoding::$type::merge(
            $wire_type,
            $value.get_or_insert_with(Default::default),
            $buf,
            $context,
        )
    };
    ($repeated:ident $type:ident, $($from:tt)*) => {
        encoding::$type::merge_repeated($($from)*)
    };
}

/// What a reader takes a field for that is not written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

messages! {
    #[derive(Debug, Default, Clone, PartialEq)]
    pub(crate) struct Profile {
        /// What the values of a sample are, in their order.
        1 each message sample_type: Vec<ValueType>,
        2 each message sample: Vec<Sample>,
        /// The first is the program itself.
        3 each message mapping: Vec<Mapping>,
        4 each message location: Vec<Location>,
        5 each message function: Vec<Function>,
        6 each bytes string_table: Vec<Vec<u8>>,
        7 one int64 drop_frames: i64,
        8 one int64 keep_frames: i64,
        /// When the profile was taken, since 1970; of a delta, when it began.
        9 one int64 time_nanos: i64,
        10 one int64 duration_nanos: i64,
        11 maybe message period_type: Option<ValueType>,
        12 one int64 period: i64,
        13 packed int64 comment: Vec<i64>,
        14 one int64 default_sample_type: i64,
    }

    #[derive(Debug, Default, Clone, Copy, PartialEq)]
    pub(crate) struct ValueType {
        /// `inuse_space`
        1 one int64 r#type: i64,
        /// `bytes`
        2 one int64 unit: i64,
    }

    #[derive(Debug, Default, Clone, PartialEq)]
    pub(crate) struct Sample {
        /// Innermost first.
        1 packed uint64 location_id: Vec<u64>,
        2 packed int64 value: Vec<i64>,
        3 each message label: Vec<Label>,
    }

    #[derive(Debug, Default, Clone, Copy, PartialEq)]
    pub(crate) struct Label {
        1 one int64 key: i64,
        2 one int64 str: i64,
        3 one int64 num: i64,
        4 one int64 num_unit: i64,
    }

    #[derive(Debug, Default, Clone, Copy, PartialEq)]
    pub(crate) struct Mapping {
        1 one uint64 id: u64,
        2 one uint64 memory_start: u64,
        3 one uint64 memory_limit: u64,
        4 one uint64 file_offset: u64,
        5 one int64 filename: i64,
        6 one int64 build_id: i64,
        /// With these, a reader does not look names up itself.
        7 one bool has_functions: bool,
        8 one bool has_filenames: bool,
        9 one bool has_line_numbers: bool,
        10 one bool has_inline_frames: bool,
    }

    #[derive(Debug, Default, Clone, PartialEq)]
    pub(crate) struct Location {
        1 one uint64 id: u64,
        /// 0 if there is none.
        2 one uint64 mapping_id: u64,
        /// Within the call instruction.
        3 one uint64 address: u64,
        /// Innermost first: the last is the function that all others are inlined into.
        4 each message line: Vec<Line>,
        5 one bool is_folded: bool,
    }

    #[derive(Debug, Default, Clone, Copy, PartialEq)]
    pub(crate) struct Line {
        1 one uint64 function_id: u64,
        2 one int64 line: i64,
    }

    #[derive(Debug, Default, Clone, Copy, PartialEq)]
    pub(crate) struct Function {
        1 one uint64 id: u64,
        2 one int64 name: i64,
        /// As the linker knows it.
        3 one int64 system_name: i64,
        4 one int64 filename: i64,
        5 one int64 start_line: i64,
    }
}

impl Profile {
    /// A string of the table; empty if there is none of that index.
    pub(crate) fn string(&self, index: i64) -> Cow<'_, str> {
        let found = usize::try_from(index)
            .ok()
            .and_then(|index| self.string_table.get(index));
        found.map_or(Cow::Borrowed(""), |bytes| String::from_utf8_lossy(bytes))
    }
}
