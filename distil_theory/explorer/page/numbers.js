// Numbers as people write and read them. Nothing is computed here that a verdict rests on: that is the library's work.

export function show(x, digits = 4) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "−∞";
  const small = x !== 0 && Math.abs(x) < 1e-4;
  const text = small || Math.abs(x) >= 1e6 ? x.toExponential(digits - 2) : String(Number(x.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

export function both(number) {
  if (!number.exact || /^-?\d+$/.test(number.exact)) return show(number.value);
  return `${number.exact.replace("-", "−")} ≈ ${show(number.value)}`;
}

// "1/3", "0.25", "2" as [numerator, denominator], or null
export function fraction(text) {
  const t = text.replaceAll(" ", "");
  let m = t.match(/^(-?\d{1,12})\/(\d{1,12})$/);
  if (m) return Number(m[2]) ? [Number(m[1]), Number(m[2])] : null;
  m = t.match(/^(-?)(\d{0,9})(?:\.(\d{1,6}))?$/);
  if (!m || (!m[2] && !m[3])) return null;
  const scale = 10 ** (m[3] || "").length;
  return [(m[1] ? -1 : 1) * Number((m[2] || "0") + (m[3] || "")), scale];
}

export function value(text) {
  const q = fraction(text);
  return q ? q[0] / q[1] : NaN;
}

const gcd = (a, b) => (b ? gcd(b, a % b) : Math.abs(a));

// text + (n/d), in the way it was written; null if it is no number
export function nudge(text, n, d) {
  const q = fraction(text);
  if (!q) return null;
  const a = q[0] * d + n * q[1], b = q[1] * d, g = gcd(a, b) || 1;
  const [p, r] = [a / g, b / g];
  if (r === 1) return String(p);
  if (!text.includes("/") && 1e6 % r === 0) return String(p / r);
  return `${p}/${r}`;
}

// a distribution in hundredths that sum to 100, each at least `least`
export function hundredths(p, least = 1) {
  const w = p.map((x) => Math.max(least, Math.round(100 * x)));
  w[w.indexOf(Math.max(...w))] += 100 - w.reduce((a, b) => a + b, 0);
  return w;
}
