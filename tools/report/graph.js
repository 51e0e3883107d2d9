// graph.js: the graph on a canvas: pan, zoom, hit tests, the small map.
class GraphView {
  constructor(canvas, mini, onselect) {
    this.canvas = canvas;
    this.mini = mini;
    this.onselect = onselect;
    this.scale = 1;
    this.x = this.y = 0; // of the graph, at the canvas's middle
    this.selected = -1;
    this.hover = -1;
    this.listen();
  }

  // ---- data ---------------------------------------------------------------------------------------------------

  show(graph, groupOf) {
    if (!graph.box) prepareGraph(graph);
    this.graph = graph;
    this.groupOf = groupOf;
    this.selected = this.hover = -1;
    this.fit();
  }

  fit() {
    const b = this.graph.box, r = this.size();
    if (!r.w || !r.h) return;
    this.scale = Math.min(1.4, 0.92 * Math.min(r.w / (b.x1 - b.x0 + 40), r.h / (b.y1 - b.y0 + 40)));
    this.x = (b.x0 + b.x1) / 2;
    this.y = (b.y0 + b.y1) / 2;
    // A long chain is read from its start, at a size that can be read.
    if (this.scale < 0.3 && b.x1 - b.x0 < (b.y1 - b.y0) / 3) {
      // What is seen of it decides where the middle is: such chains wander from side to side.
      this.scale = 0.8;
      for (let k = 0; k < 2; k++) {
        const xs = this.graph.nodes.filter((n) => n.p[1] < b.y0 + r.h / this.scale).map((n) => n.p[0]);
        const left = Math.min(...xs), right = Math.max(...xs);
        this.x = (left + right) / 2;
        this.scale = Math.min(this.scale, (0.9 * r.w) / (right - left + 200));
      }
      this.y = b.y0 + (0.46 * r.h) / this.scale;
    }
    this.draw();
  }

  centre(i) {
    const n = this.graph.nodes[i];
    this.x = n.p[0];
    this.y = n.p[1];
    if (this.scale < 0.6) this.scale = 0.9;
    this.draw();
  }

  select(i, move) {
    this.selected = i;
    if (move && i >= 0) this.centre(i);
    else this.draw();
    this.onselect(i);
  }

  size() {
    return { w: this.canvas.clientWidth, h: this.canvas.clientHeight };
  }

