// Used by artillery.yml.
"use strict";

/** Drops the connection as a crashed client does: no close frame. */
function vanish(context, _events, done) {
  context.ws.terminate();
  done();
}

module.exports = { vanish };
