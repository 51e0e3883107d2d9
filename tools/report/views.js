// views.js: everything but the graph: details of a node, kernels, memory over time, profile, roofline, source.

// ---- details of a node or kernel ------------------------------------------------------------------------------

function facts(rows) {
  const dl = make("dl", {});
  for (const [k, v] of rows) if (v !== undefined && v !== null && v !== "") dl.append(make("dt", {}, k), make("dd", {}, v));
  return dl;
}

const sourceLink = (line, text) => (ingot.data.source && line
  ? make("button", { class: "link", onclick: () => ingot.app.source(line) }, text) : text);

function whyList(about) {
  const found = (ingot.data.remarks || []).filter((r) => about.has(r.about));
  if (!found.length) return null;
  return make("details", { open: true }, make("summary", {}, "Why", make("small", {}, plural(found.length, "remark"))),
    make("ul", { class: "why" }, found.map((r) => make("li", {}, make("b", {}, r.pass + " "), r.text))));
}

function opTime(node) {
  const o = ingot.opTimes.get(node.f?.length === 1 ? node.f[0].n : `${node.n} (${node.o})`);
  return o ? [["time of the op", (o.estimated ? "about " : "") + msText(o.ms) + (o.estimated ? ", its share of " + plural(o.steps, "kernel") : "")]] : [];
}

function profileFacts(step) {
  if (!step) return [];
  return [["time", msText(step.ms) + " (" + ((step.ms / ingot.data.profile.run_ms) * 100).toFixed(1) + " % of the run)"],
    ["speed", step.gflops.toFixed(1) + " GFLOP/s, " + step.gbs.toFixed(1) + " GB/s"],
    ["of the roof", ((step.roof_ms / step.ms) * 100).toFixed(0) + " % (" + step.bound + "-bound)"],
    ["threads", step.balance ? "balance " + (step.balance * 100).toFixed(0) + " %" : ""]];
}

const scheduleText = (kernel) => {
  const s = kernel?.schedule;
  if (!s) return "";
  const params = Object.entries(s).filter(([k]) => k !== "kind").map(([k, v]) => k + "=" + v);
  return s.kind + "(" + params.join(", ") + ")" + (kernel.tuned ? " tuned" : "");
};

// A kernel from its definition down to machine code.
function kernelSections(name) {
  const k = ingot.data.kernels?.[name];
  if (!k) return [];
  return [fold("Tensor expression", "", k.expr, true), k.loops && fold("Loops", lines(k.loops), k.loops, false),
    k.asm && fold("Assembly", lines(k.asm), k.asm, false)].filter(Boolean);
}

function showNode(into, node) {
  into.replaceChildren();
  if (!node) return;
  const kernel = ingot.kernelOf(node), info = ingot.kernelInfo.get(kernel), step = ingot.steps.get(kernel);
  const about = new Set([node.n, ...(ingot.results.get(kernel) || [])]);
  into.append(make("h3", {}, node.n || node.o), make("div", { class: "kind" }, node.k ? "kernel, " + node.o : node.o),
    facts([["type", node.t], ["layout", node.y], ["op", node.c],
      ["from", node.f && node.f.flatMap((f, i) => [i ? ", " : "", sourceLink(f.l, f.n)])],
      ["line", node.l ? sourceLink(node.l, String(node.l)) : ""], ["made by", node.b],
      ["kernel", kernel && make("span", {}, make("span", { class: "swatch", style: "background:" + solid(kernel) }),
        make("button", { class: "link", onclick: () => ingot.app.kernel(kernel) }, kernel))],
      ["schedule", scheduleText(info)],
      ["work", info && countText(info.flops) + " FLOP, " + bytesText(info.bytes)], ...profileFacts(step), ...(node.k ? [] : opTime(node))]));
  const why = whyList(about);
  if (why) into.append(why);
  into.append(...kernelSections(kernel));
}

// ---- summary --------------------------------------------------------------------------------------------------

const fact = (label, value) => (value ? make("div", { class: "fact" }, make("b", {}, value), make("span", {}, label)) : null);

