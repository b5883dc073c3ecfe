// The viewer: data, addresses, keys, and new episodes of runs that are being written.
//
// Addresses: #/ with filters, #/tasks with filters, #/e/RUN/EPISODE, #/e/RUN/EPISODE/TURN.
"use strict";
(() => {
  const { h } = vzgym;
  const mode = document.documentElement.dataset.mode;
  const main = document.getElementById("main");
  const state = { runs: [], rows: [], order: [], classes: new Map(), comparison: null, curves: [], problems: [], unread: 0, live: mode === "live", generation: null };
  const episodes = new Map();
  const waiting = new Map();
  let listQuery = "";

  // Data --------------------------------------------------------------------------------------------------------
  const addRows = (index) => {
    if (index.generation !== state.generation) {
      Object.assign(state, { generation: index.generation, rows: [], runs: [], order: [] });
      episodes.clear();
    }
    state.classes = new Map(index.classes.map(([kind, ...words]) => [kind, words]));
    index.runs.forEach((run, number) => {
      const known = state.runs[number] || (state.runs[number] = { rows: [] });
      Object.assign(known, { name: run.name, policy: run.policy, place: run.place, summary: run.summary });
      if (run.from !== known.rows.length) return;
      run.rows.forEach((values) => {
        const row = { run: number, number: known.rows.length };
        index.columns.forEach((column, place) => { row[column] = values[place]; });
        row.text = `${row.task} ${row.question} ${row.answer ?? ""} ${row.gold} ${row.category} ${row.class}`.toLowerCase();
        known.rows.push(row);
      });
    });
    state.rows = state.runs.flatMap((run) => run.rows);
    Object.assign(state, { comparison: index.comparison, curves: index.curves, problems: index.problems, unread: index.unread, state: index.state });
  };

  vzgym.receive = (name, value) => {
    if (name === "index") {
      addRows(value);
      if (document.readyState !== "loading") start();
      else document.addEventListener("DOMContentLoaded", start);
      return;
    }
    episodes.set(name, value);
    waiting.get(name)?.(value);
    waiting.delete(name);
  };

  const load = (row) => {
    const name = `${row.run}/${row.number}`;
    if (episodes.has(name)) return Promise.resolve(episodes.get(name));
    const block = document.getElementById(`data-${name}`);
    if (block) {
      episodes.set(name, JSON.parse(block.textContent));
      return Promise.resolve(episodes.get(name));
    }
    return new Promise((resolve) => {
      waiting.set(name, resolve);
      const file = `data/${name}.js`;
      const script = h("script", { src: file, onerror: () => resolve({ problem: `${file} cannot be read. It belongs beside this page${mode === "live" ? ", and comes from the server, which may have stopped" : ""}.` }), onload: () => script.remove() });
      document.head.append(script);
    });
  };

  // Addresses ---------------------------------------------------------------------------------------------------
  vzgym.episodeAddress = (row, turn = 0) => `#/e/${row.run}/${row.number}${turn ? `/${turn}` : ""}`;
  vzgym.listAddress = () => listQuery || "#/";

  const route = () => {
    const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
    const found = /^\/e\/(\d+)\/(\d+)(?:\/(\d+))?$/.exec(path);
    if (found) return { view: "episode", run: Number(found[1]), number: Number(found[2]), turn: Number(found[3] || 0) };
    return { view: path === "/tasks" || (path !== "/episodes" && comparable()) ? "tasks" : "list", query: new URLSearchParams(query) };
  };
  const comparable = () => state.runs.length > 1 && Boolean(state.comparison) && !state.comparison.missing && state.runs.length <= 8;

  // Pages -------------------------------------------------------------------------------------------------------
  const header = () => {
    const title = state.runs.length === 1 ? state.runs[0].name : vzgym.plural(state.runs.length, "run");
    vzgym.replace(document.getElementById("top"), h("div.inner.row", {}, h("a.brand", { href: "#/" }, h("b", { text: "vzgym" }), " view"), h("span.grow.muted.ellipsis", { title: state.runs.map((run) => run.place).join("\n") }, h("bdi", { text: title || "no run yet" })),
      state.live ? h("span.pill.good.live", { id: "live", role: "status" }, "live") : null, h("button.noprint", { type: "button", text: "?", "aria-label": "Keys", title: "Keys", onclick: showKeys }), vzgym.themeButton()));
  };

  const problems = () => (state.problems.length ? h("details.message", { open: !state.rows.length }, h("summary", { text: `${vzgym.plural(state.unread, "line or file", "lines or files")} could not be read` }),
    h("ul", {}, state.problems.map(([where, text]) => h("li", {}, h("bdi.mono.small", { text: where }), ": ", h("span", { dir: "auto", text }))))) : null);

  let slots = null;
  const listPage = (view, query) => {
    let current = new URLSearchParams(query);
    const remember = () => { listQuery = `#/${view === "tasks" ? "tasks" : "episodes"}${[...current].length ? `?${current}` : ""}`; };
    const change = (name, value) => {
      if (name === null) current = new URLSearchParams();
      else {
        if (value === "") current.delete(name); else current.set(name, value);
        if (name !== "page") current.delete("page");
      }
      remember();
      history.replaceState(null, "", listQuery);
      if (name === null) listPage(view, current); else fill();
    };
    const body = h("div.stackv");
    const above = h("div.stackv");
    const fill = () => {
      // The row that has the focus keeps it.
      const focused = document.activeElement?.closest("a.episode")?.getAttribute("href");
      vzgym.replace(body, view === "tasks" ? vzgym.tasksBody(state, current, change) : vzgym.listBody(state, current, change));
      if (focused) [...body.querySelectorAll("a.episode")].find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
    };
    const fillAbove = () => {
      const steps = state.rows.some((row) => row.step !== null);
      vzgym.replace(above, problems(), vzgym.curves(state.curves, steps ? (step) => `#/episodes?step-min=${step}&step-max=${step}` : null), vzgym.runHeads(state), view === "tasks" ? vzgym.comparison(state) : null);
    };
    const tabs = comparable() || view === "tasks" ? h("nav.row.tabs.noprint", { "aria-label": "Views" }, h("a.button", { href: "#/tasks", text: "Tasks by run", "aria-current": view === "tasks" ? "page" : null }), h("a.button", { href: "#/episodes", text: "All episodes", "aria-current": view === "list" ? "page" : null })) : null;
    remember();
    fillAbove();
    fill();
    let bar = vzgym.filterBar(state, current, change);
    vzgym.replace(main, h("h1.sr", { text: view === "tasks" ? "Tasks by run" : "Episodes" }), tabs, above, bar, body);
    // New episodes may bring new categories, but must not take away a field that is being used.
    const refreshBar = () => {
      if (bar.contains(document.activeElement)) return;
      const next = vzgym.filterBar(state, current, change);
      next.querySelector("details").open = bar.querySelector("details").open;
      bar.replaceWith(next);
      bar = next;
    };
    slots = { refresh: () => { fillAbove(); refreshBar(); fill(); } };
    document.title = state.runs.length === 1 ? `${state.runs[0].name} | vzgym view` : "vzgym view";
  };

  const episodePage = async ({ run, number, turn }) => {
    const row = state.runs[run]?.rows[number];
    slots = null;
    if (!row) {
      vzgym.replace(main, h("p.message.bad", { text: `There is no episode ${number} in run ${run}.` }), problems(), h("p", {}, h("a", { href: "#/", text: "All episodes" })));
      return;
    }
    if (!state.order.includes(row)) state.order = state.rows;
    const asked = location.hash;
    const same = state.rows.filter((other) => other.task === row.task && other.step === row.step && other !== row).slice(0, 7);
    const [episode, ...more] = await Promise.all([row, ...same].map(load));
    if (location.hash !== asked) return;
    const loaded = same.map((other, place) => ({ row: other, episode: more[place] }));
    vzgym.replace(main, vzgym.episodePage(state, row, episode, turn, loaded));
    document.title = `${row.task} | vzgym view`;
    const card = turn ? document.getElementById(`turn-${turn}`) : null;
    if (card) { card.scrollIntoView(); card.focus({ preventScroll: true }); } else { window.scrollTo(0, 0); main.focus({ preventScroll: true }); }
  };

  const show = () => {
    const wanted = route();
    if (wanted.view === "episode") episodePage(wanted);
    else { listPage(wanted.view, wanted.query); window.scrollTo(0, 0); }
  };

  // Keys --------------------------------------------------------------------------------------------------------
  const KEYS = [["j, k", "next and previous episode of the list"], ["Enter", "open it"], ["\u2190, \u2192", "previous and next episode; in the frame dialog, frame"], ["1 to 9", "turn of the episode"], ["u", "back to the list"], ["/", "search"], ["t", "theme"], ["?", "these keys"]];
  const keys = h("dialog", { "aria-label": "Keys" }, h("h2", { text: "Keys" }), h("table", {}, h("tbody", {}, KEYS.map(([key, text]) => h("tr", {}, h("td", {}, h("kbd", { text: key })), h("td", { text }))))), h("form", { method: "dialog" }, h("button", { text: "Close" })));
  keys.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); keys.close(); });
  const showKeys = () => { if (!keys.isConnected) document.body.append(keys); keys.showModal(); };

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
    const at = route();
    const move = (by) => {
      if (at.view === "episode") {
        const place = state.order.findIndex((row) => row.run === at.run && row.number === at.number);
        const to = state.order[place + by];
        if (to) location.hash = vzgym.episodeAddress(to);
        return;
      }
      const links = [...main.querySelectorAll("a.episode")];
      const now = links.indexOf(document.activeElement);
      links[Math.min(links.length - 1, Math.max(0, now + by))]?.focus();
    };
    const actions = { j: () => move(1), k: () => move(-1), u: () => { if (at.view === "episode") location.hash = vzgym.listAddress(); }, "/": () => document.getElementById("search")?.focus(), "?": showKeys, t: () => document.querySelector("button.theme").click() };
    if (at.view === "episode") {
      Object.assign(actions, { ArrowRight: () => move(1), ArrowLeft: () => move(-1) });
      const row = state.runs[at.run]?.rows[at.number];
      if (row && /^[1-9]$/.test(event.key)) actions[event.key] = () => { location.hash = vzgym.episodeAddress(row, Number(event.key)); };
    }
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  };

  // New episodes ------------------------------------------------------------------------------------------------
  const ask = async () => {
    const pill = document.getElementById("live");
    try {
      const answer = await fetch(`data/new.json?generation=${state.generation}&have=${state.runs.map((run) => run.rows.length).join(",")}&state=${state.state}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const index = await answer.json();
      if (pill) { pill.textContent = "live"; pill.className = "pill good live"; }
      if (!index.same) {
        const runs = state.runs.length;
        addRows(index);
        if (state.runs.length !== runs) { header(); if (slots) show(); } else slots?.refresh();
      }
    } catch {
      if (pill) { pill.textContent = "server stopped"; pill.className = "pill bad live"; }
    }
    setTimeout(ask, 1500);
  };

  let started = false;
  const start = () => {
    if (started) return;
    started = true;
    header();
    show();
    window.addEventListener("hashchange", show);
    document.addEventListener("keydown", onKey);
    window.addEventListener("beforeprint", () => { 
      for (const part of document.querySelectorAll(".turns details, details.message")) part.open = true;
      for (const image of document.images) image.loading = "eager";
    });
    if (state.live) setTimeout(ask, 1500);
  };
  const block = document.getElementById("data-index");
  if (block) vzgym.receive("index", JSON.parse(block.textContent));
})();
