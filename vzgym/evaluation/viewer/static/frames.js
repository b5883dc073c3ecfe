// Frames: crops of the sheets, the enlarged frame under the pointer, and the dialog at full size.
"use strict";
(() => {
  const { h } = vzgym;
  const urls = new Map();

  const sheetUrl = (name) => {
    if (!urls.has(name)) {
      const block = document.getElementById(`sheet-${name}`);
      urls.set(name, block ? `data:image/webp;base64,${block.textContent.trim()}` : `frames/${name}`);
    }
    return urls.get(name);
  };

  // The picture of a frame, which fills the width of its place.
  const crop = (clip, index, eager = false) => {
    const [name, columns, rows] = clip.sheet;
    const [height, width] = clip.size;
    const image = h("img", {
      src: sheetUrl(name), alt: "", loading: eager ? "eager" : "lazy", decoding: "async", draggable: "false",
      style: {
        width: `${columns * 100}%`, height: `${rows * 100}%`,
        left: `${-100 * (index % columns)}%`, top: `${-100 * Math.floor(index / columns)}%`,
      },
    });
    return h("span.crop", {
      class: Math.max(height, width) < 160 ? "tiny" : "", style: { "aspect-ratio": `${width} / ${height}` },
    }, image);
  };

  // Where and when a frame was shown, in words.
  const caption = (item) => {
    const { clip, index, title } = item;
    const asked = clip.requested[index];
    const apart = Math.abs(asked - clip.times[index]) >= 0.005 ? `, asked for ${vzgym.seconds(asked)}` : "";
    return `${title}, frame ${index + 1} of ${clip.times.length}: ${vzgym.seconds(clip.times[index])}${apart}`;
  };

  // Every frame of an episode in order: what the dialog steps through.
  vzgym.frameItems = (episode) => {
    const items = [];
    const titles = ["Overview"];
    episode.turns.forEach((turn, number) => turn.clips.forEach((clip, place) => {
      titles[clip] = `Turn ${number + 1}${turn.clips.length > 1 ? `, clip ${place + 1}` : ""}`;
    }));
    episode.clips.forEach((clip, number) => clip.times.forEach((time, index) => {
      items.push({ clip, index, number, title: titles[number] || "Clip" });
    }));
    return items;
  };

  const peek = h("div.peek", { hidden: true, "aria-hidden": "true" });

  const showPeek = (item, target) => {
    if (!item.clip.sheet) return;
    const [height, width] = item.clip.size;
    const wide = Math.min(360, Math.max(200, 280 * (width / height)), window.innerWidth - 24);
    vzgym.replace(peek, crop(item.clip, item.index, true), h("div.small", { text: caption(item) }));
    peek.style.width = `${wide}px`;
    peek.hidden = false;
    if (!peek.isConnected) document.body.append(peek);
    const box = target.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - wide / 2), window.innerWidth - wide - 12);
    const tall = peek.offsetHeight;
    const above = box.top - tall - 8;
    peek.style.left = `${left}px`;
    peek.style.top = `${above > 4 ? above : Math.min(box.bottom + 8, Math.max(4, window.innerHeight - tall - 8))}px`;
  };
  const hidePeek = () => { peek.hidden = true; };
  window.addEventListener("scroll", hidePeek, { passive: true });
  window.addEventListener("hashchange", hidePeek);

  // Shows a frame enlarged while the pointer or the keyboard is on an element, and at full size when it is chosen.
  vzgym.enlarges = (element, items, place) => {
    element.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "touch") showPeek(items[place], element);
    });
    element.addEventListener("pointerleave", hidePeek);
    element.addEventListener("blur", hidePeek);
    element.addEventListener("click", () => { hidePeek(); openFull(items, place); });
    return element;
  };

  // A frame that enlarges and opens.
  vzgym.frameButton = (items, place, attributes = {}, under = "") => vzgym.enlarges(
    h("button.frame", { type: "button", "aria-label": caption(items[place]), ...attributes },
      crop(items[place].clip, items[place].index), under && h("span.time", { text: under })),
    items, place,
  );

  // The frames of a clip with their times; or why they are missing.
  vzgym.filmStrip = (episode, items, number) => {
    const clip = episode.clips[number];
    const first = items.findIndex((item) => item.number === number);
    if (!clip.sheet) {
      const times = clip.times.map((time) => time.toFixed(2)).join(", ");
      return h("div.missing", {}, h("p", { text: clip.times.length ? `Frames not shown: ${clip.missing}` : "No frames." }),
        clip.times.length ? h("p.small.num", { text: `Times: ${times} s` }) : null);
    }
    const digits = clip.times.length > 1 && clip.times.at(-1) - clip.times[0] < 10 ? 2 : 1;
    return h("ul.film", { "aria-label": `${clip.times.length} frames` }, clip.times.map((time, index) => h("li", {},
      vzgym.frameButton(items, first + index, {}, vzgym.seconds(time, digits)))));
  };

  // The dialog.
  const dialog = h("dialog.full", { "aria-label": "Frame" });
  const openFull = (items, start) => {
    const shown = items.filter((item) => item.clip.sheet);
    let place = shown.indexOf(items[start]);
    if (place < 0) return;
    const show = () => {
      const item = shown[place];
      const [height, width] = item.clip.size;
      // Full size; small frames are enlarged by a whole factor.
      const room = [window.innerWidth * 0.92 - 40, window.innerHeight * 0.94 - 130];
      const fits = Math.min(room[0] / width, room[1] / height);
      const scale = fits < 1 ? fits : Math.max(1, Math.min(Math.floor(fits), Math.floor(560 / width) || 1));
      const step = (by) => () => { place = (place + by + shown.length) % shown.length; show(); };
      const previous = h("button", { type: "button", text: "\u2190", "aria-label": "Previous frame", onclick: step(-1) });
      const next = h("button", { type: "button", text: "\u2192", "aria-label": "Next frame", onclick: step(1) });
      vzgym.replace(dialog,
        h("div.picture", { style: { width: `${Math.round(width * scale)}px` }, role: "img", "aria-label": caption(item) },
          crop(item.clip, item.index, true)),
        h("p.small.num", { text: caption(item), "aria-live": "polite" }),
        h("div.row", {}, previous, next, h("span.grow.small.muted.num", { text: `${place + 1} of ${shown.length}` }),
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
    if (!dialog.isConnected) document.body.append(dialog);
    dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
    dialog.showModal();
    dialog.focus();
  };
  vzgym.crop = crop;
})();
