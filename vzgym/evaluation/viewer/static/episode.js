// One episode: question, time line, turns with frames and dialogue, and the ledgers.
"use strict";
(() => {
  const { h } = vzgym;

  const letter = (place) => String.fromCharCode(65 + place);
  const json = (value) => h("pre.json", { dir: "auto", text: JSON.stringify(value, null, 2) });
  const scalar = (value) => value === null || ["string", "number", "boolean"].includes(typeof value);

  // Text of the dialogue, word for word. Thoughts and lists of frame times fold; their text stays in the page.
  // Only the agent thinks; other messages may mention the tags.
  const PARTS = /(<think>[\s\S]*?(?:<\/think>|$))|((?:<frame\d+_time[\d.]+s>\s*){4,})/g;
  const dialogue = (text, agent) => {
    const parts = [];
    let end = 0;
    for (const found of text.matchAll(PARTS)) {
      if (found[1] && !agent) continue;
      if (found.index > end) parts.push(vzgym.said(text.slice(end, found.index)));
      end = found.index + found[0].length;
      if (found[1]) {
        parts.push(h("details.thought", { open: true }, h("summary", { text: "Thought" }), vzgym.said(found[1], "div")));
      } else {
        const count = found[2].split("<frame").length - 1;
        parts.push(h("details.times", {}, h("summary", { text: `${count} frames with their times` }), vzgym.said(found[2], "div")));
      }
    }
    if (end < text.length) parts.push(vzgym.said(text.slice(end)));
    return h("div.text", {}, parts);
  };

  const ROLES = { system: "System", user: "User", assistant: "Agent", tool: "Environment" };
  const message = ({ role, text }) => h("div.said-by", { class: `by-${ROLES[role] ? role : "tool"}` }, h("div.role", { text: ROLES[role] || role }), dialogue(text, role === "assistant"));

  // The messages before the first turn, then those of each turn.
  const byTurn = (messages) => {
    const groups = [[]];
    for (const item of messages) {
      if (item.role === "assistant") groups.push([]);
      groups.at(-1).push(item);
    }
    return groups;
  };

  const argumentsOf = (turn) => {
    const windows = turn.windows.map(([start, end, fps]) => `${vzgym.number(start)} to ${vzgym.number(end)} s at ${vzgym.number(fps)} fps`);
    if (windows.length) return windows.join("; ");
    if (turn.kind === "answer") return turn.arguments.text;
    if (turn.kind === "malformed") return turn.arguments.reason;
    return Object.entries(turn.arguments).map(([name, value]) => `${name}: ${scalar(value) ? value : JSON.stringify(value)}`).join(", ");
  };

  const described = (list) => list.map((item) => Object.entries(item).filter(([, value]) => value !== null).map(([name, value]) => `${name} ${scalar(value) ? value : JSON.stringify(value)}`).join(", ")).join("; ");

  const total = (reward) => (reward && vzgym.isNumber(reward.total) ? `reward ${vzgym.signed(vzgym.number(reward.total, 3))}` : reward ? "unscored" : null);

  const turnCard = (episode, items, turn, number, messages, current) => {
    const outcome = h("span.pill", { class: turn.bad ? "bad" : turn.outcome === "executed" ? "good" : "", text: turn.refusal ? `${turn.outcome}: ${turn.refusal}` : turn.outcome });
    const shown = messages.length ? messages : [{ role: "assistant", text: turn.text }];
    return h("section.card.turn", { id: `turn-${number + 1}`, tabindex: "-1", "aria-labelledby": `turn-title-${number + 1}`, class: current ? "current" : "", style: { "--turn": `var(--turn-${(number % 6) + 1})` } },
      h("div.row.turn-head", {}, h("h3.grow", { id: `turn-title-${number + 1}` }, h("span.turn-number", { text: number + 1 }), h("span.sr", { text: "Turn: " }), `${turn.title} `, h("span.arguments", { dir: "auto", text: clipped(argumentsOf(turn)) })),
        turn.well_formed ? null : h("span.pill.warn", { text: "not well-formed" }), outcome, total(turn.reward) ? h("span.pill.num", { text: total(turn.reward) }) : null),
      turn.clips.map((clip) => vzgym.filmStrip(episode, items, clip)),
      turn.detail ? h("p.message.bad.small", { dir: "auto", text: turn.detail }) : null,
      turn.windows.length && Object.keys(turn.arguments).length ? h("p.small.muted.mono", { dir: "auto", text: described(turn.arguments.zooms) }) : null,
      Object.keys(turn.costs).length ? h("p.small.muted.num", { text: `Cost: ${described([turn.costs])}` }) : null,
      h("div.messages", {}, shown.map(message)));
  };
  const clipped = (text) => (text.length > 200 ? `${text.slice(0, 200)}\u2026` : text);

  const facts = (pairs) => h("dl.facts-list", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd.num", {}, typeof value === "object" && !(value instanceof Node) && !Array.isArray(value) ? json(value) : value))));

  const rewardCard = (episode) => {
    const ledger = episode.turns.map((turn) => turn.reward).filter((entry) => entry && entry.terms);
    if (!ledger.length) return null;
    const names = [...new Set(ledger.flatMap((entry) => Object.keys(entry.terms)))];
    const sum = (values) => values.reduce((all, value) => all + value, 0);
    const value = (term) => (term.status === "scored" || term.status === undefined ? term.counted ?? term.value : 0);
    const lines = names.map((name) => {
      const terms = ledger.map((entry) => entry.terms[name]).filter(Boolean);
      const known = terms.filter((term) => vzgym.isNumber(term.value));
      const status = [...new Set(terms.map((term) => term.status))].filter((word) => word && word !== "scored").join(", ");
      return h("tr", {}, h("th.term", { scope: "row" }, h("bdi", { text: name }), status ? h("span.small.muted", { text: ` ${status}` }) : null),
        h("td.r", { text: known.length ? vzgym.number(sum(known.map((term) => term.value)), 3) : "unscored" }),
        h("td.r", { text: terms.length ? vzgym.number(terms.at(-1).weight, 3) : "" }),
        h("td.r", { text: known.length ? vzgym.number(sum(known.map((term) => term.weight * value(term))), 3) : "\u2013" }));
    });
    const totals = ledger.map((entry) => entry.total);
    const all = totals.every(vzgym.isNumber) ? vzgym.number(sum(totals), 3) : "unscored";
    return h("section.card", { "aria-labelledby": "reward-title" }, h("h2", { id: "reward-title", text: "Reward" }),
      h("div.wide", {}, h("table.small", {}, h("thead", {}, h("tr", {}, ["Term", "Value", "Weight", "Counts"].map((title, place) => h("th", { scope: "col", class: place ? "r" : "", text: title })))),
        h("tbody", {}, lines, h("tr.total", {}, h("th", { scope: "row", text: "Total" }), h("td"), h("td"), h("td.r", {}, h("b", { text: all })))))),
      h("details.small", {}, h("summary", { text: "By turn" }), json(episode.turns.map((turn) => turn.reward))));
  };

  const COSTS = { visual_tokens: "Visual tokens", text_tokens: "Text tokens", written_tokens: "Tokens written", passes: "Model passes", frames_shown: "Frames shown", frames_decoded: "Frames decoded", decode_seconds: "Decoding, s", tool_seconds: "Environment, s", model_seconds: "Policy, s", wall_seconds: "Wall time, s", requests: "Requests", retries: "Retries", input_tokens: "Input tokens", output_tokens: "Output tokens", price: "Price" };

  const gradeCard = (state, episode) => {
    const { grade, evidence } = episode;
    const words = state.classes.get(episode.class) || [episode.class, ""];
    return h("section.card", { "aria-labelledby": "grade-title" }, h("h2", { id: "grade-title" }, "Grade ", vzgym.classPill(state, episode.class)),
      h("p", { dir: "auto", text: grade.why }), h("p.muted", { text: words[1] }),
      facts([["Status", grade.status], ["End", episode.end], ["Evidence seen", evidence.seen === null ? null : vzgym.percent(evidence.seen, 0)], ["Evidence covered by zooms", evidence.coverage === null ? null : vzgym.percent(evidence.coverage, 0)], ["IoU of zooms and evidence", evidence.iou === null ? null : vzgym.number(evidence.iou, 3)]]));
  };

  const sideCards = (state, episode) => {
    const { task, info, budget } = episode;
    const hidden = ["counterfactual", "costs", "wall_seconds", "tool_seconds", "model_seconds"];
    return [gradeCard(state, episode), rewardCard(episode),
      h("section.card", { "aria-labelledby": "cost-title" }, h("h2", { id: "cost-title", text: "Cost" }), facts(episode.costs.map(([name, value]) => [COSTS[name] || name, vzgym.number(value, 3)]))),
      h("section.card", { "aria-labelledby": "run-title" }, h("h2", { id: "run-title", text: "Task and run" }),
        facts([["Task", task.id], ["Category", task.category], ["Source", task.source], ["Video", h("span.mono", { text: task.video })], ["Duration", vzgym.seconds(task.duration)], ["Size", `${task.size[1]} \u00d7 ${task.size[0]}`], ["Record", h("span.mono", { text: episode.where })]]),
        h("details", {}, h("summary", { text: "Run" }), json(Object.fromEntries(Object.entries(info).filter(([name]) => !hidden.includes(name))))),
        episode.tools.length ? h("details", {}, h("summary", { text: vzgym.plural(episode.tools.length, "tool") }), json(episode.tools)) : null,
        task.subtitles.length ? h("details", {}, h("summary", { text: vzgym.plural(task.subtitles.length, "subtitle") }), h("ol.subtitles.small", {}, task.subtitles.map(([start, end, text]) => h("li", {}, h("span.num.muted", { text: `${vzgym.clock(start, 1)} to ${vzgym.clock(end, 1)} ` }), vzgym.said(text))))) : null,
        info.counterfactual ? h("details", {}, h("summary", { text: "Answers without and from each zoom" }), json(info.counterfactual)) : null,
        h("details", {}, h("summary", { text: "Budget" }), json(budget)), h("details", {}, h("summary", { text: "Metadata of the task" }), json(task.metadata)))];
  };

  const options = (episode) => {
    const { options: texts, gold, answer } = episode.task;
    const given = episode.turns.at(-1)?.kind === "answer" ? episode.turns.at(-1).arguments.text : null;
    if (!texts.length) return h("p", {}, "Right answer: ", h("bdi", { text: answer || "unknown" }), given === null ? "" : "; given: ", given === null ? null : h("bdi", { text: given }));
    const read = episode.grade.read;
    return h("ol.options", {}, texts.map((text, place) => {
      const [right, chosen] = [place === gold, read !== null && read === text];
      return h("li", { class: right ? "right" : chosen ? "chosen" : "" }, h("b", { text: `${letter(place)}.` }), h("span.grow", { dir: "auto", text }),
        right ? h("span.pill.good", { text: chosen ? "\u2713 right, chosen" : "\u2713 right" }) : chosen ? h("span.pill.bad", { text: "\u2717 chosen" }) : null);
    }));
  };

  // The same task in the other runs: time lines on one axis, and what differs.
  const others = (state, episode, row, loaded) => {
    if (!loaded.length) return null;
    const all = [{ row, episode }, ...loaded].sort((a, b) => a.row.run - b.row.run || a.row.number - b.row.number);
    const nameOf = (one) => `${state.runs.length > 1 ? state.runs[one.run].name : "Roll-out"}${many(one) ? ` ${vzgym.number(one.sample ?? one.number)}` : ""}`;
    const many = (one) => all.filter((other) => other.row.run === one.run).length > 1;
    const fields = [["Result", (one) => vzgym.result(one.row)], ["Class", (one) => state.classes.get(one.row.class)?.[0] || one.row.class], ["Answer", (one) => one.row.answer ?? "\u2013"], ["Zooms", (one) => vzgym.number(one.row.zooms)], ["Frames", (one) => vzgym.number(one.row.frames)], ["Reward", (one) => vzgym.number(one.row.reward, 3)], ["Visual tokens", (one) => vzgym.number(one.row.tokens, 0)]];
    return h("section.card", { "aria-labelledby": "others-title" }, h("h2", { id: "others-title", text: state.runs.length > 1 ? "The same task in every run" : "Roll-outs of this task" }),
      h("div.wide", { tabindex: "0", role: "region", "aria-labelledby": "others-title" }, h("table.paired", {}, h("thead", {}, h("tr", {}, h("td", {}), all.map((one) => h("th", { scope: "col" }, one.row === row ? h("span", { "aria-current": "true", text: nameOf(one.row) }) : h("a", { href: vzgym.episodeAddress(one.row), text: nameOf(one.row) }))))),
        h("tbody", {}, fields.map(([title, value]) => {
          const values = all.map((one) => String(value(one)));
          const differs = new Set(values).size > 1;
          return h("tr", { class: differs ? "differs" : "" }, h("th", { scope: "row" }, title, differs ? h("span.sr", { text: " (differs)" }) : null), values.map((text) => h("td", {}, h("bdi", { text: clipped(text) }))));
        })))),
      state.rows.filter((other) => other.task === row.task).length > all.length ? h("p.small.noprint", {}, h("a", { href: `#/episodes?${new URLSearchParams({ task: row.task })}`, text: "Every roll-out of this task" })) : null,
      loaded.map((one) => (one.episode.problem ? null : h("div.other", {}, h("div.row", {}, vzgym.verdict(one.row), h("a.grow", { href: vzgym.episodeAddress(one.row), text: nameOf(one.row) })),
        vzgym.timeline(one.episode, vzgym.frameItems(one.episode), (turn) => vzgym.episodeAddress(one.row, turn + 1), { compact: true, name: nameOf(one.row) })))));
  };

  vzgym.episodePage = (state, row, episode, turn, loaded) => {
    const place = state.order.indexOf(row);
    const step = (by) => state.order[place + by];
    const link = (to, text, title) => (to ? h("a.button", { href: vzgym.episodeAddress(to), title, text }) : h("span.button.off", { "aria-disabled": "true", text }));
    const head = h("nav.row.episode-nav.noprint", { "aria-label": "Episodes" }, h("a.button", { href: vzgym.listAddress(), text: "\u2190 All episodes" }),
      h("span.grow.small.muted.num", { text: place < 0 ? "" : `${place + 1} of ${state.order.length}` }), link(place < 0 ? null : step(-1), "\u2190 Previous", "Left arrow"), link(place < 0 ? null : step(1), "Next \u2192", "Right arrow"));
    if (episode.problem) return [head, h("p.message.bad", { dir: "auto", text: `This episode cannot be shown: ${episode.problem}` })];
    const items = vzgym.frameItems(episode);
    const groups = byTurn(episode.messages);
    const overview = episode.clips[0];
    const long = episode.task.question.length > 600;
    return [head,
      h("section.card.question", { "aria-label": "Question" },
        h("div.row.small.muted", {}, vzgym.verdict(row), h("bdi.mono", { text: row.task }), state.runs.length > 1 ? h("span", { text: state.runs[row.run].name }) : null, row.step === null ? null : h("span", { text: `step ${row.step}` }), row.rejected ? h("span.pill.warn.free", { text: `rejected: ${row.rejected}` }) : row.kind ? h("span.pill.free", { dir: "auto", text: row.kind }) : null),
        h("h1", { dir: "auto", class: long ? "long" : "", text: episode.task.question || "(no question)" }), options(episode)),
      h("section.card", { "aria-label": "Time line" }, vzgym.timeline(episode, items, (number) => vzgym.episodeAddress(row, number + 1))),
      others(state, episode, row, loaded),
      h("div.columns", {},
        h("div.turns", {},
          h("section.card.turn.start", { id: "turn-0", tabindex: "-1" }, h("div.row.turn-head", {}, h("h3.grow", {}, "Overview ", h("span.arguments", { text: vzgym.plural(overview.times.length, "frame") }))),
            // The time line shows a long overview, too.
            overview.times.length > 24 ? h("details", {}, h("summary", { text: `All ${overview.times.length} frames` }), vzgym.filmStrip(episode, items, 0)) : vzgym.filmStrip(episode, items, 0), h("div.messages", {}, groups[0].map(message))),
          episode.turns.map((one, number) => turnCard(episode, items, one, number, groups[number + 1] || [], turn === number + 1))),
        h("div.side", {}, sideCards(state, episode)))];
  };
})();
