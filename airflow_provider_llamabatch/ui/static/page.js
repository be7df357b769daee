// The theme of Airflow around the page, refreshing, dialogs, and links that leave the frame.
(() => {
  "use strict";
  const root = document.documentElement;

  const outer = () => {
    try {
      return window.parent !== window && window.parent.document ? window.parent : null;
    } catch {
      return null; // another site's frame
    }
  };

  // Airflow says its theme by a class of its own root element, not by prefers-color-scheme.
  const airflow = outer();
  const setTheme = () => {
    const chosen = airflow
      ? airflow.document.documentElement.classList.contains("dark")
      : localStorage.getItem("theme") === "dark";
    root.dataset.theme = chosen ? "dark" : "light";
  };
  setTheme();
  if (airflow) {
    root.dataset.framed = "";
    const observer = new MutationObserver(setTheme);
    observer.observe(airflow.document.documentElement, { attributes: true, attributeFilter: ["class"] });
    window.addEventListener("pagehide", () => observer.disconnect());
  } else {
    window.addEventListener("storage", setTheme);
  }

  // Refreshing: only a page that is seen asks, and not while somebody answers a question or marks text.
  let asked = Date.now();
  const refresh = () => {
    const soon = document.querySelector("[data-soon]");
    const pause = soon ? 250 : Number(document.body.dataset.refresh);
    const busy = document.hidden || document.querySelector("dialog[open]") || !getSelection().isCollapsed;
    if (busy || Date.now() - asked < pause) return;
    asked = Date.now();
    document.body.dispatchEvent(new CustomEvent("refresh"));
  };

  const inWords = (seconds) =>
    seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
  const since = new WeakMap();
  const tick = () => {
    for (const age of document.querySelectorAll("[data-age]")) {
      if (!since.has(age)) since.set(age, Date.now() - 1000 * Number(age.dataset.age));
      age.textContent = inWords(Math.floor((Date.now() - since.get(age)) / 1000));
    }
    refresh();
  };
  setInterval(tick, 250);

  // What was typed before htmx was there to see it.
  window.addEventListener("load", () => {
    const search = document.getElementById("search");
    if (search && search.value !== search.defaultValue) search.form.requestSubmit();
  });

  // A refresh brings the buttons and their dialogs too: not while somebody answers one.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (document.querySelector("dialog[open]")) event.detail.shouldSwap = false;
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const trouble = document.getElementById("trouble");
    if (trouble) trouble.hidden = event.detail.successful;
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-dialog]");
    if (button) {
      document.getElementById(button.dataset.dialog).showModal();
      return;
    }
    const link = event.target.closest("a[data-airflow]");
    if (!link || !airflow || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    // The whole of Airflow would open inside the frame: let the outer page go there instead.
    event.preventDefault();
    airflow.history.pushState({}, "", link.href);
    airflow.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
  });
})();
