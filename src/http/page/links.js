// Links to the endpoint's answers. A browser sends no token with an address: where there is one, the
// answer is fetched with it and shown in a tab of its own.

import { blob, hasToken } from "./api.js";
import { byId } from "./dom.js";

export function bindLinks() {
  const status = byId("link-status");
  for (const link of document.querySelectorAll(".links a")) {
    for (const kind of ["click", "auxclick"]) {
      link.addEventListener(kind, (event) => {
        if (event.button > 1 || !hasToken()) return;
        event.preventDefault();
        show(link.getAttribute("href"), status);
      });
    }
  }
}

async function show(path, status) {
  status.textContent = "";
  // Opened at once: of what comes later a browser would not believe that it was wanted.
  const tab = open("about:blank");
  try {
    const address = URL.createObjectURL(await blob(path));
    if (tab) tab.location = address;
    else location = address;
  } catch (error) {
    tab?.close();
    status.textContent = error.message;
  }
}