  // ---- drawing ------------------------------------------------------------------------------------------------

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.paint(); });
  }

  // The canvas in pixels of the device, and the part of the graph that it shows.
  open(canvas) {
    const ratio = devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(h * ratio);
    }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, w, h);
    return c;
  }

  paint() {
    const { w, h } = this.size();
    if (!this.graph || !w) return;
    const c = this.open(this.canvas), s = this.scale;
    c.translate(w / 2 - this.x * s, h / 2 - this.y * s);
    c.scale(s, s);
    const seen = { x0: this.x - w / 2 / s, x1: this.x + w / 2 / s, y0: this.y - h / 2 / s, y1: this.y + h / 2 / s };
    this.paintEdges(c, seen);
    this.paintNodes(c, seen);
    this.paintMini(w / s, h / s);
  }

  // For paper: the graph cut into strips, so many side by side on a page of that size as fit, on at most `most` pages.
  pieces(width, height, most) {
    if (!this.graph) return [];
    const b = this.graph.box, w = b.x1 - b.x0 + 40, h = b.y1 - b.y0 + 40, keep = { scale: this.scale, selected: this.selected };
    const columns = (s) => Math.max(1, Math.min(4, Math.floor(width / (w * s)), Math.ceil((h * s) / height)));
    const pages = (s) => Math.ceil((h * s) / height / columns(s) - 0.01);
    let s = Math.min(1, width / w);
    while (pages(s) > most) s *= 0.9;
    const out = [], across = width / columns(s);
    this.selected = -1;
    this.scale = s;
    for (let y = b.y0 - 20, page; y < b.y1 + 20; y += height / s) {
      if (out.length === 0 || page.children.length === columns(s)) out.push((page = make("div", { class: "page" })));
      page.append(this.strip(y, across, Math.min(height, (b.y1 + 20 - y) * s)));
    }
    Object.assign(this, keep);
    return out;
  }

  strip(top, width, height) {
    const b = this.graph.box, s = this.scale, canvas = make("canvas", { width: Math.ceil(width * 2), height: Math.ceil(height * 2) }), c = canvas.getContext("2d");
    canvas.style.width = width + "px";
    c.setTransform(2 * s, 0, 0, 2 * s, width - (b.x0 + b.x1) * s, -top * 2 * s);
    const seen = { x0: b.x0 - 20, x1: b.x1 + 20, y0: top, y1: top + height / s };
    this.paintEdges(c, seen);
    this.paintNodes(c, seen);
    return canvas;
  }

  paintEdges(c, seen) {
    const { nodes, edges, curves } = this.graph, chosen = this.selected;
    c.lineWidth = Math.max(1, 0.6 / this.scale);
    c.strokeStyle = css("--edge");
    c.beginPath();
    for (let i = 0; i < edges.length; i += 2)
      if (edges[i] !== chosen && edges[i + 1] !== chosen) edgePath(c, nodes[edges[i]], nodes[edges[i + 1]], seen, curves?.[i / 2]);
    c.stroke();
    if (chosen < 0) return;
    c.strokeStyle = css("--accent");
    c.lineWidth *= 2;
    c.beginPath();
    for (let i = 0; i < edges.length; i += 2)
      if (edges[i] === chosen || edges[i + 1] === chosen) edgePath(c, nodes[edges[i]], nodes[edges[i + 1]], seen, curves?.[i / 2]);
    c.stroke();
  }

  paintNodes(c, seen) {
    const words = this.scale > 0.34, ink = css("--ink"), soft = css("--soft"), plain = css("--node"), line = css("--edge");
    c.textBaseline = "middle";
    c.textAlign = "center";
    this.graph.nodes.forEach((n, i) => {
      const [x, y, w, h] = n.p;
      if (x + w / 2 < seen.x0 || x - w / 2 > seen.x1 || y + h / 2 < seen.y0 || y - h / 2 > seen.y1) return;
      const group = this.groupOf(n), io = n.o === "input" || n.o === "output";
      c.fillStyle = group ? fill(group) : plain;
      c.strokeStyle = i === this.selected ? css("--accent") : group ? stroke(group) : line;
      c.lineWidth = i === this.selected ? 3.2 : i === this.hover ? 2.2 : 1.1;
      c.beginPath();
      c.roundRect(x - w / 2, y - h / 2, w, h, io ? h / 2 : 6);
      c.fill();
      c.stroke();
      if (!words) return;
      c.fillStyle = ink;
      c.font = "600 10.5px system-ui, sans-serif";
      c.fillText(n.o, x, y - h * 0.19, w - 8);
      c.fillStyle = soft;
      c.font = "9px system-ui, sans-serif";
      c.fillText(n.short, x, y + h * 0.22, w - 8);
    });
  }

  paintMini(w, h) {
    const m = this.mini, b = this.graph.box;
    if (!m.clientWidth) return;
    const c = this.open(m), s = Math.min(m.clientWidth / (b.x1 - b.x0 + 60), m.clientHeight / (b.y1 - b.y0 + 60));
    c.translate(m.clientWidth / 2 - ((b.x0 + b.x1) / 2) * s, m.clientHeight / 2 - ((b.y0 + b.y1) / 2) * s);
    c.scale(s, s);
    for (const n of this.graph.nodes) {
      const g = this.groupOf(n);
      c.fillStyle = g ? stroke(g) : css("--edge");
      c.fillRect(n.p[0] - n.p[2] / 2, n.p[1] - n.p[3] / 2, Math.max(n.p[2], 1.5 / s), Math.max(n.p[3], 1.5 / s));
    }
    c.strokeStyle = css("--accent");
    c.lineWidth = 1.5 / s;
    c.strokeRect(this.x - w / 2, this.y - h / 2, w, h);
  }

  // ---- input --------------------------------------------------------------------------------------------------

  // The node under a point of the canvas, or -1.
  at(px, py) {
    const { w, h } = this.size(), x = (px - w / 2) / this.scale + this.x, y = (py - h / 2) / this.scale + this.y;
    return this.graph.nodes.findIndex((n) => Math.abs(n.p[0] - x) <= n.p[2] / 2 && Math.abs(n.p[1] - y) <= n.p[3] / 2);
  }

  // Where node i stands on the canvas.
  place(i) {
    const { w, h } = this.size(), p = this.graph.nodes[i].p;
    return { x: (p[0] - this.x) * this.scale + w / 2, y: (p[1] - this.y) * this.scale + h / 2 };
  }

  zoom(by, px, py) {
    const { w, h } = this.size(), to = Math.min(6, Math.max(0.004, this.scale * by));
    const dx = (px ?? w / 2) - w / 2, dy = (py ?? h / 2) - h / 2;
    this.x += dx / this.scale - dx / to;
    this.y += dy / this.scale - dy / to;
    this.scale = to;
    this.draw();
  }

  move(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.draw();
  }

  listen() {
    const c = this.canvas;
    let drag = null;
    c.addEventListener("wheel", (e) => {
      e.preventDefault();
      if (e.shiftKey) this.move(-e.deltaY, 0);
      else this.zoom(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0016)), e.offsetX, e.offsetY);
    }, { passive: false });
    c.addEventListener("pointerdown", (e) => {
      drag = { x: e.offsetX, y: e.offsetY, far: false };
      if (e.isTrusted) c.setPointerCapture(e.pointerId);
      c.focus({ preventScroll: true });
    });
    c.addEventListener("pointermove", (e) => {
      if (drag) {
        if (Math.hypot(e.offsetX - drag.x, e.offsetY - drag.y) > 3) drag.far = true;
        if (!drag.far) return;
        c.classList.add("drag");
        this.move(e.offsetX - drag.x, e.offsetY - drag.y);
        drag.x = e.offsetX;
        drag.y = e.offsetY;
        return;
      }
      const i = this.at(e.offsetX, e.offsetY);
      if (i !== this.hover) { this.hover = i; this.draw(); }
      const n = this.graph.nodes[i];
      tip(e, n ? [n.n, n.t, n.y, n.k && "kernel " + n.k].filter(Boolean).join("\n") : "");
      c.style.cursor = n ? "pointer" : "";
    });
    c.addEventListener("pointerup", (e) => {
      if (drag && !drag.far) this.select(this.at(e.offsetX, e.offsetY));
      drag = null;
      c.classList.remove("drag");
    });
    c.addEventListener("pointerleave", () => tip(null, ""));
    this.mini.addEventListener("pointerdown", (e) => {
      const m = this.mini, b = this.graph.box;
      const s = Math.min(m.clientWidth / (b.x1 - b.x0 + 60), m.clientHeight / (b.y1 - b.y0 + 60));
      this.x = (e.offsetX - m.clientWidth / 2) / s + (b.x0 + b.x1) / 2;
      this.y = (e.offsetY - m.clientHeight / 2) / s + (b.y0 + b.y1) / 2;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(c);
  }
}

