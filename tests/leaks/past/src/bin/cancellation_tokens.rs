//! tokio-util 0.7.1 does not free the grandchild of a token that is cancelled.
//! <https://github.com/tokio-rs/tokio/issues/4639>, fixed in 0.7.2.

use leak_harness::times;
use tokio_util::sync::CancellationToken;

const CONNECTIONS_PER_BEAT: u64 = 110;

fn main() {
    leak_harness::run(|run| {
        for () in run.beats() {
            times(CONNECTIONS_PER_BEAT).for_each(|_| connection());
        }
    });
}

/// A client that hangs up amid its request.
fn connection() {
    let connection = CancellationToken::new();
    let query = request(&connection);
    connection.cancel();
    assert!(query.is_cancelled());
}

/// Starts a request and, within it, a query to the database.
fn request(connection: &CancellationToken) -> CancellationToken {
    let request = connection.child_token();
    request.child_token()
}
