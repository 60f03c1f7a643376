// The triangle of all policies with three answers: two handles, the step, the shading.
import { LOOK, arrow, el, polyline } from "./drawing.js";
import { hundredths, show } from "./numbers.js";

const W = 560, H = 470, SIDE = 430, LEFT = 65, BASE = 425;
const CORNERS = [[LEFT, BASE], [LEFT + SIDE, BASE], [LEFT + SIDE / 2, BASE - (SIDE * Math.sqrt(3)) / 2]];
const ZONES = { n: "#d9dce3", r: "#e3f4ee", l: "#f3b8ac" };
const at = (p) => [0, 1].map((k) => p.reduce((sum, x, i) => sum + x * CORNERS[i][k], 0));

export class Simplex {
  // `moved(who, weights)` is called when a handle has been dragged or pushed
  constructor(home, moved) {
    this.moved = moved;
    this.svg = el("svg", { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": "Triangle of policies" });
    this.canvas = el("g"); this.back = el("g"); this.front = el("g");
    this.svg.append(this.canvas, this.back);
    this.handles = {};
    for (const who of ["expert", "student"]) this.svg.append((this.handles[who] = this.handle(who)));
    this.svg.append(this.front);
    home.replaceChildren(this.svg);
  }

  handle(who) {
    const shape = who === "student"
      ? el("circle", { r: 10, fill: "#0072B2", stroke: "#fff", "stroke-width": 2.5 })
      : el("path", { d: "M0-13L13 0L0 13L-13 0Z", fill: "#D55E00", stroke: "#fff", "stroke-width": 2.5 });
    const name = el("text", { x: who === "student" ? -14 : 15, y: -11, "text-anchor": who === "student" ? "end" : "start", "font-size": 21, "font-weight": 700, "paint-order": "stroke", stroke: "#fff", "stroke-width": 4 },
      who === "student" ? "π" : "π*");
    const node = el("g", { class: "handle", id: `handle-${who}`, tabindex: 0, role: "slider", "aria-label": `${who}, arrow keys or 1, 2, 3` },
      el("circle", { class: "halo", r: 20 }), shape, name);
    node.addEventListener("pointerdown", (event) => { node.setPointerCapture(event.pointerId); this.dragged = who; });
    node.addEventListener("pointermove", (event) => this.dragged === who && this.drag(who, event));
    for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (this.dragged = null));
    node.addEventListener("keydown", (event) => this.press(who, event));
    return node;
  }

  drag(who, event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    const top = (BASE - point.y) / (BASE - CORNERS[2][1]), right = (point.x - LEFT) / SIDE - top / 2;
    const p = [1 - top - right, right, top].map((x) => Math.max(x, 0.01)), total = p[0] + p[1] + p[2];
    this.moved(who, hundredths(p.map((x) => x / total)));
  }

  press(who, event) {
    const far = event.shiftKey ? 5 : 1, key = event.code.startsWith("Digit") ? event.code.slice(5) : event.key;
    const pairs = { ArrowRight: [0, 1], ArrowLeft: [1, 0], ArrowUp: [0, 2], ArrowDown: [2, 0] };
    const w = hundredths(this.shown[who]);
    if (pairs[key]) {
      let [from, to] = pairs[key];
      if (w[from] <= far) from = 3 - from - to; // that answer has nothing left to give
      if (w[from] <= far) return;
      w[from] -= far; w[to] += far;
    } else if (["1", "2", "3"].includes(key)) {
      const to = Number(key) - 1, others = [0, 1, 2].filter((a) => a !== to).sort((a, b) => w[b] - w[a]);
      for (let k = 0; k < far; k++) { const from = others.find((a) => w[a] > 1); if (from !== undefined) { w[from]--; w[to]++; others.reverse(); } }
    } else return;
    event.preventDefault();
    this.moved(who, w);
  }

  place(who, p) {
    this.shown = { ...this.shown, [who]: p };
    const [x, y] = at(p);
    this.handles[who].setAttribute("transform", `translate(${x} ${y})`);
    this.handles[who].setAttribute("aria-valuetext", p.map((v, a) => `answer ${a + 1}: ${show(v, 3)}`).join(", "));
    this.handles[who].setAttribute("aria-valuenow", p[0].toFixed(4));
  }

  draw(answer, chosen) {
    const row = answer.rows[0], t = answer.triangle;
    this.place("student", row.p); this.place("expert", row.p_star);
    this.shade(t);
    this.back.replaceChildren(el("polygon", { points: polyline(CORNERS), fill: "none", stroke: "#16181d", "stroke-width": 1.5 }));
    CORNERS.forEach(([x, y], a) => {
      const [dx, dy, anchor] = [[-6, 24, "middle"], [6, 24, "middle"], [0, -12, "middle"]][a];
      this.back.append(el("text", { x: x + dx, y: y + dy, "text-anchor": anchor, "font-size": 17 }, `${a + 1}: ${row.actions[a]}`),
        el("text", { x: x + dx + (a === 2 ? 0 : 0), y: y + dy + (a === 2 ? -19 : 19), "text-anchor": anchor, "font-size": 15, fill: "#565b66" }, `reward ${row.reward[a]}`));
    });
    this.level(row);
    const from = at(row.p), reach = 62;
    const tip = (v) => { const d = [0, 1].map((k) => v.reduce((s, x, i) => s + x * CORNERS[i][k], 0)), n = Math.hypot(...d); return n < 1e-9 ? from : [from[0] + (reach * d[0]) / n, from[1] + (reach * d[1]) / n]; };
    this.back.append(arrow(from, tip(t.uphill), "#8a8f99", 3, { "data-arrow": "uphill" }));
    for (const [name, v] of Object.entries(t.velocity)) if (name !== chosen) this.back.append(arrow(from, tip(v), LOOK[name][0], 1.8, { opacity: 0.75, "data-arrow": name }));
    if (t.velocity[chosen]) this.back.append(arrow(from, tip(t.velocity[chosen]), LOOK[chosen][0], 5, { "data-arrow": chosen }));
    this.back.append(el("polyline", { points: polyline(t.path.map(at)), fill: "none", stroke: LOOK[chosen][0], "stroke-width": 2.2, "stroke-dasharray": "2 4" }));
    const [x, y] = at(t.now);
    this.front.replaceChildren(el("circle", { cx: x, cy: y, r: 7, fill: "#fff", stroke: LOOK[chosen][0], "stroke-width": 3.5, "pointer-events": "none", id: "after" }));
  }

  // where the reward is that of the student: experts on one side of the line are better
  level(row) {
    const r = row.reward.map((text) => { const [n, d] = text.split("/").map(Number); return d ? n / d : n; }), j = row.p.reduce((s, p, a) => s + p * r[a], 0), ends = [];
    for (const [a, b] of [[0, 1], [1, 2], [2, 0]]) {
      const s = (j - r[a]) / (r[b] - r[a]);
      if (Number.isFinite(s) && s >= 0 && s <= 1) ends.push([0, 1].map((k) => CORNERS[a][k] + s * (CORNERS[b][k] - CORNERS[a][k])));
    }
    const far = ends.find((e) => ends[0] && Math.hypot(e[0] - ends[0][0], e[1] - ends[0][1]) > 2);
    if (far) this.back.append(el("line", { x1: ends[0][0], y1: ends[0][1], x2: far[0], y2: far[1], stroke: "#565b66", "stroke-width": 1.3, "stroke-dasharray": "5 4" }));
  }

  // one path per colour
  shade(t) {
    const n = t.fine, paths = { n: "", r: "", l: "" };
    const corner = (b, top) => at([(n - b - top) / n, b / n, top / n]).map((x) => x.toFixed(1)).join(" ");
    let k = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < 2 * (n - i) - 1; j++) {
      const b = Math.floor(j / 2), three = j % 2 ? [[b + 1, i], [b + 1, i + 1], [b, i + 1]] : [[b, i], [b + 1, i], [b, i + 1]];
      paths[t.zones[k++]] += `M${three.map(([x, y]) => corner(x, y)).join("L")}Z`;
    }
    this.canvas.replaceChildren(...Object.entries(paths).map(([z, d]) => el("path", { d, fill: ZONES[z], stroke: ZONES[z], "stroke-width": 0.6, "data-zone": z })));
  }
}
