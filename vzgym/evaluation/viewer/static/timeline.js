// The time line of an episode: overview, zoom windows by turn, evidence, and frames at their times.
"use strict";
(() => {
  const { h } = vzgym;

  const at = (time, duration) => `${Math.min(100, Math.max(0, (100 * time) / duration))}%`;

  // Round steps of an axis, so that about six labels fit on a narrow screen.
  const ticks = (duration) => {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000];
    const step = steps.find((size) => duration / size <= 7) || duration / 6;
    const found = [];
    for (let time = 0; time <= duration + 1e-9; time += step) found.push(Number(time.toFixed(6)));
    return { step, times: found };
  };

  const axis = (duration) => {
    const { step, times } = ticks(duration);
    const word = (time) => (duration < 100 ? `${vzgym.number(time, step < 1 ? 1 : 0)} s` : vzgym.clock(time));
    return h("div.axis", { "aria-hidden": "true" }, times.map((time) => h("span", {
      style: { left: at(time, duration) }, text: word(time),
      class: time === 0 ? "first" : time > 0.93 * duration ? "last" : "",
    })));
  };

  // Windows of a turn: those asked for, in the order of the clips.
  const windowsOf = (episode, turn) => turn.clips.map((number) => episode.clips[number])
    .filter((clip) => clip.window).map((clip) => clip.window);

  const refusedWindows = (turn, duration) => (turn.clips.length ? [] : turn.windows)
    .filter(([start, end]) => vzgym.isNumber(start) && vzgym.isNumber(end) && start < duration && end > 0 && start < end)
    .map(([start, end]) => [Math.max(0, start), Math.min(duration, end)]);

  // The thumbnails of the overview: as many as have room, at their times.
  const thumbnails = (episode, items, duration) => {
    const clip = episode.clips[0];
    const strip = h("div.thumbs", { "aria-hidden": "true" });
    if (!clip || !clip.sheet || !clip.times.length) return null;
    const [height, width] = clip.size;
    const fill = () => {
      const room = strip.clientWidth;
      if (!room) return;
      const tall = room < 600 ? 38 : 52;
      const wide = Math.min(110, Math.max(24, (tall * width) / height));
      strip.style.height = `${(wide * height) / width}px`;
      const chosen = [];
      let free = -Infinity;
      clip.times.forEach((time, index) => {
        const centred = Math.min(Math.max(0, (time / duration) * room - wide / 2), room - wide);
        const left = Math.max(centred, free);
        if (left - centred <= wide / 3 && left <= room - wide) { chosen.push([index, left]); free = left + wide + 2; }
      });
      vzgym.replace(strip, chosen.map(([index, left]) => {
        const frame = vzgym.frameButton(items, index, { tabindex: "-1" });
        frame.style.left = `${left}px`;
        frame.style.width = `${wide}px`;
        return frame;
      }));
    };
    new ResizeObserver(fill).observe(strip);
    return strip;
  };

  const marks = (items, number, duration) => items.map((item, place) => (item.number === number ? vzgym.enlarges(h("i.mark", {
    style: { left: at(item.clip.times[item.index], duration) },
  }), items, place) : null));

  const evidenceBands = (episode, duration) => (episode.task.evidence || []).map(([start, end]) => h("i.evidence", {
    style: { left: at(start, duration), width: `calc(${at(end, duration)} - ${at(start, duration)})` },
  }));

  const lane = (name, title, ...content) => h("div.lane", {}, h("span.name", { text: name, title }), h("div.track", {}, content));

  const words = (episode) => {
    const { duration, evidence } = episode.task;
    const spans = evidence === null ? "evidence unknown"
      : evidence.length ? `evidence at ${evidence.map(([a, b]) => `${a.toFixed(2)} to ${b.toFixed(2)} s`).join(", ")}`
        : "no evidence to find";
    return `Time line of ${vzgym.seconds(duration)}: ${spans}; ${vzgym.plural(episode.turns.length, "turn")}`;
  };

  // The whole time line. `toTurn(number)` is the address of a turn.
  vzgym.timeline = (episode, items, toTurn, { compact = false, name = "" } = {}) => {
    const { duration, evidence } = episode.task;
    if (!(vzgym.isNumber(duration) && duration > 0)) return h("p.message", { text: "The record has no valid duration." });
    const bands = () => evidenceBands(episode, duration);
    const overview = episode.clips[0];
    const lanes = [];
    if (evidence && evidence.length) {
      lanes.push(lane("Evidence", "Where the answer is shown", evidence.map(([start, end]) => h("i.truth", {
        style: { left: at(start, duration), width: `calc(${at(end, duration)} - ${at(start, duration)})` },
      }))));
    }
    lanes.push(lane("Overview", `${overview.times.length} frames`, bands(), marks(items, 0, duration)));
    episode.turns.forEach((turn, number) => {
      const windows = windowsOf(episode, turn);
      const refused = refusedWindows(turn, duration);
      if (!windows.length && !refused.length && !turn.clips.length) return;
      const colour = `var(--turn-${(number % 6) + 1})`;
      const bars = [...windows, ...refused].map(([start, end]) => h("a.bar", {
        href: toTurn(number), class: turn.clips.length ? "" : "refused",
        "aria-label": `Turn ${number + 1}: ${turn.title} ${start.toFixed(2)} to ${end.toFixed(2)} s, ${turn.outcome}`,
        title: `Turn ${number + 1}: ${start.toFixed(2)} to ${end.toFixed(2)} s`,
        style: { left: at(start, duration), width: `calc(${at(end, duration)} - ${at(start, duration)})` },
      }));
      const row = lane(`Turn ${number + 1}`, turn.title, bands(), bars, turn.clips.map((clip) => marks(items, clip, duration)));
      row.style.setProperty("--turn", colour);
      lanes.push(row);
    });
    return h("div.timeline", { role: "group", "aria-label": name ? `${name}. ${words(episode)}` : words(episode), class: compact ? "compact" : "" },
      compact ? null : lane("", "", thumbnails(episode, items, duration)), lanes, lane("", "", axis(duration)));
  };
})();
