// Several runs: paired differences, and the tasks side by side.
"use strict";
(() => {
  const { h } = vzgym;
  const PAGE = 100;
  const SHARES = ["correct", "evidence_seen", "evidence_iou"];

  const form = (name) => (value) => (SHARES.includes(name) ? (100 * value).toFixed(1) : vzgym.number(value)).replace("-", "\u2212");
  const signed = (name) => (value) => vzgym.signed(form(name)(value));

  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  // A difference is marked if its interval leaves out 0.
  const difference = (item, name) => {
    const { difference: found, p } = item;
    const clear = vzgym.isNumber(found.low) && (found.low > 0 || found.high < 0);
    const [value, ends] = vzgym.interval(found, signed(name)).split(/ (?=\[)/);
    return [h("span", { class: clear ? "clear" : "" }, h("span", { text: value }), " ", ends && h("span", { text: ends })),
      vzgym.isNumber(p) ? h("span.small.muted", { text: ` p\u00a0${p < 0.001 ? "<\u00a00.001" : p.toFixed(3)}` }) : null];
  };

  // The runs' accuracies with their intervals, on one axis.
  const accuracies = (found) => {
    const runs = found.runs.filter((run) => vzgym.isNumber(run.metrics.correct.value.value));
    if (!runs.length) return null;
    const [wide, left, right, line] = [420, 120, 18, 30];
    const x = (share) => left + share * (wide - left - right);
    const name = (text) => (text.length > 18 ? `${text.slice(0, 17)}\u2026` : text);
    const tall = runs.length * line + 22;
    return h("figure.accuracies", {}, h("figcaption", { text: "Accuracy with 95 % interval" }), vzgym.svg("svg", { viewBox: `0 0 ${wide} ${tall}`, role: "img",
      "aria-label": runs.map((run) => `${run.name}: ${vzgym.interval(run.metrics.correct.value, form("correct"))} %`).join("; ") },
    [0, 0.25, 0.5, 0.75, 1].map((share) => [vzgym.svg("line", { class: "grid", x1: x(share), x2: x(share), y1: 0, y2: tall - 18 }),
      vzgym.svg("text", { class: "tick", x: x(share), y: tall - 3, "text-anchor": "middle", text: `${100 * share} %` })]),
    runs.map((run, number) => {
      const { value, low, high } = run.metrics.correct.value;
      const y = number * line + line / 2;
      return [vzgym.svg("text", { x: left - 12, y: y + 4, "text-anchor": "end", text: name(run.name) }),
        vzgym.isNumber(low) ? vzgym.svg("line", { class: "range", x1: x(low), x2: x(high), y1: y, y2: y }) : null, vzgym.svg("circle", { class: "dot", cx: x(value), cy: y, r: 5.5 })];
    })));
  };

  vzgym.comparison = (state) => {
    const found = state.comparison;
    if (!found) return null;
    if (found.missing) return h("p.message", { text: `The runs are not compared: ${found.missing}` });
    const first = found.runs[0];
    const metrics = found.metrics.filter(([name]) => found.runs.some((run) => vzgym.isNumber(run.metrics[name].value.value)));
    return h("section.card", { "aria-labelledby": "compare-title" },
      h("h2", { id: "compare-title", text: "Paired differences" }),
      h("p.small.muted", {}, `On ${vzgym.plural(found.tasks, "shared task")}; differences from `, h("b", { text: first.name }), ", with 95 % interval. Bold: the interval leaves out 0. p: McNemar\u2019s exact test."),
      h("div.beside", {}, h("div.wide", { tabindex: "0", role: "region", "aria-labelledby": "compare-title" }, h("table.paired", {},
        h("thead", {}, h("tr", {}, h("td", {}), found.runs.map((run, number) => h("th.r", { scope: "col" }, h("bdi", { text: run.name }), number ? null : h("span.muted", { text: " (reference)" }))))),
        h("tbody", {}, metrics.map(([name, title]) => h("tr", {}, h("th", { scope: "row", text: capital(title) + (SHARES.includes(name) ? ", %" : "") }),
          found.runs.map((run, number) => h("td.r", {}, h("div", { text: vzgym.interval({ value: run.metrics[name].value.value }, form(name)) }),
            number ? h("div.small", {}, difference(run.metrics[name], name)) : null))))))), accuracies(found)));
  };

  const signature = (rows) => rows.map((row) => `${vzgym.result(row)}`).join();

  // Tasks with the episodes of each run, in the order of the first appearance.
  const aligned = (rows, count) => {
    const tasks = new Map();
    for (const row of rows) {
      if (!tasks.has(row.task)) tasks.set(row.task, Array.from({ length: count }, () => []));
      tasks.get(row.task)[row.run].push(row);
    }
    return [...tasks].map(([task, runs]) => {
      const played = runs.filter((each) => each.length);
      const results = new Set(played.map(signature));
      const classes = new Set(played.map((each) => each.map((row) => row.class).join()));
      return { task, runs, first: played[0][0], differs: played.length > 1 && results.size > 1, shared: played.length === count, classes: classes.size > 1 };
    });
  };

  const cell = (state, rows) => {
    if (!rows.length) return h("td.muted", { text: "not played" });
    if (rows.length === 1) {
      const [row] = rows;
      return h("td", {}, h("a.outcome", { href: vzgym.episodeAddress(row) }, vzgym.verdict(row), " ", vzgym.classPill(state, row.class)),
        h("div.small.muted.num", { text: `${vzgym.plural(row.zooms, "zoom")}, ${vzgym.plural(row.frames, "frame")}` }));
    }
    const right = rows.filter((row) => row.correct).length;
    return h("td", {}, h("div.num", { text: `${right} of ${rows.length} right` }),
      h("div.row.samples", {}, rows.slice(0, 16).map((row) => h("a", { href: vzgym.episodeAddress(row), "aria-label": `Roll-out ${vzgym.number(row.sample ?? row.number)}, ${vzgym.result(row)}` }, vzgym.verdict(row))), rows.length > 16 ? `+${rows.length - 16}` : null));
  };

  vzgym.tasksBody = (state, query, change) => {
    const rows = vzgym.filtered(state.rows, query, ["run"]);
    state.order = vzgym.sorted(rows, query);
    const wanted = new Set(rows.map((row) => row.task));
    const all = aligned(state.rows, state.runs.length).filter(({ task }) => wanted.has(task));
    const which = query.get("differs") || "";
    const chosen = all.filter((item) => (which === "result" ? item.differs : which === "class" ? item.classes : true));
    const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
    const page = Math.min(pages - 1, Math.max(0, Number(query.get("page") || 1) - 1 || 0));
    const button = (value, text) => h("button", { type: "button", "aria-pressed": String(which === value), onclick: () => change("differs", value), text });
    const line = (item) => h("tr", { class: item.differs ? "differs" : "" },
      h("td.col-question", {}, h("a.episode", { href: vzgym.episodeAddress(item.first), dir: "auto", text: item.first.question || "(no question)" }),
        h("div.small.muted.facts", {}, h("bdi.mono", { text: item.task }), item.differs ? h("span.pill.warn", { text: "\u2260 result differs" }) : item.classes ? h("span.pill", { text: "class differs" }) : null)),
      item.runs.map((each) => cell(state, each)));
    const count = all.filter((item) => item.differs).length;
    return [
      h("div.row.counts", { id: "episodes" }, h("p.grow", { role: "status", "aria-live": "polite" }, h("strong", { text: vzgym.plural(chosen.length, "task") }), `; the result differs in ${count} of ${all.length}`),
        h("div.row.noprint", { role: "group", "aria-label": "Tasks shown" }, button("", "All"), button("result", "Result differs"), button("class", "Class differs"))),
      chosen.length ? h("div.card.flush.wide", { tabindex: "0", role: "region", "aria-label": "Tasks by run" }, h("table.tasks", {}, h("caption.sr", { text: "Tasks by run" }),
        h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Task" }), state.runs.map((run) => h("th", { scope: "col" }, h("bdi", { text: run.name }))))),
        h("tbody", {}, chosen.slice(page * PAGE, (page + 1) * PAGE).map(line)))) : h("p.card.note", { text: "No task passes these filters." }),
      pages > 1 ? h("nav.row.pager.noprint", { "aria-label": "Pages of the list" },
        h("button", { type: "button", disabled: page === 0, text: "\u2190 Previous", onclick: () => change("page", String(page)) }), h("span.num", { text: `Page ${page + 1} of ${pages}` }),
        h("button", { type: "button", disabled: page >= pages - 1, text: "Next \u2192", onclick: () => change("page", String(page + 2)) })) : null,
    ];
  };
})();
