// Requests to the endpoint that served this page, with the token if it wants one.

import { byId } from "./dom.js";

const KEY = "heapwatch-token";

/// What the endpoint takes as a token. Of anything else a browser makes no request, or a bad one.
const TOKEN = /^[!-~]{1,1024}$/;

/// Milliseconds that an answer may take, and a file, which may be large on a slow line.
const PATIENCE = 30_000;
const FILE_PATIENCE = 300_000;

let asking;

export const hasToken = () => sessionStorage.getItem(KEY) !== null;

function headers() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/// What `read` makes of the answer, if it is a success; an error with the endpoint's own words if not.
async function request(path, read, { method = "GET", patience = PATIENCE } = {}) {
  for (;;) {
    const [response, answer] = await exchange(path, read, method, patience);
    if (response.ok) return answer;
    if (response.status !== 401) throw Object.assign(new Error(answer.trim()), { status: response.status });
    await askForToken(hasToken() ? "That token is wrong." : "");
  }
}

/// The whole answer in time: a process that is stopped, or a tunnel that stalls, never ends one.
async function exchange(path, read, method, patience) {
  const signal = AbortSignal.timeout(patience);
  try {
    const response = await fetch(path, { method, headers: headers(), cache: "no-store", credentials: "omit", signal });
    return [response, await (response.ok ? read(response) : response.text())];
  } catch (error) {
    if (error.name !== "TimeoutError") throw new Error("The endpoint does not answer: has the process ended?");
    throw new Error(`The endpoint has not answered for ${patience / 1000} s: is the process stopped, or the connection stalled?`);
  }
}

/// Asks once, however many requests wait for it.
function askForToken(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token");
    const field = byId("token-value");
    byId("token-error").textContent = wrong;
    dialog.querySelector("form").onsubmit = (event) => {
      const token = field.value.trim();
      if (!TOKEN.test(token)) {
        event.preventDefault();
        byId("token-error").textContent = "That is no token: one has 1 to 1024 printable ASCII characters, and no spaces.";
        return;
      }
      sessionStorage.setItem(KEY, token);
      field.value = "";
      asking = undefined;
      resolve();
    };
    // A browser may close it at Escape whatever its page says.
    dialog.onclose = () => asking && !dialog.open && dialog.showModal();
    dialog.showModal();
  });
  return asking;
}

const asJson = (response) => response.json();

export const json = (path) => request(path, asJson);
export const text = (path) => request(path, (response) => response.text());
export const blob = (path) => request(path, (response) => response.blob(), { patience: FILE_PATIENCE });
export const post = (path) => request(path, asJson, { method: "POST" });
export const remove = (path) => request(path, (response) => response.text(), { method: "DELETE" });

export const query = (path, parameters) => `${path}?${new URLSearchParams(parameters)}`;
