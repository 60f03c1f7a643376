// An instance of many steps: circles are states, as large as the student visits them; lines are actions.
import { el } from "./drawing.js";
import { show } from "./numbers.js";

const W = 620, TALL = 400, SEEN = 0.004; // lines that hardly anybody takes are not drawn
const short = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);

export function draw(home, graph) {
  const columns = graph.steps + 1, count = Math.max(...graph.nodes.map((n) => 2 * Math.abs(n.y) + 1));
  const ROW = Math.min(120, (TALL - 40) / count), H = TALL, step = (W - 110) / (columns - 1 || 1);
  const place = (n) => [48 + n.h * step, H / 2 + n.y * ROW];
  const svg = el("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "States and actions" });
  const lines = el("g"), words = el("g"), few = graph.edges.length <= 26, degree = {};
  for (const e of graph.edges) degree[e.from] = Math.max(degree[e.from] || 0, e.rank + 1);
  for (const e of graph.edges) {
    const source = graph.nodes[e.from], taken = Math.max(source.student * e.student, source.expert * e.expert) * e.chance;
    if (taken < SEEN && !few) continue;
    const from = place(graph.nodes[e.from]), fan = (e.rank - (degree[e.from] - 1) / 2) * Math.min(56, (0.8 * ROW) / degree[e.from] + 4);
    const to = e.to === null ? [from[0] + Math.min(step * 0.7, 170), from[1] + fan] : place(graph.nodes[e.to]);
    const bend = e.to === null ? 0 : fan * 0.9;
    const middle = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2 + bend];
    const path = (shift) => `M${from[0]} ${from[1] + shift}Q${middle[0]} ${middle[1] + shift} ${to[0]} ${to[1] + shift}`;
    const strokes = { fill: "none", opacity: 0.8 };
    lines.append(el("path", { ...strokes, d: path(-2.5), stroke: "#0072B2", "stroke-width": 0.7 + 8 * e.student * e.chance },
      el("title", {}, `${e.action}: student ${show(e.student)}, expert ${show(e.expert)}, reward ${e.reward}`)));
    if (e.expert > 0) lines.append(el("path", { ...strokes, d: path(2.5), stroke: "#D55E00", "stroke-width": 0.7 + 8 * e.expert * e.chance, "stroke-dasharray": "7 4" }));
    const spot = 0.45, q = [0, 1].map((k) => (1 - spot) ** 2 * from[k] + 2 * spot * (1 - spot) * middle[k] + spot ** 2 * to[k]);
    if (few) words.append(el("text", { x: q[0], y: q[1] - 7, "text-anchor": "middle", "font-size": 15, "paint-order": "stroke", stroke: "#fff", "stroke-width": 4 }, short(e.action, 16)));
    if (e.to === null && (few || e.reward !== "0")) words.append(el("text", { x: to[0] + 6, y: to[1] + 5, "font-size": 16, "font-weight": e.reward === "0" ? 400 : 700 }, e.reward));
    else if (e.to !== null && e.reward !== "0" && few) words.append(el("text", { x: q[0], y: q[1] + 17, "text-anchor": "middle", "font-size": 14, "font-weight": 700, "paint-order": "stroke", stroke: "#fff", "stroke-width": 4 }, `+${e.reward}`));
  }
  for (const n of graph.nodes) {
    const [x, y] = place(n);
    words.append(el("circle", { cx: x, cy: y, r: 7 + 13 * Math.sqrt(n.student), fill: n.hidden ? "#cfe3f2" : "#fff", stroke: "#0072B2", "stroke-width": 3 },
      el("title", {}, `${n.state}: visited by student ${show(n.student)}, by expert ${show(n.expert)}${n.hidden ? `; the student sees only: ${n.seen}` : ""}`)),
      el("circle", { cx: x, cy: y, r: 1 + 6 * Math.sqrt(n.expert), fill: "#D55E00", "pointer-events": "none" }));
    if (graph.nodes.length <= 20 && step > 70) words.append(el("text", { x, y: n.y < 0 ? y - 13 - 13 * Math.sqrt(n.student) : y + 24 + 13 * Math.sqrt(n.student), "text-anchor": "middle", "font-size": 14, "paint-order": "stroke", stroke: "#fff", "stroke-width": 4 }, short(n.state, Math.max(11, Math.round(step / 8)))));
  }
  svg.append(lines, words);
  home.replaceChildren(svg);
}
