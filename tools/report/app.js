// app.js: puts the views together: tabs, passes, search, keyboard, theme.
const VIEWS = { graph: "Graph", kernels: "Kernels", memory: "Memory", profile: "Profile", summary: "Summary", source: "Source" };

// ---- what belongs together ------------------------------------------------------------------------------------

// Nodes before fusion belong to the kernel that was made from them, by their origins.
function connect() {
  const d = ingot.data, last = d.graphs[d.graphs.length - 1], byOrigin = new Map();
  ingot.kernelInfo = new Map((d.built?.kernels || []).map((k) => [k.name, k]));
  ingot.steps = new Map((d.profile?.steps || []).map((s) => [s.name, s]));
  ingot.results = new Map();
  ingot.opTimes = new Map((d.profile?.ops || []).map((o) => [o.op, o]));
  for (const n of last?.nodes || []) {
    if (!n.k) continue;
    hueOf(n.k);
    if (!ingot.results.has(n.k)) ingot.results.set(n.k, []);
    ingot.results.get(n.k).push(n.n);
    for (const f of n.f || []) if (!byOrigin.has(f.n)) byOrigin.set(f.n, n.k);
  }
  const find = (n) => n.k || byOrigin.get(n.f?.[0]?.n ?? `${n.n} (${n.o})`) || (n.f || []).map((f) => byOrigin.get(f.n)).find(Boolean);
  ingot.kernelOf = (n) => (n.kernel === undefined ? (n.kernel = find(n) || null) : n.kernel);
}

// ---- tabs -----------------------------------------------------------------------------------------------------

const shown = new Set();
function openView(name) {
  for (const v of Object.keys(VIEWS)) {
    $("view-" + v).classList.toggle("open", v === name);
    document.querySelector(`[data-view="${v}"]`)?.setAttribute("aria-selected", v === name);
  }
  fillView(name);
  if (name === "graph") ingot.graph.draw();
}

function fillView(name) {
  if (shown.has(name)) return;
  shown.add(name);
  if (name === "summary") showSummary($("summary"));
  if (name === "kernels") showKernels($("kernels"), $("kernel-details"));
  if (name === "memory") showMemory($("memory"));
  if (name === "profile") showProfile($("profile"));
  if (name === "source") showSource($("source"));
}

function refill() {
  for (const v of ["summary", "kernels", "memory", "profile"]) if (shown.delete(v)) $(v).replaceChildren();
  const open = Object.keys(VIEWS).find((v) => $("view-" + v).classList.contains("open"));
  fillView(open);
}

function makeTabs() {
  const d = ingot.data, has = { graph: d.graphs.length, kernels: d.built, memory: d.built, profile: d.profile, summary: true, source: d.source };
  for (const [v, title] of Object.entries(VIEWS))
    if (has[v]) $("tabs").append(make("button", { role: "tab", "data-view": v, onclick: () => openView(v) }, title));
  return has.graph ? "graph" : has.kernels ? "kernels" : "summary";
}

// ---- passes ---------------------------------------------------------------------------------------------------

function showPass(i) {
  const d = ingot.data;
  ingot.pass = Math.max(0, Math.min(d.passes.length - 1, i));
  const before = ingot.graph.graph, graph = d.graphs[d.passes[ingot.pass].graph];
  document.querySelectorAll(".pass").forEach((b, k) => b.setAttribute("aria-pressed", k === ingot.pass));
  if (graph === before) return;
  const chosen = before?.nodes[ingot.graph.selected];
  ingot.graph.show(graph, ingot.kernelOf);
  const again = chosen ? graph.nodes.findIndex((n) => n.n === chosen.n) : -1;
  const same = again >= 0 || !chosen ? again : graph.nodes.findIndex((n) => n.k && n.k === ingot.kernelOf(chosen));
  ingot.graph.select(same, same >= 0);
}

function makePasses() {
  $("passes").append(make("h2", {}, "After the pass"));
  ingot.data.passes.forEach((p, i) => $("passes").append(make("button", { class: "pass" + (p.changed ? "" : " same"), title: p.doc, onclick: () => showPass(i) },
    p.name, make("span", {}, p.changed ? String(ingot.data.graphs[p.graph].nodes.length) : ""))));
}

// ---- search ---------------------------------------------------------------------------------------------------

const hits = { list: [], at: 0 };

function findAll(text) {
  const want = text.toLowerCase().split(/\s+/).filter(Boolean), out = [];
  if (!want.length) return out;
  ingot.graph.graph?.nodes.forEach((n, i) => {
    const all = [n.n, n.o, n.k, n.t, ...(n.f || []).map((f) => f.n)].join(" ").toLowerCase();
    if (out.length < 200 && want.every((w) => all.includes(w))) out.push({ i, title: n.n || n.o, note: n.o });
  });
  if (!out.length) for (const k of ingot.kernelInfo.keys()) if (want.every((w) => k.toLowerCase().includes(w))) out.push({ kernel: k, title: k, note: "kernel" });
  return out;
}

function showHits(go) {
  $("hits").classList.toggle("open", hits.list.length > 0);
  $("hits").replaceChildren(...hits.list.slice(0, 60).map((h, k) => make("div", { role: "option", "aria-selected": k === hits.at, onclick: () => { hits.at = k; showHits(true); $("hits").classList.remove("open"); } }, h.title, make("span", {}, h.note))));
  const h = hits.list[hits.at];
  if (!go || !h) return;
  if (h.kernel) ingot.app.kernel(h.kernel);
  else { openView("graph"); ingot.graph.select(h.i, true); }
}

