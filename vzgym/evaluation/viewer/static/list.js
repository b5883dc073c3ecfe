// The list of episodes: counts, classes, and a table in pages.
"use strict";
(() => {
  const { h } = vzgym;
  const PAGE = 100;

  const GOOD = ["right_and_grounded", "redundant", "right_by_luck", "right"];
  vzgym.verdict = (row) => {
    const result = vzgym.result(row);
    const sign = { right: "\u2713", wrong: "\u2717", unscored: "\u2013" }[result];
    return h("span.verdict", { class: { right: "good", wrong: "bad", unscored: "none" }[result] }, h("span", { "aria-hidden": "true", text: sign }), h("span.sr", { text: result }));
  };
  vzgym.classPill = (state, kind) => h("span.pill", {
    class: GOOD.includes(kind) ? (kind === "right_by_luck" ? "warn" : "good") : ["video_error", "unknown"].includes(kind) ? "" : "bad",
    title: state.classes.get(kind)?.[1] || "", text: state.classes.get(kind)?.[0] || kind,
  });
  vzgym.interval = (estimate, form) => {
    if (!estimate || !vzgym.isNumber(estimate.value)) return "\u2013";
    const ends = vzgym.isNumber(estimate.low) ? ` [${form(estimate.low)}, ${form(estimate.high)}]` : "";
    return `${form(estimate.value)}${ends}`;
  };

  // Figures of a run above the list.
  const figures = (run) => {
    const share = (value) => (100 * value).toFixed(0);
    const { summary } = run;
    const box = (title, value, note = "") => h("div.figure", {}, h("dt", { text: title }), h("dd.num", {}, value, note && h("small", { text: note })));
    const right = summary.correct;
    const known = (name) => summary[name] && vzgym.isNumber(summary[name].value);
    return h("dl.figures", {},
      box("Right", vzgym.isNumber(right.value) ? `${(100 * right.value).toFixed(1)} %` : "\u2013", vzgym.isNumber(right.low) ? `${share(right.low)} to ${share(right.high)}` : ""),
      box("Episodes", vzgym.number(run.rows.length)),
      box("Zooms", vzgym.number(summary.zooms.value)),
      box("Frames", vzgym.number(summary.frames.value, 1)),
      known("evidence_seen") ? box("Evidence seen", vzgym.percent(summary.evidence_seen.value, 0)) : null,
      known("reward") ? box("Reward", vzgym.number(summary.reward.value, 3)) : null,
      box("Visual tokens", vzgym.number(summary.visual_tokens.value, 0)));
  };

  // Shares of the classes; each is a filter.
  const classBar = (state, rows, query, change) => {
    const counts = new Map();
    for (const row of vzgym.filtered(rows, query, ["class"])) counts.set(row.class, (counts.get(row.class) || 0) + 1);
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    const chosen = (query.get("class") || "").split(",").filter(Boolean);
    const present = [...state.classes.keys()].filter((kind) => counts.get(kind) || chosen.includes(kind));
    const toggle = (kind) => () => change("class", (chosen.includes(kind) ? chosen.filter((other) => other !== kind) : [...chosen, kind]).join(","));
    return h("div.classes", {},
      h("div.stack", { "aria-hidden": "true" }, present.map((kind) => h("i", { class: `class-${kind}`, style: { "flex-grow": counts.get(kind) || 0 }, title: `${state.classes.get(kind)[0]}: ${counts.get(kind) || 0} of ${total}` }))),
      h("div.row", { role: "group", "aria-label": "Classes of episodes" }, present.map((kind) => h("button.chip", {
        type: "button", "aria-pressed": String(chosen.includes(kind)), title: state.classes.get(kind)[1], onclick: toggle(kind),
      }, h("i", { class: `class-${kind}`, "aria-hidden": "true" }), state.classes.get(kind)[0], " ", h("b.num", { text: counts.get(kind) || 0 })))));
  };

  const COLUMNS = [["correct", "", ""], ["question", "Question", ""], ["category", "Category", "c3"], ["class", "Class", ""], ["step", "Step", "r"], ["zooms", "Zooms", "r c2"], ["frames", "Frames", "r c2"],
    ["reward", "Reward", "r c2"], ["tokens", "Tokens", "r c3"], ["price", "Price", "r c3"], ["seconds", "Seconds", "r c3"]];

  const table = (state, rows, query, change) => {
    const used = COLUMNS.filter(([column]) => rows.some((row) => row[column] !== null && row[column] !== "") || column === "correct");
    const sort = query.get("sort") || "";
    const head = used.map(([column, title, style]) => {
      const direction = sort === column ? "ascending" : sort === `-${column}` ? "descending" : null;
      const next = sort === column ? `-${column}` : sort === `-${column}` ? "" : column;
      const arrow = direction ? (direction === "ascending" ? " \u2191" : " \u2193") : "";
      return h("th", { scope: "col", class: `${style} col-${column}`, "aria-sort": direction }, h("button.plain", { type: "button", onclick: () => change("sort", next), "aria-label": `Sort by ${title || "result"}` }, title || "\u2713", arrow));
    });
    const many = state.runs.length > 1;
    const line = (row) => h("tr", {}, used.map(([column, , style]) => {
      if (column === "correct") return h("td.col-correct", {}, vzgym.verdict(row));
      if (column === "class") return h("td.col-class", {}, vzgym.classPill(state, row.class));
      if (column === "question") {
        return h("td.col-question", {}, h("a.episode", { href: vzgym.episodeAddress(row), dir: "auto", text: row.question || "(no question)" }),
          h("div.small.muted.facts", {}, many ? h("span", { text: state.runs[row.run].name }) : null, h("bdi.mono", { text: row.task }), row.rejected ? h("span", { text: `rejected: ${row.rejected}` }) : row.kind ? h("span", { text: row.kind }) : null,
            h("span.narrow.num", { text: `${vzgym.plural(row.zooms, "zoom")}, ${vzgym.plural(row.frames, "frame")}${row.reward === null ? "" : `, reward ${vzgym.number(row.reward)}`}` })));
      }
      if (column === "category") return h("td", { class: style }, h("bdi", { text: row.category || "" }));
      return h("td.num", { class: `${style} col-${column}`, text: vzgym.number(row[column], ["reward", "seconds"].includes(column) ? 2 : column === "price" ? 4 : 0) });
    }));
    return h("table.episodes", {}, h("caption.sr", { text: "Episodes" }), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map(line)));
  };

  const pager = (count, page, change) => {
    const pages = Math.ceil(count / PAGE);
    if (pages < 2) return null;
    const to = (number) => () => { change("page", number ? String(number + 1) : ""); document.getElementById("episodes").scrollIntoView(); };
    return h("nav.row.pager.noprint", { "aria-label": "Pages of the list" },
      h("button", { type: "button", disabled: page === 0, onclick: to(page - 1), text: "\u2190 Previous" }),
      h("span.num", { text: `Page ${page + 1} of ${pages}` }),
      h("button", { type: "button", disabled: page >= pages - 1, onclick: to(page + 1), text: "Next \u2192" }));
  };

  // The part below the filters, made anew after each change.
  vzgym.listBody = (state, query, change) => {
    const rows = vzgym.sorted(vzgym.filtered(state.rows, query), query);
    state.order = rows;
    const page = Math.min(Math.max(0, Number(query.get("page") || 1) - 1 || 0), Math.max(0, Math.ceil(rows.length / PAGE) - 1));
    const scored = rows.filter((row) => row.correct !== null);
    const right = scored.filter((row) => row.correct).length;
    const told = rows.length === state.rows.length ? vzgym.plural(rows.length, "episode") : `${vzgym.number(rows.length)} of ${vzgym.plural(state.rows.length, "episode")}`;
    const any = [...query.keys()].some((name) => !["page", "sort"].includes(name));
    return [
      classBar(state, state.rows, query, change),
      h("div.row.counts", { id: "episodes" }, h("p.grow", { role: "status", "aria-live": "polite" }, h("strong", { text: told }),
        scored.length ? `, ${vzgym.number(right)} right (${vzgym.percent(right / scored.length)})` : ""),
      any ? h("button.noprint", { type: "button", text: "Clear filters", onclick: () => change(null) }) : null),
      rows.length ? h("div.card.flush", {}, table(state, rows.slice(page * PAGE, (page + 1) * PAGE), query, change))
        : h("p.card.note", { text: state.rows.length ? "No episode passes these filters." : state.live ? "No episode is finished yet. New ones appear here by themselves." : "There are no episodes in these runs." }),
      pager(rows.length, page, change),
    ];
  };

  vzgym.runHeads = (state) => (state.runs.length === 1 ? h("section.card", { "aria-label": "Summary" }, figures(state.runs[0])) : null);
  vzgym.figures = figures;
})();
