// Learning curves, and the counts of roll-outs by training step.
"use strict";
(() => {
  const { h, svg } = vzgym;
  const [WIDE, TALL, LEFT, BOTTOM, TOP, RIGHT] = [320, 150, 42, 22, 10, 10];

  const niceStep = (range, parts) => {
    const raw = range / parts;
    const size = 10 ** Math.floor(Math.log10(raw));
    return [1, 2, 5, 10].map((part) => part * size).find((step) => step >= raw * 0.999);
  };

  const axisTicks = (low, high, parts) => {
    const step = niceStep(high - low || 1, parts);
    const found = [];
    for (let count = Math.ceil(low / step - 1e-9); count <= high / step + 1e-9; count += 1) found.push(Number((count * step).toPrecision(12)) || 0);
    return found;
  };

  // One curve as a picture. `toStep(step)` is the address of a step's roll-outs, if there are any.
  const plot = (series, toStep) => {
    const share = series.name === "right" || series.name === "coverage";
    const xs = series.points.map(([x]) => x);
    const ys = series.points.map(([, y]) => y);
    let [low, high] = [Math.min(...ys), Math.max(...ys)];
    if (share) [low, high] = [0, Math.max(1, high)];
    else if (low >= 0 && low < 0.5 * high) low = 0;
    if (high - low < 1e-9) { low -= 0.5; high += 0.5; }
    const tick = niceStep(high - low, 3);
    [low, high] = [Math.floor(low / tick + 1e-9) * tick, Math.ceil(high / tick - 1e-9) * tick];
    const [from, to] = [xs[0], Math.max(xs.at(-1), xs[0] + 1)];
    const x = (value) => LEFT + ((value - from) / (to - from)) * (WIDE - LEFT - RIGHT);
    const y = (value) => TALL - BOTTOM - ((value - low) / (high - low)) * (TALL - BOTTOM - TOP);
    const label = (value) => (share ? `${Math.round(100 * value)} %` : vzgym.number(value, 3));
    const path = series.points.map(([a, b], place) => `${place ? "L" : "M"}${x(a).toFixed(2)},${y(b).toFixed(2)}`).join("");
    const last = series.points.at(-1);
    const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img",
      "aria-label": `${series.title} by step: from ${label(ys[0])} at step ${xs[0]} to ${label(last[1])} at step ${last[0]}` },
    axisTicks(low, high, 3).map((value) => [
      svg("line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end", text: label(value) }),
    ]),
    axisTicks(from, to, 4).map((value) => svg("text", { x: x(value), y: TALL - 6, "text-anchor": "middle", text: vzgym.number(value, 0) })),
    svg("path", { class: "curve", d: path }),
    svg("circle", { class: "end", cx: x(last[0]), cy: y(last[1]), r: 3 }));
    const told = h("output.small.num", { text: `${label(last[1])} at step ${vzgym.number(last[0], 0)}` });
    const near = (event) => {
      const box = picture.getBoundingClientRect();
      const wanted = from + (((event.clientX - box.left) / box.width) * WIDE - LEFT) / (WIDE - LEFT - RIGHT) * (to - from);
      return series.points.reduce((best, point) => (Math.abs(point[0] - wanted) < Math.abs(best[0] - wanted) ? point : best));
    };
    picture.addEventListener("pointermove", (event) => {
      const point = near(event);
      told.textContent = `${label(point[1])} at step ${vzgym.number(point[0], 0)}`;
      const end = picture.querySelector(".end");
      end.setAttribute("cx", x(point[0]));
      end.setAttribute("cy", y(point[1]));
    });
    if (toStep) picture.addEventListener("click", (event) => { location.hash = toStep(near(event)[0]); });
    return h("figure.curve-box", {}, h("figcaption.row", {}, h("strong.grow", { text: series.title }), told), picture);
  };

  vzgym.curves = (curves, toStep) => curves.map(({ place, series }) => h("section.card.curves", { "aria-label": "Learning curves" },
    h("div.row", {}, h("h2.grow", { text: "Learning curves" }), curves.length > 1 ? h("span.small.muted.mono", { text: place }) : null),
    h("div.curve-row", {}, series.filter(({ points }) => points.length).map((one) => plot(one, toStep))),
    toStep ? h("p.small.muted.noprint", { text: "Click a curve to list the roll-outs of that step." }) : null));
})();
