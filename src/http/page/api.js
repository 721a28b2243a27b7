// Requests to the endpoint that served this page, with the token if it wants one.

import { byId } from "./dom.js";

const KEY = "heapwatch-token";

let asking;

function headers() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/// The answer, if it is a success; an error with the endpoint's own words if not.
async function request(path, method = "GET") {
  for (;;) {
    let response;
    try {
      response = await fetch(path, { method, headers: headers(), cache: "no-store", credentials: "omit" });
    } catch {
      throw new Error("The endpoint does not answer: has the process ended?");
    }
    if (response.ok) return response;
    const line = (await response.text()).trim();
    if (response.status !== 401) throw Object.assign(new Error(line), { status: response.status });
    await askForToken(sessionStorage.getItem(KEY) ? line : "");
  }
}

/// Asks once, however many requests wait for it.
function askForToken(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token");
    const form = dialog.querySelector("form");
    byId("token-error").textContent = wrong && "That token is wrong.";
    form.onsubmit = () => {
      sessionStorage.setItem(KEY, byId("token-value").value.trim());
      byId("token-value").value = "";
      asking = undefined;
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.showModal();
  });
  return asking;
}

export const json = async (path) => (await request(path)).json();
export const text = async (path) => (await request(path)).text();
export const blob = async (path) => (await request(path)).blob();
export const post = async (path) => (await request(path, "POST")).json();
export const remove = async (path) => request(path, "DELETE");

export const query = (path, parameters) => `${path}?${new URLSearchParams(parameters)}`;