function showSummary(into) {
  const d = ingot.data, lib = d.built || {}, p = d.profile, meta = lib.meta || {};
  const first = d.graphs[0];
  into.append(make("div", { class: "card" }, make("h2", {}, d.name, make("small", {}, meta.description || "")),
    make("div", { class: "facts" }, fact("target", lib.target), fact("nodes as read", first && String(first.nodes.length)),
      fact("kernels", lib.kernels && String(lib.kernels.length)), fact("floating-point operations", lib.flops && countText(lib.flops)),
      fact("weights", lib.weights_bytes && bytesText(lib.weights_bytes)), fact("working memory", lib.arena_bytes && bytesText(lib.arena_bytes)),
      fact("time of a run, " + plural(d.threads || 1, "thread"), p && msText(p.run_ms)), fact("speed", p && lib.flops && (lib.flops / p.run_ms / 1e6).toFixed(1) + " GFLOP/s"),
      fact("options", lib.options), fact("Ingot", d.version))));
  if (!d.passes.length) return;
  const rows = d.passes.map((x) => make("tr", {}, make("td", { class: "l" }, x.name), make("td", { class: "l" }, x.level),
    make("td", {}, x.ms ? x.ms.toFixed(2) : ""), make("td", {}, String(d.graphs[x.graph].nodes.length)), make("td", { class: "l w" }, x.doc)));
  into.append(make("div", { class: "card" }, make("h2", {}, "Passes"), make("table", {}, make("tr", {}, make("th", { class: "l" }, "pass"),
    make("th", { class: "l" }, "level"), make("th", {}, "ms"), make("th", {}, "nodes"), make("th", { class: "l" }, "what it does")), rows)));
}

// ---- kernels --------------------------------------------------------------------------------------------------

// Long names may go on in the next line after any of their parts.
const breakable = (name) => name.split(/(?<=[_.])/).flatMap((part, i) => (i ? [make("wbr", {}), part] : [part]));

function showKernels(into, details) {
  const kernels = ingot.data.built?.kernels || [], total = ingot.data.profile?.steps_ms || 0;
  const most = Math.max(...kernels.map((k) => (total ? ingot.steps.get(k.name)?.ms || 0 : k.flops)), 1e-12);
  const rows = kernels.map((k, i) => {
    const s = ingot.steps.get(k.name), v = total ? s?.ms || 0 : k.flops;
    const row = make("tr", { class: "row", "data-kernel": k.name, onclick: () => ingot.app.kernel(k.name) }, make("td", {}, String(i)),
      make("td", { class: "l t" }, make("div", { class: "named" }, make("span", { class: "swatch", style: "background:" + solid(k.name) }), make("span", {}, breakable(k.name)))),
      total ? make("td", {}, s ? s.ms.toFixed(4) : "") : "", make("td", { class: "l" }, make("span", { class: "bar", style: `width:${(v / most) * 90}px;background:${solid(k.name)}` })),
      make("td", {}, countText(k.flops)), make("td", {}, bytesText(k.bytes)), make("td", { class: "l w" }, scheduleText(k) || "routine"),
      make("td", { class: "l w" }, k.from));
    return row;
  });
  into.append(make("div", { class: "card" }, make("h2", {}, "Kernels", make("small", {}, "in the order in which they run")),
    make("table", {}, make("tr", {}, ["", "kernel", ...(total ? ["ms"] : []), total ? "time" : "work", "FLOP", "bytes", "schedule", "made from"]
      .map((x) => make("th", { class: ["kernel", "time", "work", "schedule", "made from"].includes(x) ? "l" : "" }, x))), rows)));
  details.replaceChildren();
}

function showKernel(into, name) {
  const info = ingot.kernelInfo.get(name);
  into.replaceChildren(make("h3", {}, name), make("div", { class: "kind" }, "kernel"),
    facts([["schedule", scheduleText(info)], ["function", info?.function], ["made from", info?.from],
      ["work", info && countText(info.flops) + " FLOP, " + bytesText(info.bytes)], ...profileFacts(ingot.steps.get(name)),
      ["graph", make("button", { class: "link", onclick: () => ingot.app.nodeOfKernel(name) }, "show in the graph")]]));
  const why = whyList(new Set(ingot.results.get(name) || []));
  if (why) into.append(why);
  into.append(...kernelSections(name));
}

// What the details of kernels say first, one kernel below the other.
function paperKernels() {
  const all = Object.entries(ingot.data.kernels || {});
  if (!all.length) return [];
  return [make("h2", {}, "Kernels as tensor expressions"), ...all.map(([name, k]) => make("div", {}, make("h3", {}, name), make("pre", {}, coloured(k.expr))))];
}