function prepareGraph(g) {
  const b = (g.box = { x0: 1e9, x1: -1e9, y0: 1e9, y1: -1e9 });
  for (const n of g.nodes) {
    n.short = n.n && n.n.length > 26 ? n.n.slice(0, 12) + "…" + n.n.slice(-13) : n.n || "";
    b.x0 = Math.min(b.x0, n.p[0] - n.p[2] / 2);
    b.x1 = Math.max(b.x1, n.p[0] + n.p[2] / 2);
    b.y0 = Math.min(b.y0, n.p[1] - n.p[3] / 2);
    b.y1 = Math.max(b.y1, n.p[1] + n.p[3] / 2);
  }
}

// From the lower side of one node to the upper side of the other, if any of it can be seen.
function edgePath(c, from, to, seen, curve) {
  const x0 = from.p[0], y0 = from.p[1] + from.p[3] / 2, x1 = to.p[0], y1 = to.p[1] - to.p[3] / 2;
  if (Math.max(y0, y1) < seen.y0 || Math.min(y0, y1) > seen.y1) return;
  if (!curve && (Math.max(x0, x1) < seen.x0 - 60 || Math.min(x0, x1) > seen.x1 + 60)) return;
  if (curve && curve.length >= 8) {
    c.moveTo(curve[0], y0);
    for (let i = 2; i + 5 < curve.length; i += 6) c.bezierCurveTo(curve[i], curve[i + 1], curve[i + 2], curve[i + 3], curve[i + 4], curve[i + 5]);
    c.lineTo(curve[curve.length - 2], y1);
    return;
  }
  const high = Math.abs(y1 - y0), bend = Math.min(70, high / 2);
  c.moveTo(x0, y0);
  // One that would run straight down behind other nodes goes around them.
  const out = high > 120 && Math.abs(x1 - x0) < 40 ? Math.min(260, 90 + high / 8) : 0;
  c.bezierCurveTo(x0 + out, y0 + (out ? high / 4 : bend), x1 + out, y1 - (out ? high / 4 : bend), x1, y1);
}
