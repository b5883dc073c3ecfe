// What the list shows: filters and order, kept in the page's address.
"use strict";
(() => {
  const { h } = vzgym;

  const GROUNDED = { right_and_grounded: "yes", redundant: "yes", right_evidence_wrong_answer: "yes",
    right_by_luck: "no", wrong_segment: "no", too_coarse: "no" };
  vzgym.result = (row) => (row.correct === null ? "unscored" : row.correct ? "right" : "wrong");
  vzgym.grounded = (row) => GROUNDED[row.class] || "unknown";

  // Ranges: name of the filter, column, title.
  const RANGES = [["zooms", "zooms", "Zooms"], ["frames", "frames", "Frames"], ["tokens", "tokens", "Visual tokens"], ["price", "price", "Price"], ["step", "step", "Step"]];

  const test = {
    q: (row, value) => value.toLowerCase().split(/\s+/).every((word) => row.text.includes(word)),
    result: (row, value) => vzgym.result(row) === value,
    grounded: (row, value) => vzgym.grounded(row) === value,
    class: (row, value) => value.split(",").includes(row.class),
    category: (row, value) => (row.category || "(none)") === value,
    run: (row, value) => String(row.run) === value,
    kind: (row, value) => (row.rejected ? `rejected: ${row.rejected}` : row.kind || "(none)") === value,
    task: (row, value) => row.task === value,
  };
  for (const [name, column] of RANGES) {
    test[`${name}-min`] = (row, value) => row[column] !== null && row[column] >= Number(value);
    test[`${name}-max`] = (row, value) => row[column] !== null && row[column] <= Number(value);
  }

  const order = (one, other) => {
    if (one === other) return 0;
    if (one === null || one === undefined) return 1;
    if (other === null || other === undefined) return -1;
    if (typeof one === "string") return one.localeCompare(other, "en", { numeric: true });
    return one < other ? -1 : 1;
  };

  // Rows that pass every filter but those named in `without`, unsorted.
  vzgym.filtered = (rows, query, without = []) => {
    const tests = [...query].filter(([name, value]) => test[name] && value !== "" && !without.includes(name));
    return tests.length ? rows.filter((row) => tests.every(([name, value]) => test[name](row, value))) : rows;
  };
  vzgym.sorted = (rows, query) => {
    const sort = query.get("sort") || "";
    if (!sort) return rows;
    const column = sort.replace(/^-/, "");
    const sign = sort.startsWith("-") ? -1 : 1;
    const empty = (row) => row[column] === null || row[column] === undefined;
    // Unknown values come last in both directions.
    return [...rows].sort((a, b) => (empty(a) || empty(b) ? order(a[column], b[column]) : sign * order(a[column], b[column])));
  };

  const distinct = (rows, value) => [...new Set(rows.map(value))].sort((a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));

  const select = (title, name, query, change, options) => h("label.field", {}, title, h("select", {
    name, onchange: (event) => change(name, event.target.value),
  }, h("option", { value: "", text: "All" }), options.map(([value, text]) => h("option", {
    value, text: text.length > 60 ? `${text.slice(0, 60)}\u2026` : text, selected: query.get(name) === value,
  }))));

  const range = (title, name, query, change) => h("fieldset.field.range", {}, h("legend", { text: title }), ["min", "max"].map((end) => h("input", {
    type: "number", inputmode: "decimal", step: "any", name: `${name}-${end}`, placeholder: end, "aria-label": `${title}, ${end === "min" ? "at least" : "at most"}`,
    value: query.get(`${name}-${end}`) || "", oninput: (event) => change(`${name}-${end}`, event.target.value),
  })));

  // The controls. `change(name, value)` sets a filter.
  vzgym.filterBar = (state, query, change) => {
    const { rows, runs } = state;
    const some = (column) => rows.some((row) => row[column] !== null && row[column] !== "" && row[column] !== undefined);
    const kinds = distinct(rows, (row) => (row.rejected ? `rejected: ${row.rejected}` : row.kind || "(none)"));
    const categories = distinct(rows, (row) => row.category || "(none)");
    const results = distinct(rows, vzgym.result);
    const named = (values) => values.map((value) => [value, value]);
    const more = h("div.filters", {},
      runs.length > 1 ? select("Run", "run", query, change, runs.map((run, number) => [String(number), run.name])) : null,
      select("Result", "result", query, change, named(results.length ? results : ["right", "wrong"])),
      select("Grounded", "grounded", query, change, [["yes", "yes: the frames prove the answer"], ["no", "no"], ["unknown", "unknown"]]),
      categories.length > 1 ? select("Category", "category", query, change, named(categories)) : null,
      kinds.length > 1 ? select("Kind", "kind", query, change, named(kinds)) : null,
      RANGES.filter(([, column]) => some(column)).map(([name, , title]) => range(title, name, query, change)));
    const sorts = [["zooms", "fewest zooms"], ["-zooms", "most zooms"], ["frames", "fewest frames"], ["-frames", "most frames"], ["-reward", "highest reward"], ["reward", "lowest reward"], ["tokens", "fewest tokens"], ["-tokens", "most tokens"], ["-step", "latest step"]]
      .filter(([name]) => some(name.replace("-", "")));
    const sort = query.get("sort") || "";
    if (sort && !sorts.some(([name]) => name === sort)) sorts.push([sort, `${sort.replace("-", "")}${sort.startsWith("-") ? ", descending" : ""}`]);
    more.append(h("label.field", {}, "Order", h("select", { name: "sort", onchange: (event) => change("sort", event.target.value) },
      h("option", { value: "", text: "of the run" }), sorts.map(([value, text]) => h("option", { value, text, selected: value === sort })))));
    const active = [...query.keys()].filter((name) => test[name] && name !== "q").length;
    const details = h("details.more", { open: active > 0 || window.innerWidth >= 900 }, h("summary", { text: "Filters" }), more);
    const search = h("input", { type: "search", name: "q", id: "search", placeholder: "Search task, question, answer", "aria-label": "Search task, question, answer",
      value: query.get("q") || "", oninput: (event) => change("q", event.target.value) });
    return h("form.bar.noprint", { role: "search", onsubmit: (event) => event.preventDefault() }, h("div.row", {}, search), details);
  };
})();
