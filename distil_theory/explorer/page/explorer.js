// The page: what the user has chosen (`state`), a question to the library for each change, the controls.
import { nudge, value } from "./numbers.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const TABS = ["one", "many"], CHOICES = ["divergence", "geometry", "objective"];
const START = { one: "teaching_bandit", many: "risky_fork" };
const view = new View({ change, start, fill });
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
  if (asking) { again = true; return; }
  asking = true;
  document.body.dataset.busy = "true";
  do {
    again = false;
    const tab = state.tab, [found, faults] = await post("/api/look", request());
    if (again && tab !== state.tab) continue;
    if (found) show(found); else {
      if (!answer) { // nothing has been drawn yet: the fresh preset, with what was typed in its fields
        const [start] = await post("/api/look", fresh(request().preset));
        if (start) show(start);
      }
      complain(faults);
    }
  } while (again);
  asking = false;
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(state))}`);
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

function show(found) {
  answer = found;
  mark({});
  $("faults").replaceChildren();
  $("answer").classList.remove("stale");
  view.draw(answer, request());
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