function makeSearch() {
  const box = $("search");
  box.addEventListener("input", () => { hits.list = findAll(box.value); hits.at = 0; showHits(false); });
  box.addEventListener("keydown", (e) => {
    if (e.key === "Escape") { box.value = ""; hits.list = []; showHits(false); box.blur(); }
    if (e.key === "ArrowDown") { hits.at = Math.min(hits.at + 1, hits.list.length - 1); showHits(false); e.preventDefault(); }
    if (e.key === "ArrowUp") { hits.at = Math.max(hits.at - 1, 0); showHits(false); e.preventDefault(); }
    if (e.key === "Enter") { showHits(true); $("hits").classList.remove("open"); }
    e.stopPropagation();
  });
  document.addEventListener("pointerdown", (e) => { if (!e.target.closest?.(".search")) $("hits").classList.remove("open"); });
}

// ---- keyboard and theme ---------------------------------------------------------------------------------------

function wearTheme(name) {
  document.documentElement.dataset.theme = name;
  refill();
  ingot.graph.draw();
}

function setTheme(name) {
  try { localStorage.setItem("ingot-theme", name); } catch { /* a page from a file may have no storage */ }
  wearTheme(name);
}

function firstTheme() {
  let kept = null;
  try { kept = localStorage.getItem("ingot-theme"); } catch { /* the same */ }
  const asked = new URLSearchParams(location.hash.slice(1)).get("theme");
  return asked || kept || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function onKey(e) {
  const g = ingot.graph, step = 60, keys = { "+": () => g.zoom(1.25), "=": () => g.zoom(1.25), "-": () => g.zoom(0.8), f: () => g.fit(), t: () => setTheme(dark() ? "light" : "dark"),
    "[": () => showPass(ingot.pass - 1), "]": () => showPass(ingot.pass + 1), Escape: () => g.select(-1), ArrowLeft: () => g.move(step, 0), ArrowRight: () => g.move(-step, 0),
    ArrowUp: () => g.move(0, step), ArrowDown: () => g.move(0, -step), "/": () => $("search").focus() };
  if (e.ctrlKey || e.metaKey || e.altKey || !keys[e.key] || (!g.graph && e.key !== "t" && e.key !== "/")) return;
  if (e.key.startsWith("Arrow") && document.activeElement !== g.canvas && document.activeElement !== document.body) return;
  e.preventDefault();
  keys[e.key]();
}

// ---- on paper -------------------------------------------------------------------------------------------------

// Light colours, every view, the graph in pieces that can be read, all kernels' expressions.
function toPaper() {
  ingot.worn = document.documentElement.dataset.theme;
  if (dark()) wearTheme("light");
  Object.keys(VIEWS).filter((v) => document.querySelector(`[data-view="${v}"]`)).forEach(fillView);
  $("paper").replaceChildren(...ingot.graph.pieces(700, 860, 12));
  $("paper-kernels").replaceChildren(...paperKernels());
}

function fromPaper() {
  $("paper").replaceChildren();
  $("paper-kernels").replaceChildren();
  if (ingot.worn === "dark") wearTheme("dark");
}

// ---- start ----------------------------------------------------------------------------------------------------

ingot.app = {
  kernel(name) {
    openView("kernels");
    showKernel($("kernel-details"), name);
    document.querySelectorAll("#kernels tr.row").forEach((r) => r.setAttribute("aria-selected", r.dataset.kernel === name));
    document.querySelector(`#kernels tr[aria-selected="true"]`)?.scrollIntoView({ block: "nearest" });
  },
  nodeOfKernel(name) {
    if (!ingot.data.passes.length) return;
    openView("graph");
    showPass(ingot.data.passes.length - 1);
    ingot.graph.select(ingot.graph.graph.nodes.findIndex((n) => n.k === name), true);
  },
  source(line) {
    openView("source");
    document.querySelectorAll(".line.here").forEach((e) => e.classList.remove("here"));
    $("line-" + line)?.classList.add("here");
    $("line-" + line)?.scrollIntoView({ block: "center" });
  },
};

// #view=memory&pass=fuse&node=conv1&theme=dark
function followHash() {
  const h = new URLSearchParams(location.hash.slice(1));
  if (h.get("pass")) showPass(ingot.data.passes.findIndex((p) => p.name === h.get("pass")));
  if (h.get("view") && VIEWS[h.get("view")]) openView(h.get("view"));
  const i = h.get("node") ? ingot.graph.graph?.nodes.findIndex((n) => n.n === h.get("node")) : -1;
  if (i >= 0) ingot.graph.select(i, true);
  if (h.get("kernel")) ingot.app.kernel(h.get("kernel"));
  if (Number(h.get("zoom"))) { ingot.graph.scale = Number(h.get("zoom")); ingot.graph.draw(); }
}

unpack().then((data) => {
  ingot.data = data;
  document.documentElement.dataset.theme = firstTheme();
  $("title").append(data.name, make("small", {}, [data.built?.target, data.built?.options].filter(Boolean).join(" ")));
  connect();
  ingot.graph = new GraphView($("graph"), $("mini"), (i) => showNode($("details"), ingot.graph.graph?.nodes[i]));
  const first = makeTabs();
  makePasses();
  makeSearch();
  openView(first);
  if (data.passes.length) showPass(data.passes.length - 1);
  $("zoom-in").onclick = () => ingot.graph.zoom(1.25);
  $("zoom-out").onclick = () => ingot.graph.zoom(0.8);
  $("fit").onclick = () => ingot.graph.fit();
  $("theme").onclick = () => setTheme(dark() ? "light" : "dark");
  addEventListener("keydown", onKey);
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", fromPaper);
  addEventListener("hashchange", followHash);
  followHash();
  requestAnimationFrame(() => requestAnimationFrame(() => { document.documentElement.dataset.ready = String(Math.round(performance.now())); }));
}).catch((e) => { ingot.errors.push(String(e)); document.body.append(make("p", { class: "fail" }, "The report cannot be shown: " + e)); });
