// base.js: data, small helpers, colours, text.
const ingot = { errors: [], start: performance.now() };
addEventListener("error", (e) => ingot.errors.push(String(e.message)));
addEventListener("unhandledrejection", (e) => ingot.errors.push(String(e.reason)));

const $ = (id) => document.getElementById(id);

// make("div", {class: "x", onclick: f}, child, "text", ...)
function make(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v !== undefined && v !== null && v !== false) e.setAttribute(k, v === true ? "" : v);
  }
  for (const c of children.flat()) if (c !== undefined && c !== null && c !== "") e.append(c);
  return e;
}

function svg(tag, props, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else e.setAttribute(k, v);
  }
  e.append(...children);
  return e;
}

async function unpack() {
  const text = atob($("data").textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// ---- numbers --------------------------------------------------------------------------------------------------

function scaled(v, step, units) {
  let i = 0;
  while (v >= step && i < units.length - 1) { v /= step; i++; }
  return (i === 0 || v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2)) + units[i];
}
const bytesText = (v) => scaled(v, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
const countText = (v) => scaled(v, 1000, ["", " k", " M", " G", " T"]);
const msText = (v) => (v >= 100 ? v.toFixed(0) : v >= 1 ? v.toFixed(2) : v >= 0.01 ? v.toFixed(4) : v.toFixed(5)) + " ms";
const plural = (n, what) => n + " " + what + (n === 1 ? "" : "s");

// ---- colours --------------------------------------------------------------------------------------------------

const dark = () => document.documentElement.dataset.theme === "dark";
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A hue for every name, stable between reports; neighbours in a list differ by the golden angle.
const hues = new Map();
function hueOf(name) {
  if (!hues.has(name)) hues.set(name, (hues.size * 137.508 + 210) % 360);
  return hues.get(name);
}
const fill = (name) => (dark() ? `hsl(${hueOf(name)} 34% 27%)` : `hsl(${hueOf(name)} 68% 90%)`);
const stroke = (name) => (dark() ? `hsl(${hueOf(name)} 55% 62%)` : `hsl(${hueOf(name)} 52% 45%)`);
const solid = (name) => (dark() ? `hsl(${hueOf(name)} 50% 62%)` : `hsl(${hueOf(name)} 62% 72%)`);

// ---- code -----------------------------------------------------------------------------------------------------

const TOKENS = /(#.*$)|(%"[^"]*"|%[\w.]+)|\b(kernel|graph|module|const|return|schedule|local|body|alloc|parallel|for|unroll|vector|let|if|else|sum|maximum|minimum|prod|all|any|max|min|fma|exp|select|layout|scatter|order|sym)\b|\b(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b/gm;

// Text with its words marked, as a fragment; large texts stay plain.
function coloured(text) {
  const out = document.createDocumentFragment();
  if (text.length > 60000) { out.append(text); return out; }
  let at = 0;
  for (const m of text.matchAll(TOKENS)) {
    out.append(text.slice(at, m.index));
    out.append(make("span", { class: m[1] ? "c" : m[2] ? "v" : m[3] ? "k" : "n" }, m[0]));
    at = m.index + m[0].length;
  }
  out.append(text.slice(at));
  return out;
}

// A section that makes its content when it is opened first.
function fold(title, note, text, open) {
  const e = make("details", {}, make("summary", {}, title, note ? make("small", {}, note) : ""));
  const show = () => { if (e.open && e.children.length === 1) e.append(make("pre", {}, coloured(text))); };
  e.addEventListener("toggle", show);
  e.open = open;
  show();
  return e;
}

const lines = (text) => plural(text.split("\n").length - 1, "line");

// ---- the tip --------------------------------------------------------------------------------------------------

function tip(event, text) {
  const t = $("tip");
  t.style.display = text ? "block" : "none";
  if (!text) return;
  t.textContent = text;
  const r = t.getBoundingClientRect();
  t.style.left = Math.min(event.clientX + 14, innerWidth - r.width - 8) + "px";
  t.style.top = Math.min(event.clientY + 16, innerHeight - r.height - 8) + "px";
}
const hint = (text) => ({ onmousemove: (e) => tip(e, text), onmouseleave: () => tip(null, "") });
