// The page of `vzgym play`. The state is the program's: this page shows it, and sends what the person does.
"use strict";
(() => {
  const { h } = vzgym;
  const main = document.getElementById("main");
  const top = document.getElementById("top");
  const notice = document.getElementById("notice");

  let state = null;
  let draft = null; // what the person has entered for the next turn: window, fps, answer, open tab
  let busy = false;

  const frameUrl = (clip, index) => `frames/${state.number}/${clip}/${index}.png`;
  const say = (text) => { notice.textContent = text; notice.hidden = !text; };

  // Drafts survive a reload of the page.
  const key = () => `vzgym-draft-${state.tasks}-${state.number}-${state.episode.turns.length}`;
  const store = () => { try { sessionStorage.setItem(key(), JSON.stringify(draft)); } catch { /* no storage */ } };
  const recall = () => {
    try { return JSON.parse(sessionStorage.getItem(key())) || {}; } catch { return {}; }
  };

  const send = async (what, body) => {
    if (busy) return;
    busy = true;
    try {
      const response = await fetch(what, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      const found = await response.json();
      say(response.ok ? "" : `Not taken: ${found.error}.`);
    } catch {
      say("The program does not answer. What was played is kept; start the command again to go on.");
    } finally {
      busy = false;
    }
  };

  // The window of the next zoom ---------------------------------------------------------------------------------

  const framesOf = (start, end, fps) => Math.max(1, Math.ceil((end - start) * fps - 1e-6));
  const mostFps = (start, end) => {
    const { clip_frames: most, min_fps: low, max_fps: high } = state.episode.budget;
    if (!(end > start)) return high;
    const wanted = most / (end - start);
    const unit = 10 ** (2 - Math.floor(Math.log10(wanted)));
    return Math.max(low, Math.min(high, Math.floor(wanted * unit) / unit));
  };
  const fault = ({ start, end, fps }) => {
    const { duration, budget } = state.episode;
    if (![start, end].every(vzgym.isNumber)) return "Drag over the time line, or enter start and end.";
    if (!vzgym.isNumber(fps)) return "Enter the frames per second.";
    if (end <= start) return "The end must be greater than the start.";
    if (start < 0 || end > duration + 1e-6) return `The video lasts from 0 to ${duration.toFixed(2)} s.`;
    if (fps < budget.min_fps || fps > budget.max_fps) return `Frames per second: ${budget.min_fps} to ${budget.max_fps}.`;
    const count = framesOf(start, end, fps);
    if (count > budget.clip_frames) return `${count} frames; at most ${budget.clip_frames}: shorten the window or lower the rate.`;
    if (draft.region && !(0 <= draft.region[0] && draft.region[0] < draft.region[2] && draft.region[2] <= 1
      && 0 <= draft.region[1] && draft.region[1] < draft.region[3] && draft.region[3] <= 1)) return "The part of the frame must be inside it.";
    return "";
  };

  const numberField = (label, name, value, options, changed) => {
    const input = h("input", { type: "number", id: name, value: vzgym.isNumber(value) ? String(value) : "", inputmode: "decimal", ...options });
    input.addEventListener("input", () => changed(input.value === "" ? null : Number(input.value)));
    return { input, element: h("label.field", { for: name }, label, input) };
  };

  const controls = (timeline) => {
    const { budget, duration } = state.episode;
    const verdict = h("p.count", { role: "status" });
    const button = h("button.primary", { type: "submit", text: "Zoom" });
    const start = numberField("Start, s", "start", draft.start, { min: 0, max: duration, step: 0.1 }, (value) => { draft.start = value; retime(); });
    const end = numberField("End, s", "end", draft.end, { min: 0, max: duration, step: 0.1 }, (value) => { draft.end = value; retime(); });
    const fps = numberField("Frames per second", "fps", draft.fps, { min: budget.min_fps, max: budget.max_fps, step: "any" }, (value) => { draft.fps = value; draft.auto = false; auto.checked = false; show(); });
    const auto = h("input", { type: "checkbox", id: "auto", checked: draft.auto, onchange: () => { draft.auto = auto.checked; show(); } });
    const show = () => {
      if (draft.auto && vzgym.isNumber(draft.start) && vzgym.isNumber(draft.end)) {
        draft.fps = mostFps(draft.start, draft.end);
        fps.input.value = String(draft.fps);
      }
      const problem = fault(draft);
      const count = problem ? 0 : framesOf(draft.start, draft.end, draft.fps);
      vzgym.replace(verdict, problem ? problem : [h("b", { text: vzgym.plural(count, "frame") }), ` of at most ${budget.clip_frames}, from ${vzgym.seconds(draft.end - draft.start)}`]);
      verdict.classList.toggle("bad", Boolean(problem) && vzgym.isNumber(draft.start));
      button.disabled = Boolean(problem);
      store();
    };
    const retime = () => {
      if (vzgym.isNumber(draft.start) && vzgym.isNumber(draft.end) && draft.start <= draft.end) timeline.set(draft.start, draft.end, false);
      else timeline.clear();
      show();
    };
    const changed = (from, to) => {
      draft.start = from;
      draft.end = to;
      start.input.value = String(from);
      end.input.value = String(to);
      show();
    };
    const form = h("form.controls", { "aria-label": "Zoom", novalidate: true, onsubmit: (event) => {
      event.preventDefault();
      if (button.disabled) return;
      send("act", { episode: state.number, turn: state.episode.turns.length, action: { zoom: [draft.start, draft.end, draft.fps], region: draft.region || null } });
    } },
    h("div.fields", {}, start.element, end.element, fps.element,
      h("label.check", { for: "auto" }, auto, "as many as allowed")),
    budget.spatial ? region(show) : null,
    h("div.row", {}, verdict, h("span.grow"), button));
    return { form, changed, retime, show };
  };

  // A part of the frame, for budgets with spatial zoom: drawn on a frame of the overview, or entered in percent.
  const region = (show) => {
    const { clips } = state.episode;
    const size = clips[0].size;
    const box = h("div.box", { hidden: true });
    const picture = h("div.region", { style: { "aspect-ratio": `${size[1]} / ${size[0]}` } }, box);
    const fields = ["Left", "Top", "Right", "Bottom"].map((name, place) => numberField(`${name}, %`, `region-${place}`,
      draft.region ? Math.round(draft.region[place] * 1000) / 10 : null, { min: 0, max: 100, step: 1 }, (value) => {
        draft.region = draft.region || [0, 0, 1, 1];
        draft.region[place] = vzgym.isNumber(value) ? value / 100 : NaN;
        draw();
      }));
    const draw = () => {
      const found = draft.region && draft.region.every(vzgym.isNumber) ? draft.region : null;
      box.hidden = !found;
      if (found) {
        const [left, top_, right, bottom] = found.map((value) => `${100 * value}%`);
        Object.assign(box.style, { left, top: top_, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top_})` });
      }
      show();
    };
    const reference = () => {
      const middle = vzgym.isNumber(draft.start) ? (draft.start + (draft.end ?? draft.start)) / 2 : 0;
      const index = clips[0].times.reduce((best, time, place) => (Math.abs(time - middle) < Math.abs(clips[0].times[best] - middle) ? place : best), 0);
      if (clips[0].times.length) picture.style.setProperty("background-image", `url("${frameUrl(0, index)}")`);
    };
    let from = null;
    const at = (event) => {
      const area = picture.getBoundingClientRect();
      return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height].map((value) => Math.round(1000 * Math.min(1, Math.max(0, value))) / 1000);
    };
    picture.addEventListener("pointerdown", (event) => { from = at(event); picture.setPointerCapture(event.pointerId); event.preventDefault(); });
    picture.addEventListener("pointermove", (event) => {
      if (!from) return;
      const to = at(event);
      draft.region = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
      fields.forEach(({ input }, place) => { input.value = String(Math.round(1000 * draft.region[place]) / 10); });
      draw();
    });
    picture.addEventListener("pointerup", () => { from = null; });
    const details = h("details.part", { open: Boolean(draft.region) }, h("summary", { text: "Only a part of the frame" }),
      h("div.row", {}, picture, h("div.fields", {}, fields.map(({ element }) => element)),
        h("button", { type: "button", text: "Whole frame", onclick: () => { draft.region = null; fields.forEach(({ input }) => { input.value = ""; }); draw(); } })));
    details.addEventListener("toggle", reference);
    if (draft.region) { reference(); setTimeout(draw); }
    return details;
  };

  // The answer ----------------------------------------------------------------------------------------------------

  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const answerForm = () => {
    const { options } = state.episode;
    const button = h("button.primary", { type: "submit", text: "Answer", disabled: !draft.answer });
    const choose = (text) => { draft.answer = text; button.disabled = !text.trim(); store(); };
    const inputs = options.length
      ? h("div.options", { role: "radiogroup", "aria-labelledby": "question" }, options.map((option, place) => {
        const letter = place < 26 ? letters[place] : String(place + 1);
        return h("label.option", {}, h("input", { type: "radio", name: "answer", value: letter, checked: draft.answer === letter, onchange: () => choose(letter) }),
          h("b", { text: letter, "aria-hidden": "true" }), vzgym.said(option));
      }))
      : h("label.field", {}, "Your answer", h("textarea", { rows: 3, maxlength: 10000, oninput: (event) => choose(event.target.value), text: draft.answer || "" }));
    return h("form.answer", { novalidate: true, onsubmit: (event) => {
      event.preventDefault();
      if (!draft.answer || !draft.answer.trim()) return;
      send("act", { episode: state.number, turn: state.episode.turns.length, action: { answer: draft.answer } });
    } }, inputs, h("div.row", {}, h("span.small.muted", { text: "An answer ends the question." }), h("span.grow"), button));
  };

  // The page ------------------------------------------------------------------------------------------------------

  const header = () => {
    const { number, total, episode, phase } = state;
    const meter = (name, left, of) => h("span.meter", { title: `${name} left` }, h("b.num", { text: vzgym.number(left) }), ` of ${vzgym.number(of)} ${name} left`);
    vzgym.replace(top,
      h("strong.brand", { text: "vzgym play" }),
      h("span.num", { text: number ? `Question ${number} of ${total}` : "" }),
      h("progress", { max: total, value: phase === "done" ? total : Math.max(0, number - (phase === "ended" ? 0 : 1)), "aria-label": "Questions played" }),
      episode && phase !== "done" ? [meter("zooms", episode.left.zooms, episode.budget.zooms),
        meter("frames", episode.left.frames, episode.budget.zooms * episode.budget.clip_frames)] : null,
      state.feedback ? h("span.pill.warn", { text: "with feedback", title: "Answers are shown after each question; the run says so." }) : null,
      h("span.grow"),
      phase === "question" || phase === "ended" ? h("button", { type: "button", text: "Stop", title: "What was played is kept; the same command continues.", onclick: () => send("stop", {}) }) : null,
      vzgym.themeButton());
  };

  const history = () => {
    const { turns, clips } = state.episode;
    if (!turns.length) return null;
    return h("ol.turns", { "aria-label": "Turns so far" }, turns.map((turn, number) => {
      const frames = turn.clips.reduce((sum, place) => sum + clips[place].times.length, 0);
      const done = turn.outcome === "executed" ? vzgym.plural(frames, "frame") : `${turn.outcome}: ${turn.detail}`;
      return h("li", { style: { "--turn": `var(--turn-${(number % 6) + 1})` } }, vzgym.said(turn.text), " ", h("span.small.muted", { text: done }));
    }));
  };

  // An option with its letter, whether it is given by its letter or by its text.
  const option = (text) => {
    const { options } = state.episode;
    const place = text.length === 1 && letters.indexOf(text) in options ? letters.indexOf(text) : options.indexOf(text);
    return place >= 0 && place < 26 ? [h("b", { text: letters[place] }), ", ", vzgym.said(options[place])] : h("b", {}, vzgym.said(text));
  };

  const result = () => {
    const { result: found, number, total } = state;
    const next = h("button.primary", { type: "button", id: "next", text: number < total ? "Next question" : "Finish", onclick: () => send("next", { episode: number }) });
    if (!found) return h("div.result", { role: "status" }, h("p", {}, h("b", { text: "Recorded." })), next);
    const kind = found.correct === null ? "none" : found.correct ? "good" : "bad";
    const words = found.correct === null ? `Not scored (${found.status})` : found.correct ? "Right" : "Not right";
    return h("div.result", { role: "status" },
      h("p", {}, h("span.verdict", { class: kind, text: words })),
      found.answer === null ? h("p", { text: "No answer was given." }) : h("p", {}, "You answered ", option(found.answer), "."),
      found.gold ? h("p", {}, "The answer is ", option(found.gold), ".") : null,
      h("p.small", { text: found.evidence.length ? `Evidence, green on the time line: ${found.evidence.map(([a, b]) => `${a.toFixed(2)} to ${b.toFixed(2)} s`).join(", ")}.` : "No evidence to find, or it is unknown." }),
      next);
  };

  const playing = () => {
    const { episode, phase, result: found } = state;
    const last = episode.left.rounds === 1;
    const enabled = phase === "question" && !last && episode.left.zooms > 0;
    let form = null;
    const timeline = vzgym.makeTimeline(episode, {
      frameUrl, enabled, evidence: phase === "ended" && found ? found.evidence : [],
      changed: (start, end) => form && form.changed(start, end),
    });
    if (enabled) {
      form = controls(timeline);
      form.retime();
    }
    const clips = h("div");
    const drawClips = () => vzgym.replace(clips, vzgym.makeClips(episode, {
      frameUrl, selected: draft.tab,
      select: (place) => { draft.tab = place; store(); drawClips(); },
      around: enabled ? (start, end) => { timeline.set(start, end); timeline.element.scrollIntoView({ block: "nearest" }); } : null,
    }));
    drawClips();
    vzgym.replace(main,
      h("div.layout", {},
        h("section.card.question", { "aria-label": "Question" },
          h("h1", { id: "question" }, vzgym.said(episode.question)),
          phase === "question" ? answerForm() : result(),
          history()),
        h("div.looking", {},
          h("section.card", { "aria-label": "Time line" }, timeline.element,
            enabled ? form.form : h("p.note", { text: phase === "ended" ? "" : "This is the last round: answer now. Zooming is no longer possible." })),
          clips)));
    if (phase === "ended") document.getElementById("next").focus();
  };

  const draw = () => {
    header();
    document.title = state.number ? `Question ${state.number} of ${state.total}: vzgym play` : "vzgym play";
    if (state.phase === "working") {
      main.classList.add("busy");
      main.setAttribute("aria-busy", "true");
      if (!state.episode) vzgym.replace(main, h("p.note", { role: "status", text: "Reading the video." }));
      return;
    }
    main.classList.remove("busy");
    main.removeAttribute("aria-busy");
    if (state.phase === "done" || state.phase === "stopped") {
      const words = state.phase === "done" ? `All ${state.total} questions are recorded.` : state.message || "Stopped. What was played is kept; the same command continues.";
      vzgym.replace(main, h("section.card.end", {}, h("h1", { text: state.phase === "done" ? "Thank you" : "Stopped" }), h("p", { text: words }), h("p.note", { text: "The results are in the terminal. This page can be closed." })));
      return;
    }
    draft = { start: null, end: null, fps: null, auto: true, answer: "", region: null, tab: state.episode.clips.length - 1, ...recall() };
    draft.tab = Math.min(draft.tab, state.episode.clips.length - 1);
    playing();
  };

  // Letters choose an option, as long as nothing is being typed.
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input:not([type=radio]), textarea, dialog")) return;
    const choice = [...document.querySelectorAll(".option input")].find((input) => input.value === event.key.toUpperCase());
    if (choice) { choice.focus(); choice.click(); }
  });

  const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });
  const follow = async () => {
    for (;;) {
      try {
        const response = await fetch(`state?since=${state ? state.version : ""}`);
        const found = await response.json();
        if (!state || found.version !== state.version) {
          state = found;
          draw();
        }
        if (["done", "stopped"].includes(state.phase)) return;
        if (!notice.hidden && notice.textContent.startsWith("The program")) say("");
      } catch {
        say("The program does not answer: it has ended, or was interrupted. What was played is kept; start the command again to go on.");
        await pause(1500);
      }
    }
  };
  follow();
})();
