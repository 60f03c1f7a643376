// The page: what the user has chosen (`state`), a question to the library for each change, the answer drawn.
import * as curves from "./curves.js";
import { LOOK } from "./drawing.js";
import * as graph from "./graph.js";
import { both, nudge, show, value } from "./numbers.js";
import { Simplex } from "./simplex.js";
import { Table } from "./table.js";

const $ = (id) => document.getElementById(id);
const TABS = ["one", "many"], CHOICES = ["divergence", "geometry", "objective"];
const START = { one: "teaching_bandit", many: "risky_fork" };
const WORDS = { "+": ["RAISES the return", "raises"], "-": ["LOWERS the return", "lowers"], 0: ["CHANGES NOTHING", ""], "~": ["", ""], "?": ["UNDECIDED", ""] };
let presets = {}, state = null, answer = null, past = [], asking = false, again = false;

// --- state: kept in the address, so that a reload loses nothing and a link can be sent ---

function fresh(name) {
  return { preset: name, parameters: {}, rows: {}, generator: "u * log(u)", shade: "small", ...presets[name].settings };
}

function request() { return state[state.tab]; }

function remember() {
  past.push(JSON.stringify(state));
  past = past.slice(-200);
  $("undo").disabled = false;
}

// one change of the current instance; those of one kind in a row (a drag, the digits of a number) are undone together
let lastChange = "", lastTime = 0;
function change(what, kind) {
  const now = Date.now();
  if (kind !== lastChange || now - lastTime > 1500) remember();
  [lastChange, lastTime] = [kind, now];
  Object.assign(request(), what);
  ask();
}

function undo() {
  if (!past.length) return;
  state = JSON.parse(past.pop());
  $("undo").disabled = !past.length;
  lastChange = "";
  fill();
  ask();
}

// --- the question ---

