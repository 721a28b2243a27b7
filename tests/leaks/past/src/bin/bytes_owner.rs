//! bytes 1.10.0 does not drop the owner of a `Bytes::from_owner` that is turned into a `Vec`.
//! <https://github.com/tokio-rs/bytes/pull/773>, fixed in 1.10.1.

use std::hint::black_box;

use bytes::Bytes;
use leak_harness::times;

const PACKETS_PER_BEAT: u64 = 6;

/// A page that the driver fills, handed on without a copy.
struct Page([u8; 1_500]);

impl AsRef<[u8]> for Page {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn main() {
    leak_harness::run(|run| {
        for () in run.beats() {
            times(PACKETS_PER_BEAT).for_each(|n| archive(receive(n as u8)));
        }
    });
}

fn receive(fill: u8) -> Bytes {
    Bytes::from_owner(Page([fill; 1_500]))
}

fn archive(packet: Bytes) {
    black_box(Vec::from(packet));
}