// ---- memory over time -----------------------------------------------------------------------------------------

function showMemory(into) {
  const lib = ingot.data.built || {}, kernels = lib.kernels || [], total = lib.arena_bytes || 0;
  const values = (lib.memory || []).filter((v) => v.first !== undefined && v.offset >= 0);
  if (!values.length || !total) { into.append(make("p", { class: "note" }, "Nothing lives in working memory.")); return; }
  const W = 1120, H = 470, L = 74, T = 12, B = 46, steps = kernels.length;
  const x = (s) => L + ((W - L - 10) * s) / steps, y = (b) => T + (H - T - B) * (1 - b / total);
  const pic = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  for (let i = 0; i <= 4; i++) {
    pic.append(svg("line", { class: "axis", x1: L, x2: W - 10, y1: y((total * i) / 4), y2: y((total * i) / 4) }),
      svg("text", { x: L - 8, y: y((total * i) / 4) + 4, "text-anchor": "end" }, bytesText((total * i) / 4)));
  }
  const used = new Array(steps).fill(0);
  for (const v of values) {
    const by = kernels[v.first]?.name || v.name;
    for (let s = v.first; s <= v.last; s++) used[s] = Math.max(used[s], v.offset + v.bytes);
    pic.append(svg("rect", { class: "hot", x: x(v.first), width: Math.max(1.5, x(v.last + 1) - x(v.first) - 1), y: y(v.offset + v.bytes),
      height: Math.max(1.5, y(v.offset) - y(v.offset + v.bytes) - 0.5), rx: 2, fill: solid(by), onclick: () => ingot.app.kernel(by),
      ...hint(`${v.name}\n${v.type}${v.layout ? "\n" + v.layout : ""}\n${bytesText(v.bytes)} at ${v.offset}\nsteps ${v.first} to ${v.last}\nwritten by ${by}`) }));
  }
  for (let s = 0; s < steps; s += Math.max(1, Math.ceil(steps / 16)))
    pic.append(svg("text", { x: x(s + 0.5), y: H - B + 18, "text-anchor": "middle" }, String(s)));
  pic.append(svg("text", { x: (W + L) / 2, y: H - 6, "text-anchor": "middle" }, "step"));
  const peak = Math.max(...used), at = used.indexOf(peak);
  into.append(make("div", { class: "card" }, make("h2", {}, "Working memory over time", make("small", {}, bytesText(total) + " in all; each box is a value: wide as it lives, high as it is large")),
    pic, make("p", { class: "note" }, `Fullest at step ${at} (${kernels[at]?.name}). Constants, inputs and outputs lie elsewhere.`)));
}

// ---- profile --------------------------------------------------------------------------------------------------

const kindOf = (from, name) => /\(([^()]*)\)/.exec(from || "")?.[1] || name;

// A kernel's time divided among the ops in it, as the profile does: by the work of each.
function opShares(kernel) {
  const work = ingot.kernelInfo.get(kernel)?.work || [], kernels = [...ingot.kernelInfo.values()];
  ingot.kernelsOf ??= kernels.flatMap((k) => k.work || []).reduce((m, w) => m.set(w.op, (m.get(w.op) || 0) + 1), new Map());
  const parts = work.map((w) => [w.op, w.flops / (ingot.kernelsOf.get(w.op) || 1)]), sum = parts.reduce((a, p) => a + p[1], 0);
  return parts.map(([op, w]) => [op, sum > 0 ? w / sum : 1 / parts.length]).filter((x) => x[1] > 0);
}

