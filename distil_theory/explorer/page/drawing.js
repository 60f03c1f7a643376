// The smallest possible layer above SVG, and the colours of the figures.

export const LOOK = {
  forward_kl: ["#0072B2", ""], reverse_kl: ["#D55E00", "8 4"], jensen_shannon: ["#B07400", "9 3 2 3"],
  hellinger: ["#009E73", "2 3"], pearson_chi2: ["#A8528A", "8 3 2 3 2 3"], neyman_chi2: ["#2a86bd", "2 5"],
  total_variation: ["#000000", "10 4"], own: ["#7a0fa8", ""],
  local: ["#0072B2", ""], weighted: ["#009E73", "9 3 2 3"], full: ["#D55E00", "8 4"], "full cross-entropy": ["#A8528A", "2 3"],
};

export function el(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export const polyline = (points) => points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");

export function arrow(from, to, colour, width, extra = {}) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]], length = Math.hypot(dx, dy);
  if (length < 1) return el("g");
  const [ux, uy] = [dx / length, dy / length], size = Math.min(length, 4 + 2.2 * width);
  const base = [to[0] - ux * size, to[1] - uy * size], half = size * 0.45;
  const head = [to, [base[0] - uy * half, base[1] + ux * half], [base[0] + uy * half, base[1] - ux * half]];
  return el("g", extra,
    el("line", { x1: from[0], y1: from[1], x2: base[0], y2: base[1], stroke: colour, "stroke-width": width }),
    el("polygon", { points: polyline(head), fill: colour }));
}

// round numbers between two ends
export function ticks(low, high, about = 5) {
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) out.push(Number((k * step).toPrecision(12)));
  return out;
}
