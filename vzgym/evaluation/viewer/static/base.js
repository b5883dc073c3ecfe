// Shared by the pages of vzgym: elements, numbers, theme. Texts of records only ever become text nodes.
"use strict";
var vzgym = {};

(() => {
  // An element. Attributes: "text" is its text, "on..." are listeners, "style" is an object of CSS properties, false and
  // null leave an attribute out. Children are elements or texts; null and false are left out.
  vzgym.h = (tag, attributes = {}, ...children) => {
    const [name, ...classes] = tag.split(".");
    const element = document.createElement(name || "div");
    if (classes.length) element.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "text") element.textContent = value;
      else if (key === "class") element.className = `${element.className} ${value}`.trim();
      else if (key === "style") for (const [part, to] of Object.entries(value)) element.style.setProperty(part, to);
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value === true ? "" : value);
    }
    vzgym.append(element, children);
    return element;
  };

  vzgym.append = (element, children) => {
    for (const child of children.flat(Infinity)) {
      if (child !== null && child !== undefined && child !== false) element.append(child);
    }
  };

  vzgym.svg = (tag, attributes = {}, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "text") element.textContent = value;
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null && value !== false) element.setAttribute(key, value);
    }
    vzgym.append(element, children);
    return element;
  };

  vzgym.replace = (element, ...children) => {
    element.textContent = "";
    vzgym.append(element, children);
  };

  // Text of a record in a block of its own direction.
  vzgym.said = (text, tag = "span") => vzgym.h(tag, { dir: "auto", class: "said", text: String(text) });

  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
  vzgym.isNumber = isNumber;

  // Making a formatter is slow.
  const formats = new Map();
  const format = (digits) => {
    if (!formats.has(digits)) formats.set(digits, new Intl.NumberFormat("en", { maximumFractionDigits: digits }));
    return formats.get(digits);
  };

  // A number in at most `digits` decimals, without trailing zeros.
  vzgym.number = (value, digits = 2) => {
    if (!isNumber(value)) return value === null || value === undefined ? "\u2013" : String(value);
    const size = Math.abs(value);
    if (size && size < 10 ** -digits) return value.toPrecision(2);
    return format(digits).format(value).replace("-", "\u2212");
  };
  vzgym.percent = (value, digits = 1) => (isNumber(value) ? `${(100 * value).toFixed(digits)} %` : "\u2013");
  vzgym.signed = (text) => (text.startsWith("\u2212") || text === "\u2013" ? text : `+${text}`);

  // A time in seconds; from ten minutes on also as h:mm:ss.
  vzgym.seconds = (value, digits = 2) => (isNumber(value) ? `${value.toFixed(digits)} s` : `${value} s`);
  vzgym.clock = (value, digits = 0) => {
    if (!isNumber(value)) return String(value);
    const whole = Number(value.toFixed(digits));
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
    const rest = (whole % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  };
  vzgym.plural = (count, one, many = `${one}s`) => `${vzgym.number(count)} ${count === 1 ? one : many}`;

  // The theme: that of the system, until the user chooses.
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try { return localStorage.getItem("vzgym-theme"); } catch { return null; }
  };
  const apply = () => {
    document.documentElement.dataset.theme = stored() || (system.matches ? "dark" : "light");
    for (const listener of vzgym.themed) listener();
  };
  vzgym.themed = [];
  vzgym.themeButton = () => {
    const button = vzgym.h("button.theme.noprint", { type: "button", onclick: () => {
      const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("vzgym-theme", next); } catch { /* no storage: until the page is left */ }
      document.documentElement.dataset.theme = next;
      for (const listener of vzgym.themed) listener();
    } });
    const show = () => {
      const dark = document.documentElement.dataset.theme === "dark";
      button.textContent = dark ? "\u2600\uFE0E" : "\u263E\uFE0E";
      button.setAttribute("aria-label", dark ? "Light theme" : "Dark theme");
      button.title = dark ? "Light theme" : "Dark theme";
    };
    vzgym.themed.push(show);
    show();
    return button;
  };
  system.addEventListener("change", apply);
  apply();
})();