function flame(p) {
  const box = make("div", { class: "flame" }), groups = new Map();
  for (const s of p.steps) {
    const k = kindOf(s.from, s.name);
    if (!groups.has(k)) groups.set(k, []);
    groups.get(k).push(s);
  }
  const sum = (list) => list.reduce((a, s) => a + s.ms, 0), total = p.run_ms;
  const block = (level, left, ms, name, text, click, more = "") => box.append(make("div", { style: `top:${level * 44}px;left:${(left / total) * 100}%;width:${(ms / total) * 100}%;background:${name}`, onclick: click,
    ...hint(`${text}\n${msText(ms)}, ${((ms / total) * 100).toFixed(1)} %${more}`) }, (ms / total) * 1165 > 7 * text.length + 12 ? text : ""));
  block(0, 0, total, dark() ? "#7d8aa0" : "#d3d9e3", ingot.data.name, () => {});
  let left = 0;
  for (const [kind, list] of [...groups].sort((a, b) => sum(b[1]) - sum(a[1]))) {
    block(1, left, sum(list), solid("op " + kind), kind, () => {});
    for (const s of list.sort((a, b) => b.ms - a.ms)) {
      block(2, left, s.ms, solid(s.name), s.name, () => ingot.app.kernel(s.name));
      let at = left;
      const shares = opShares(s.name);
      for (const [op, share] of shares) {
        block(3, at, s.ms * share, solid(s.name), op, () => ingot.app.kernel(s.name), shares.length > 1 ? "\nestimated: a share of its kernel by its work" : "");
        at += s.ms * share;
      }
      left += s.ms;
    }
  }
  block(1, left, p.executor_ms || 0, dark() ? "#7d8aa0" : "#d3d9e3", "executor", () => {}, "\nbetween kernels: starting, handing over to threads, waiting for them");
  return box;
}

function roofline(p) {
  const W = 1120, H = 380, L = 56, B = 42, T = 14, R = 16, peak = p.limits.gflops, levels = Object.entries(p.limits.gbs).slice(1);
  const points = p.steps.filter((s) => s.flops > 0 && s.bytes > 0 && s.ms > 0), of = (s) => s.flops / s.bytes;
  const x0 = Math.min(0.05, ...points.map(of)) / 1.5, x1 = Math.max(200, ...points.map(of)) * 1.5;
  const y1 = Math.max(peak, ...points.map((s) => s.gflops)) * 1.7, y0 = Math.max(0.01, Math.min(peak / 300, ...points.map((s) => s.gflops)) / 1.5);
  const x = (v) => L + ((W - L - R) * Math.log(v / x0)) / Math.log(x1 / x0), y = (v) => T + (H - T - B) * (1 - Math.log(v / y0) / Math.log(y1 / y0));
  const pic = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  for (let e = Math.ceil(Math.log10(x0)); 10 ** e <= x1; e++)
    pic.append(svg("line", { class: "axis", x1: x(10 ** e), x2: x(10 ** e), y1: T, y2: H - B }), svg("text", { x: x(10 ** e), y: H - B + 16, "text-anchor": "middle" }, String(+(10 ** e).toPrecision(1))));
  for (let e = Math.ceil(Math.log10(y0)); 10 ** e <= y1; e++)
    pic.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: y(10 ** e), y2: y(10 ** e) }), svg("text", { x: L - 7, y: y(10 ** e) + 4, "text-anchor": "end" }, String(+(10 ** e).toPrecision(1))));
  levels.forEach(([name, gbs], i) => {
    const knee = peak / gbs, low = Math.max(x0, y0 / gbs), last = i === levels.length - 1;
    pic.append(svg("path", { class: last ? "roof" : "roof low", d: `M${x(low)} ${y(low * gbs)}L${x(knee)} ${y(peak)}` + (last ? `L${x(x1)} ${y(peak)}` : "") }),
      svg("text", { x: W - R - 4, y: H - B - 8 - 15 * (levels.length - 1 - i), "text-anchor": "end" }, `${last ? "solid" : "dashed"}: ${name} ${gbs.toFixed(0)} GB/s`));
  });
  pic.append(svg("text", { x: x(peak / levels.at(-1)[1]) - 4, y: y(peak) - 7, "text-anchor": "end" }, peak.toFixed(0) + " GFLOP/s"));
  for (const s of [...points].sort((a, b) => b.ms - a.ms))
    pic.append(svg("circle", { class: "hot", cx: x(of(s)), cy: y(s.gflops), r: 4 + 16 * Math.sqrt(s.ms / p.steps_ms), fill: solid(s.name), "fill-opacity": 0.85,
      stroke: stroke(s.name), onclick: () => ingot.app.kernel(s.name),
      ...hint(`${s.name}\n${msText(s.ms)}, ${s.gflops.toFixed(1)} GFLOP/s, ${s.gbs.toFixed(1)} GB/s\n${of(s).toFixed(2)} FLOP a byte, ${s.bound}-bound\n${((s.roof_ms / s.ms) * 100).toFixed(0)} % of the roof`) }));
  pic.append(svg("text", { x: (W + L) / 2, y: H - 6, "text-anchor": "middle" }, "operations per byte"), svg("text", { x: 6, y: 11 }, "GFLOP/s"));
  return pic;
}

