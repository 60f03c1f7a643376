// Return against step size.
import { LOOK, el, polyline, ticks } from "./drawing.js";
import { show, value } from "./numbers.js";

const W = 620, H = 400, L = 70, R = 18, T = 14, B = 52;

export function draw(home, answer) {
  const end = answer.etas.at(-1), shown = answer.curves.filter((c) => c.values);
  const base = [answer.returns.student.value, answer.returns.expert.value];
  const all = [...base, ...shown.flatMap((c) => c.values.filter((v) => v !== null))];
  let [low, high] = [Math.min(...all), Math.max(...all)];
  const pad = (high - low || 1) * 0.06;
  low -= pad; high += pad;
  const x = (v) => L + ((W - L - R) * v) / end, y = (v) => T + ((H - T - B) * (high - v)) / (high - low);
  const svg = el("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Return against step size" });
  for (const v of ticks(low, high)) svg.append(el("line", { x1: L, x2: W - R, y1: y(v), y2: y(v), stroke: "#e5e8ee" }),
    el("text", { x: L - 8, y: y(v) + 5, "text-anchor": "end", "font-size": 15 }, show(v)));
  for (const v of ticks(0, end)) svg.append(el("line", { x1: x(v), x2: x(v), y1: H - B, y2: H - B + 6, stroke: "#565b66" }),
    el("text", { x: x(v), y: H - B + 22, "text-anchor": "middle", "font-size": 15 }, show(v)));
  svg.append(el("line", { x1: L, x2: W - R, y1: H - B, y2: H - B, stroke: "#565b66" }),
    el("text", { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle", "font-size": 16 }, "step size η"),
    el("text", { x: 16, y: (T + H - B) / 2, "text-anchor": "middle", "font-size": 16, transform: `rotate(-90 16 ${(T + H - B) / 2})` }, "return J of the student"));
  const [student, expert] = base; // the higher line has its name above, the lower below
  for (const [name, v, other, colour, dash] of [["student now", student, expert, "#16181d", ""], ["expert", expert, student, "#D55E00", "3 4"]]) svg.append(
    el("line", { x1: L, x2: W - R, y1: y(v), y2: y(v), stroke: colour, "stroke-width": 1.6, "stroke-dasharray": dash }),
    el("text", { x: W - R, y: y(v) + (v > other || (v === other && name === "expert") ? -6 : 17), "text-anchor": "end", "font-size": 15, fill: colour, "paint-order": "stroke", stroke: "#fff", "stroke-width": 3 }, name));
  const inside = el("g");
  for (const curve of [...shown].sort((a, b) => a.chosen - b.chosen)) {
    const [colour, dash] = LOOK[curve.name];
    const points = curve.values.map((v, k) => [v, k]).filter(([v]) => v !== null).map(([v, k]) => [x(answer.etas[k]), y(v)]);
    inside.append(el("polyline", { points: polyline(points), fill: "none", stroke: colour, "stroke-width": curve.chosen ? 4 : 1.7, "stroke-dasharray": dash, opacity: curve.chosen ? 1 : 0.8, "data-curve": curve.name }));
    if (curve.chosen) { // its tangent: the first order
      const reach = Math.min(end, Math.abs(((curve.rate >= 0 ? high : low) - base[0]) / (curve.rate || 1e-9)));
      inside.append(el("line", { x1: x(0), y1: y(base[0]), x2: x(reach), y2: y(base[0] + curve.rate * reach), stroke: colour, "stroke-width": 1.4, "stroke-dasharray": "1 4", "data-curve": "tangent" }));
    }
  }
  const now = value(answer.eta), after = base[0] + answer.change;
  inside.append(el("line", { x1: x(now), x2: x(now), y1: T, y2: H - B, stroke: "#868d9b", "stroke-dasharray": "4 4" }),
    el("circle", { cx: x(now), cy: y(after), r: 7, fill: "#fff", stroke: LOOK[shown.find((c) => c.chosen).name][0], "stroke-width": 3.5 }));
  svg.append(inside);
  home.replaceChildren(svg);
}
