// The frames of the clips, in tabs, and a frame at full size.
"use strict";
(() => {
  const { h } = vzgym;

  const titles = (episode) => {
    const found = ["Overview"];
    episode.turns.forEach((turn, number) => turn.clips.forEach((place) => { found[place] = `Zoom ${number + 1}`; }));
    return found;
  };

  // The subtitles of a clip, with their times, and those spoken at a frame.
  const subtitles = (clip) => (clip.speech.length
    ? h("section.speech", { "aria-label": "Subtitles" }, h("h2", { text: "Subtitles" }), h("ul", {}, clip.speech.map(([start, end, text]) =>
      h("li", {}, h("span.num.small.muted", { text: `${start.toFixed(2)} to ${end.toFixed(2)} s ` }), vzgym.said(text)))))
    : null);
  const spokenAt = (clip, time) => clip.speech.filter(([start, end]) => start <= time && time <= end).map(([, , text]) => text);

  // Tabs with the frames of each clip. `around(start, end)` selects an interval, or is null if no zoom is possible.
  vzgym.makeClips = (episode, { frameUrl, selected, select, around }) => {
    const names = titles(episode);
    const items = [];
    episode.clips.forEach((clip, place) => clip.times.forEach((time, index) => items.push({ place, index, time })));

    const tabs = names.map((name, place) => {
      const clip = episode.clips[place];
      const detail = clip.window ? `${clip.window[0].toFixed(2)} to ${clip.window[1].toFixed(2)} s` : "";
      return h("button.tab", {
        type: "button", role: "tab", id: `tab-${place}`, "aria-controls": `clip-${place}`,
        "aria-selected": String(place === selected), tabindex: place === selected ? "0" : "-1",
        style: place ? { "--turn": `var(--turn-${((episode.turns.findIndex((turn) => turn.clips.includes(place))) % 6) + 1})` } : {},
        onclick: () => select(place),
        onkeydown: (event) => {
          const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: names.length - 1 }[event.key];
          if (to === undefined || to < 0 || to >= names.length) return;
          event.preventDefault();
          select(to);
          document.getElementById(`tab-${to}`)?.focus();
        },
      }, h("span", { text: name }), h("span.small.num", { text: `${detail ? `${detail}, ` : ""}${vzgym.plural(clip.times.length, "frame")}` }));
    });

    const clip = episode.clips[selected];
    const first = items.findIndex((item) => item.place === selected);
    const tiny = Math.max(...clip.size) < 160;
    const frames = clip.times.length
      ? h("ul.frames", { class: selected ? "large" : "", style: { "--ratio": `${clip.size[1]} / ${clip.size[0]}` } }, clip.times.map((time, index) => h("li", {},
        h("button.frame", { type: "button", "aria-label": `${names[selected]}, frame ${index + 1} of ${clip.times.length}, ${vzgym.seconds(time)}: enlarge`, onclick: () => open(first + index) },
          h("img", { src: frameUrl(selected, index), alt: "", draggable: "false", class: tiny ? "tiny" : "" }),
          h("span.time.num", { text: vzgym.seconds(time) })))))
      : h("p.note", { text: "No frames: this budget has no overview." });
    const panel = h("div.panel", { role: "tabpanel", id: `clip-${selected}`, "aria-labelledby": `tab-${selected}`, tabindex: "0" }, frames, subtitles(clip));

    const dialog = h("dialog.full", { "aria-label": "Frame" });
    const open = (start) => {
      let place = start;
      const show = () => {
        const item = items[place];
        const { size, times } = episode.clips[item.place];
        const room = [window.innerWidth * 0.92 - 40, window.innerHeight * 0.92 - 130];
        const scale = Math.min(room[0] / size[1], room[1] / size[0], 6);
        const words = `${names[item.place]}, frame ${item.index + 1} of ${times.length}: ${vzgym.seconds(item.time)}`;
        const step = (by) => () => { place = (place + by + items.length) % items.length; show(); };
        const before = times[item.index - 1] ?? (item.place ? item.time : 0);
        const after = times[item.index + 1] ?? (item.place ? item.time : episode.duration);
        vzgym.replace(dialog,
          h("img", { src: frameUrl(item.place, item.index), alt: words, class: Math.max(...size) < 160 ? "tiny" : "",
            style: { width: `${Math.round(size[1] * scale)}px`, height: `${Math.round(size[0] * scale)}px` } }),
          h("p.small.num", { text: words, "aria-live": "polite" }),
          spokenAt(episode.clips[item.place], item.time).map((text) => h("p.spoken", {}, vzgym.said(text))),
          h("div.row", {},
            h("button", { type: "button", text: "\u2190", "aria-label": "Previous frame", onclick: step(-1) }),
            h("button", { type: "button", text: "\u2192", "aria-label": "Next frame", onclick: step(1) }),
            around && after > before ? h("button", { type: "button", text: "Select the interval around it", onclick: () => { dialog.close(); around(before, after); } }) : null,
            h("span.grow"),
            h("button", { type: "button", text: "Close", onclick: () => dialog.close() })));
        dialog.onkeydown = (event) => {
          if (event.key === "ArrowLeft") step(-1)();
          else if (event.key === "ArrowRight") step(1)();
          else return;
          event.preventDefault();
          event.stopPropagation();
        };
      };
      show();
      dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
      dialog.showModal();
      dialog.focus();
    };
    return h("section.card.clips", { "aria-label": "Frames" }, h("div.tabs", { role: "tablist", "aria-label": "Clips" }, tabs), panel, dialog);
  };
})();