async function ask() {
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(state))}`);
  if (asking) { again = true; return; }
  asking = true;
  document.body.dataset.busy = "true";
  do {
    again = false;
    const tab = state.tab, [found, faults] = await post("/api/look", request());
    if (again && tab !== state.tab) continue;
    if (found) { answer = found; draw(); } else {
      if (!answer) { // nothing has been drawn yet: the fresh preset, with what was typed in its fields
        const [start] = await post("/api/look", fresh(request().preset));
        if (start) { answer = start; draw(); }
      }
      complain(faults);
    }
  } while (again);
  asking = false;
  document.body.dataset.busy = "false";
}

async function post(path, body) {
  try {
    const reply = await fetch(path, { method: "POST", body: JSON.stringify(body) }), said = await reply.json();
    return said.faults ? [null, said.faults] : [said, {}];
  } catch {
    return [null, { "": "the explorer does not answer: is `python -m distil_theory explore` still running? Nothing is lost; reload when it is." }];
  }
}

function fieldOf(name) {
  return document.querySelector(`[data-field="${CSS.escape(name)}"]`) || $(name);
}

function complain(faults) {
  mark(faults);
  $("answer").classList.add("stale");
  $("faults").replaceChildren(...Object.entries(faults).map(([name, text]) => {
    const line = document.createElement("p"), field = name && fieldOf(name);
    const says = document.createElement(field ? "button" : "span");
    says.textContent = text;
    if (field) says.addEventListener("click", () => field.focus());
    line.append(says);
    return line;
  }), Object.assign(document.createElement("p"), { textContent: answer ? "The page shows the last instance that made sense; what you typed is kept." : "" }));
}

function mark(faults) {
  for (const field of document.querySelectorAll('[aria-invalid="true"]')) field.removeAttribute("aria-invalid");
  for (const name of Object.keys(faults)) if (name) fieldOf(name)?.setAttribute("aria-invalid", "true");
}

// --- the answer ---

let simplex = null;
const table = new Table($("table"), (key, weights) => change({ rows: { ...request().rows, [key]: weights } }, key));

function draw() {
  mark({});
  $("faults").replaceChildren();
  $("answer").classList.remove("stale");
  const many = answer.tab === "many", r = request();
  verdict("small", answer.signs.rate, both(answer.rate), answer.ruling, "rate");
  $("eta-shown").textContent = `η = ${answer.eta}`;
  const sign = answer.signs.change === "~" ? (answer.change > 1e-12 ? "+" : answer.change < -1e-12 ? "-" : "0") : answer.signs.change;
  verdict("step", sign, show(answer.change), answer.step_ruling, "change");
  const better = { "+": ["YES", "raises"], "-": ["NO", "lowers"], 0: ["NO, AS GOOD", ""] }[answer.signs.gap];
  box("gap-box", better);
  $("gap").textContent = both(answer.returns.gap);
  $("both-returns").textContent = `student J = ${both(answer.returns.student)}; expert J* = ${both(answer.returns.expert)}`;
  $("exposes").textContent = `${answer.label}: ${answer.exposes}`;
  picture(many);
  curves.draw($("curves"), answer);
  legend();
  $("table-title").textContent = many ? "What is chosen where, and what it is worth" : "The instance in numbers";
  table.draw(answer.rows, r.rows, many);
  const near = answer.nearest;
  $("nearest").replaceChildren(near.name ? "" : "No certificate has this shape.");
  if (near.name) {
    const load = Object.assign(document.createElement("button"), { textContent: "Load it", id: "load-nearest" });
    load.addEventListener("click", () => start(`certificate:${near.name}`));
    const command = Object.assign(document.createElement("code"), { textContent: `python -m distil_theory check distil_theory/certificates/${near.name}.json` });
    const far = near.distance < 1e-12 ? "these very numbers" : `${show(near.distance, 3)} away (the largest difference of a probability or reward)`;
    $("nearest").append(`${near.name}, ${far}${near.same ? "" : ", of another objective"}: “${near.statement}”. `, load, document.createElement("br"), command);
  }
}

function box(id, [word, colour]) {
  $(id).className = `box ${colour}`;
  $(id).querySelector(".word").textContent = word;
}

function verdict(id, sign, number, ruling, output) {
  box(id, WORDS[sign]);
  $(output).textContent = number;
  const promise = { "+": "Promised by", gap: "Decided by", "": "No promise by" }[ruling.promise];
  $(id).querySelector(".claim").textContent = ruling.slug ? `${promise} claim ${ruling.number} (${ruling.title}): ${ruling.because}.` : `${ruling.because}.`;
}

function picture(many) {
  if (many) { simplex = null; graph.draw($("picture"), answer.graph); } else {
    simplex ||= new Simplex($("picture"), (who, w) => change({ rows: { ...request().rows, [`${who}:0,0`]: w.map(String) } }, `drag ${who}`));
    simplex.draw(answer, answer.curves.find((c) => c.chosen).name);
  }
  const caption = $("picture-caption"), want = many ? "many" : "one";
  if (caption.dataset.of !== want) { caption.dataset.of = want; caption.replaceChildren(...(many ? [] : shading())); }
  const left = answer.graph?.left_out;
  if (many) caption.textContent = `Circles: states, as large as the student visits them, the dot as the expert does; filled: the student cannot tell it from another. `
    + `Lines: blue the student's choices, orange dashes the expert's; numbers: rewards.${left ? ` ${left} rarely visited states are not drawn.` : ""}`;
  else for (const input of caption.querySelectorAll("input")) input.checked = input.value === request().shade;
}

function shading() {
  const key = document.createElement("span");
  key.innerHTML = '<span class="swatch" style="background:#f3b8ac"></span>experts that are better, and the step lowers the return <span class="swatch" style="background:#e3f4ee"></span>better, it does not <span class="swatch" style="background:#d9dce3"></span>not better. Arrows: where each divergence pushes (grey: the reward). ○ after the step.';
  return [...["small", "step"].map((name) => {
    const label = document.createElement("label"), input = Object.assign(document.createElement("input"), { type: "radio", name: "shade", value: name });
    input.addEventListener("change", () => change({ shade: name }, "shade"));
    label.append(input, name === "small" ? " shade for a small step" : " for this step");
    return label;
  }), key];
}

function legend() {
  $("legend").replaceChildren(...answer.curves.map((curve) => {
    const button = document.createElement("button"), sign = { "+": "▲", "-": "▼", 0: "＝", "?": "?", "": "" }[curve.sign];
    button.textContent = `${curve.label} ${sign} ${curve.sign ? show(curve.rate, 3) : ""}`;
    button.dataset.curve = curve.name;
    button.style.borderColor = LOOK[curve.name][0];
    button.setAttribute("aria-pressed", curve.chosen);
    button.disabled = !curve.values;
    if (curve.error) button.title = curve.error;
    button.addEventListener("click", () => { change(answer.tab === "one" ? { divergence: curve.name } : { objective: curve.name }, "legend"); fill(); });
    return button;
  }));
}

// --- controls ---

function fill() {
  const r = request(), many = state.tab === "many";
  for (const tab of TABS) {
    $(`tab-${tab}`).setAttribute("aria-selected", tab === state.tab);
    $(`tab-${tab}`).tabIndex = tab === state.tab ? 0 : -1;
  }
  $("panel").setAttribute("aria-labelledby", `tab-${state.tab}`);
  const groups = {};
  for (const p of Object.values(presets).filter((x) => x.tab === state.tab)) (groups[p.group] ||= []).push(p);
  $("preset").replaceChildren(...Object.entries(groups).map(([label, list]) => {
    const group = Object.assign(document.createElement("optgroup"), { label });
    group.append(...list.map((p) => new Option(p.label, p.name)));
    return group;
  }));
  $("preset").value = r.preset;
  for (const name of CHOICES) $(name).value = r[name];
  $("objectives").hidden = !many;
  $("own").hidden = r.divergence !== "own";
  $("generator").value = r.generator;
  $("eta").value = r.eta;
  $("end").value = r.end;
  slide();
  $("parameters").replaceChildren(...presets[r.preset].parameters.map((p) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { className: "number", size: p.whole ? 3 : 6, value: r.parameters[p.name] ?? p.default });
    input.dataset.field = `parameter ${p.name}`;
    input.setAttribute("aria-label", p.name);
    label.append(`${p.name} `, input);
    const tell = () => change({ parameters: { ...request().parameters, [p.name]: input.value }, rows: {} }, p.name);
    input.addEventListener("input", tell);
    if (p.whole) counting(input, 1, 1, tell);
    return label;
  }));
}

function slide() {
  const eta = value($("eta").value), end = value($("end").value);
  if (end > 0) Object.assign($("slider"), { min: end / 80, max: end, step: end / 80 });
  if (Number.isFinite(eta)) $("slider").value = eta;
}

function counting(input, n, d, tell) {
  input.addEventListener("keydown", (event) => {
    if (!["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    const next = nudge(input.value, event.key === "ArrowUp" ? n : -n, d);
    if (next !== null) { input.value = next; tell(); }
  });
}

function start(name) {
  remember();
  state.tab = presets[name].tab;
  state[state.tab] = fresh(name);
  fill();
  ask();
}

function turn(tab) {
  if (tab === state.tab) return;
  state.tab = tab;
  answer = null;
  fill();
  ask();
}

async function take(kind) {
  const [found, faults] = await post("/api/export", request());
  if (!found) { complain(faults); $("export-verdict").textContent = "Nothing to export until this is right."; $("exported").hidden = true; return; }
  const [text, name] = kind === "certificate" ? [found.certificate, `${found.name}.json`] : [found.example, `test_${found.name}.py`];
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
  $("exported").hidden = false;
  $("exported").textContent = text;
  $("export-verdict").textContent = kind === "certificate" ? `${name}: ${found.verdict}. Check it again: python -m distil_theory check ${name}` : `${name}: run it with pytest ${name}`;
}

function wire() {
  TABS.forEach((tab, k) => {
    $(`tab-${tab}`).addEventListener("click", () => turn(tab));
    $(`tab-${tab}`).addEventListener("keydown", (event) => {
      if (["ArrowLeft", "ArrowRight"].includes(event.key)) { turn(TABS[1 - k]); $(`tab-${TABS[1 - k]}`).focus(); }
    });
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("preset").addEventListener("change", () => start($("preset").value));
  for (const name of CHOICES) $(name).addEventListener("change", () => { change({ [name]: $(name).value }, name); $("own").hidden = request().divergence !== "own"; });
  $("generator").addEventListener("input", () => change({ generator: $("generator").value }, "generator"));
  $("slider").addEventListener("input", () => { $("eta").value = String(Number(Number($("slider").value).toPrecision(3))); change({ eta: $("eta").value }, "eta"); });
  const typed = () => { slide(); change({ eta: $("eta").value }, "eta"); };
  $("eta").addEventListener("input", typed);
  counting($("eta"), 1, 20, typed);
  $("end").addEventListener("input", () => { slide(); change({ end: $("end").value }, "end"); });
  $("undo").addEventListener("click", undo);
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && event.target.tagName !== "INPUT") { event.preventDefault(); undo(); }
  });
  const size = (by) => { const now = parseFloat(getComputedStyle(document.documentElement).fontSize); document.documentElement.style.fontSize = `${Math.min(30, Math.max(11, now + by))}px`; };
  $("smaller").addEventListener("click", () => size(-2));
  $("larger").addEventListener("click", () => size(2));
  $("help-button").addEventListener("click", () => { $("help").hidden = !$("help").hidden; $("help-button").setAttribute("aria-expanded", !$("help").hidden); });
  $("get-certificate").addEventListener("click", () => take("certificate"));
  $("get-example").addEventListener("click", () => take("example"));
}

function kept() {
  try {
    const found = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    return TABS.includes(found.tab) && TABS.every((tab) => presets[found[tab].preset]?.tab === tab) ? found : null;
  } catch { return null; }
}

presets = Object.fromEntries((await (await fetch("/api/presets")).json()).map((p) => [p.name, p]));
state = kept() || { tab: "one", one: fresh(START.one), many: fresh(START.many) };
$("undo").disabled = true;
wire();
fill();
ask();
