// The time line: thumbnails of the overview, earlier zooms, and the window of the next zoom, by pointer and by keyboard.
"use strict";
(() => {
  const { h } = vzgym;
  const round = (time) => Math.round(time * 100) / 100;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  const ticks = (duration) => {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000];
    const step = steps.find((size) => duration / size <= 8) || duration / 6;
    const found = [];
    for (let time = 0; time <= duration + 1e-9; time += step) found.push(Number(time.toFixed(6)));
    return { step, found };
  };

  const label = (time, duration, step) =>
    (duration < 100 ? `${vzgym.number(time, step < 1 ? 1 : 0)} s` : vzgym.clock(time));

  // A time line. `changed(start, end)` is called when the person changes the window, `frameUrl(clip, index)` gives the
  // address of a frame.
  vzgym.makeTimeline = (episode, { frameUrl, changed, enabled, evidence = [] }) => {
    const { duration } = episode;
    const share = (time) => `${clamp((100 * time) / duration, 0, 100)}%`;
    const overview = episode.clips[0];
    let span = null;

    const thumbs = h("div.thumbs", { "aria-hidden": "true" });
    const marks = h("div.marks", { "aria-hidden": "true" }, overview.times.map((time) => h("i", { style: { left: share(time) } })));
    const lanes = h("div.lanes", { "aria-hidden": "true" });
    episode.turns.forEach((turn, number) => turn.clips.forEach((place) => {
      const { window: shown } = episode.clips[place];
      if (!shown) return;
      lanes.append(h("div.lane", { title: `Zoom ${number + 1}: ${shown[0].toFixed(2)} to ${shown[1].toFixed(2)} s` },
        h("b", { style: { left: share(shown[0]), width: `calc(${share(shown[1])} - ${share(shown[0])})`, background: `var(--turn-${(number % 6) + 1})` } })));
    }));
    const bands = evidence.map(([start, end]) => h("i.evidence", {
      title: `Evidence: ${start.toFixed(2)} to ${end.toFixed(2)} s`,
      style: { left: share(start), width: `calc(${share(end)} - ${share(start)})` },
    }));
    const { step, found } = ticks(duration);
    const axis = h("div.axis", { "aria-hidden": "true" }, found.map((time) => h("span", {
      class: time === 0 ? "first" : time > 0.94 * duration ? "last" : "",
      style: { left: share(time) }, text: label(time, duration, step),
    })));

    const handle = (name) => h(`div.handle.${name}`, { role: "slider", tabindex: enabled ? "0" : "-1", "aria-label": name === "from" ? "Start of the window" : "End of the window",
      "aria-valuemin": "0", "aria-valuemax": String(round(duration)) });
    const [from, to] = [handle("from"), handle("to")];
    const body = h("div.body", { role: "slider", tabindex: enabled ? "0" : "-1", "aria-label": "Position of the window", "aria-valuemin": "0", "aria-valuemax": String(round(duration)) });
    const frame = h("div.window", { hidden: true }, body, from, to);
    const cursor = h("div.cursor", { hidden: true, "aria-hidden": "true" });
    const strip = h("div.strip", {}, thumbs, marks, bands, frame, cursor);
    const peek = h("div.peek", { hidden: true, "aria-hidden": "true" });
    const element = h("div.timeline", { role: "group", "aria-label": `Time line of ${vzgym.seconds(duration)}. Drag to select the window of a zoom.` },
      lanes, strip, axis, peek);

    const show = () => {
      frame.hidden = span === null;
      if (span === null) return;
      const [start, end] = span;
      frame.style.left = share(start);
      frame.style.width = `calc(${share(end)} - ${share(start)})`;
      for (const [part, now] of [[from, start], [to, end], [body, start]]) {
        part.setAttribute("aria-valuenow", String(now));
        part.setAttribute("aria-valuetext", `${now.toFixed(2)} seconds`);
      }
      body.setAttribute("aria-valuetext", `${start.toFixed(2)} to ${end.toFixed(2)} seconds`);
    };
    const set = (start, end, tell = true) => {
      span = [round(clamp(start, 0, duration)), round(clamp(end, 0, duration))];
      // Rounding may move the end beyond the video.
      if (span[1] > duration) span[1] = Math.floor(duration * 100) / 100;
      show();
      if (tell) changed(span[0], span[1]);
    };
    const clear = () => { span = null; show(); };

    // Pointer: a drag on the strip draws a window, on the window moves it, on a handle moves one end.
    const timeOf = (event) => {
      const box = strip.getBoundingClientRect();
      return clamp(((event.clientX - box.left) / box.width) * duration, 0, duration);
    };
    let drag = null;
    strip.addEventListener("pointerdown", (event) => {
      if (!enabled || event.button !== 0) return;
      const time = timeOf(event);
      const target = event.target;
      const kind = target === from ? "from" : target === to ? "to" : target === body ? "move" : "new";
      drag = { kind, time, span: span && [...span], moved: false };
      strip.setPointerCapture(event.pointerId);
      event.preventDefault();
      (kind === "new" ? body : target).focus({ preventScroll: true });
    });
    strip.addEventListener("pointermove", (event) => {
      const time = timeOf(event);
      if (!drag) { showPeek(event, time); return; }
      hidePeek();
      if (Math.abs(time - drag.time) > duration / 1000) drag.moved = true;
      if (!drag.moved) return;
      if (drag.kind === "new") set(Math.min(time, drag.time), Math.max(time, drag.time));
      else if (drag.kind === "move") {
        const length = drag.span[1] - drag.span[0];
        const start = clamp(drag.span[0] + time - drag.time, 0, duration - length);
        set(start, start + length);
      } else {
        const other = drag.kind === "from" ? drag.span[1] : drag.span[0];
        set(Math.min(time, other), Math.max(time, other));
      }
    });
    const drop = (event) => {
      if (drag && !drag.moved && drag.kind === "new" && event.type === "pointerup") {
        // A click selects the interval between the neighboring frames of the overview.
        const after = overview.times.filter((time) => time > drag.time);
        const before = overview.times.filter((time) => time <= drag.time);
        set(before.length ? before.at(-1) : 0, after.length ? after[0] : duration);
      }
      drag = null;
    };
    strip.addEventListener("pointerup", drop);
    strip.addEventListener("pointercancel", drop);

    // Keyboard: arrows by 0.1 s, with Shift by 1 s, PageUp and PageDown by 10 s, Home and End to the limits.
    const keyed = (kind) => (event) => {
      if (!enabled || !span || event.altKey || event.ctrlKey || event.metaKey) return;
      const size = event.shiftKey ? 1 : 0.1;
      const steps = { ArrowLeft: -size, ArrowDown: -size, ArrowRight: size, ArrowUp: size, PageDown: -10, PageUp: 10, Home: -duration, End: duration };
      const by = steps[event.key];
      if (by === undefined) return;
      event.preventDefault();
      const [start, end] = span;
      if (kind === "from") set(clamp(start + by, 0, Math.max(0, end - 0.01)), end);
      else if (kind === "to") set(start, clamp(end + by, Math.min(duration, start + 0.01), duration));
      else {
        const moved = clamp(start + by, 0, duration - (end - start));
        set(moved, moved + end - start);
      }
    };
    from.addEventListener("keydown", keyed("from"));
    to.addEventListener("keydown", keyed("to"));
    body.addEventListener("keydown", keyed("move"));

    // The frame of the overview that is nearest to the pointer, with its time.
    const nearest = (time) => overview.times.reduce((best, other, index) =>
      (Math.abs(other - time) < Math.abs(overview.times[best] - time) ? index : best), 0);
    const peekImage = h("img", { alt: "", draggable: "false" });
    const peekText = h("span.small.num");
    vzgym.append(peek, [peekImage, peekText]);
    const showPeek = (event, time) => {
      if (event.pointerType === "touch") return;
      cursor.hidden = false;
      cursor.style.left = share(time);
      if (!overview.times.length) return;
      const index = nearest(time);
      const address = frameUrl(0, index);
      if (peekImage.getAttribute("src") !== address) peekImage.setAttribute("src", address);
      peekText.textContent = `pointer ${time.toFixed(2)} s, frame ${overview.times[index].toFixed(2)} s`;
      peek.hidden = false;
      const room = element.clientWidth - peek.offsetWidth;
      peek.style.left = `${clamp((element.clientWidth * time) / duration - peek.offsetWidth / 2, 0, Math.max(0, room))}px`;
    };
    const hidePeek = () => { peek.hidden = true; cursor.hidden = true; };
    strip.addEventListener("pointerleave", hidePeek);

    // Thumbnails side by side, as many as have room; each shows the overview's frame nearest to its middle.
    const fill = () => {
      const room = strip.clientWidth;
      if (!room || !overview.times.length) return;
      const [height, width] = overview.size;
      const tall = room < 600 ? 44 : 64;
      const count = Math.max(1, Math.round(room / clamp((tall * width) / height, 24, 130)));
      const wide = room / count;
      strip.style.height = `${clamp((wide * height) / width, 30, 84)}px`;
      vzgym.replace(thumbs, Array.from({ length: count }, (_, place) => h("img", {
        src: frameUrl(0, nearest(((place + 0.5) * duration) / count)), alt: "", draggable: "false",
        style: { left: `${place * wide}px`, width: `${wide}px` },
      })));
    };
    new ResizeObserver(fill).observe(strip);
    return { element, set, clear, get span() { return span; } };
  };
})();