// The ops of the model that take most.
function opTable(p) {
  const most = 60, list = (p.ops || []).slice(0, most);
  const rows = list.map((o) => make("tr", {}, make("td", { class: "l t" }, o.op), make("td", {}, (o.estimated ? "~" : "") + o.ms.toFixed(4)),
    make("td", {}, ((o.ms / p.run_ms) * 100).toFixed(1)), make("td", {}, o.ms > 0 ? (o.flops / o.ms / 1e6).toFixed(1) : ""), make("td", {}, String(o.steps))));
  const note = "~ estimated: a kernel's time is divided among its ops by the work of each as the model states it." +
    (p.ops.length > most ? ` The ${most} of ${p.ops.length} that take most.` : "");
  return make("div", { class: "card" }, make("h2", {}, "Ops of the model"), make("table", {}, make("tr", {}, ["op", "ms", "%", "GFLOP/s", "kernels"]
    .map((h) => make("th", { class: h === "op" ? "l" : "" }, h))), rows), make("p", { class: "note" }, note));
}

function showProfile(into) {
  const p = ingot.data.profile;
  if (!p) { into.append(make("p", { class: "note" }, "The model was not run for this report.")); return; }
  const counters = Object.entries(p.counters || {}).map(([k, v]) => fact(k.replace("_", " ") + " a run, calling thread", countText(v)));
  const rows = p.steps.map((s) => make("tr", { class: "row", onclick: () => ingot.app.kernel(s.name) },
    make("td", { class: "l" }, make("span", { class: "swatch", style: "background:" + solid(s.name) }), s.name), make("td", {}, s.ms.toFixed(4)), make("td", {}, ((s.ms / p.run_ms) * 100).toFixed(1)),
    make("td", {}, s.gflops.toFixed(1)), make("td", {}, s.gbs.toFixed(1)), make("td", {}, ((s.roof_ms / s.ms) * 100).toFixed(0)), make("td", { class: "l" }, s.bound),
    make("td", {}, s.balance ? (s.balance * 100).toFixed(0) : ""), make("td", { class: "l w" }, s.from || "")));
  into.append(make("div", { class: "card" }, make("h2", {}, "Where the time goes", make("small", {}, `${msText(p.run_ms)} a run, ${plural(ingot.data.threads || 1, "thread")}, ${p.runs} runs, measured by ${p.by}`)), flame(p)),
    make("div", { class: "card" }, make("h2", {}, "Roofline", make("small", {}, "each circle is a kernel, its area the time; limits were measured beside the model")), roofline(p)),
    make("div", { class: "card" }, make("h2", {}, "Steps"), make("table", {}, make("tr", {}, ["kernel", "ms", "%", "GFLOP/s", "GB/s", "% of roof", "bound", "% balance", "made from"]
      .map((h) => make("th", { class: ["kernel", "bound", "made from"].includes(h) ? "l" : "" }, h))), rows,
      make("tr", {}, make("td", { class: "l" }, "executor"), make("td", {}, (p.executor_ms || 0).toFixed(4)), make("td", {}, (((p.executor_ms || 0) / p.run_ms) * 100).toFixed(1)),
        make("td", { class: "l w", colspan: 6 }, "between kernels: starting, handing over to threads, waiting for them")))),
    opTable(p),
    counters.length ? make("div", { class: "card" }, make("h2", {}, "Counters of the processor"), make("div", { class: "facts" }, counters)) : "");
}

// ---- source ---------------------------------------------------------------------------------------------------

function showSource(into) {
  const text = ingot.data.source;
  const pre = make("pre", { style: "max-height:none" });
  text.split("\n").forEach((line, i) => pre.append(make("span", { class: "line", id: "line-" + (i + 1) }, make("i", {}, String(i + 1)), coloured(line) , " ")));
  into.append(make("div", { class: "card" }, make("h2", {}, ingot.data.source_name), pre));
}
