// The answer of the library, drawn: verdicts, pictures, legend, table, the nearest certificate.
import * as curves from "./curves.js";
import { LOOK } from "./drawing.js";
import * as graph from "./graph.js";
import { both, show } from "./numbers.js";
import { Simplex } from "./simplex.js";
import { Table } from "./table.js";

const $ = (id) => document.getElementById(id);
const WORDS = { "+": ["RAISES the return", "raises"], "-": ["LOWERS the return", "lowers"], 0: ["CHANGES NOTHING", ""], "?": ["UNDECIDED", ""] };
const ARROWS = { "+": "▲", "-": "▼", 0: "=", "?": "?" };
const PROMISES = { "+": "Promised by", gap: "Decided by", "": "No promise by" };
const numerical = (x) => (x > 1e-12 ? "+" : x < -1e-12 ? "-" : "0");
const make = (name, properties) => Object.assign(document.createElement(name), properties);

export class View {
  // what the user does in a picture or in the table: `change(what, kind)`, `start(preset)`; `fill()` renews the controls
  constructor({ change, start, fill }) {
    Object.assign(this, { change, start, fill });
    this.table = new Table($("table"), (key, weights) => change({ rows: { ...this.request.rows, [key]: weights } }, key));
  }

  draw(answer, request) {
    Object.assign(this, { answer, request });
    const many = answer.tab === "many", change = answer.signs.change;
    this.verdict("small", answer.signs.rate, both(answer.rate), answer.ruling, "rate");
    $("eta-shown").textContent = `η = ${answer.eta}`;
    this.verdict("step", change === "~" ? numerical(answer.change) : change, change === "0" ? "0" : show(answer.change), answer.step_ruling, "change");
    this.box("gap-box", { "+": ["YES", "raises"], "-": ["NO", "lowers"], 0: ["NO, AS GOOD", ""] }[answer.signs.gap]);
    $("gap").textContent = both(answer.returns.gap);
    $("both-returns").textContent = `student J = ${both(answer.returns.student)}; expert J* = ${both(answer.returns.expert)}`;
    $("exposes").textContent = `${answer.label}: ${answer.exposes}`;
    this.picture(many);
    curves.draw($("curves"), answer);
    $("legend").replaceChildren(...answer.curves.map((curve) => this.entry(curve)));
    $("table-title").textContent = many ? "What is chosen where, and what it is worth" : "The instance in numbers";
    this.table.draw(answer.rows, request.rows, many);
    this.nearest(answer.nearest);
  }

  box(id, [word, colour]) {
    $(id).className = `box ${colour}`;
    $(id).querySelector(".word").textContent = word;
  }

  verdict(id, sign, number, ruling, output) {
    this.box(id, WORDS[sign]);
    $(output).textContent = number;
    const claim = `${PROMISES[ruling.promise]} claim ${ruling.number} (${ruling.title}): `;
    $(id).querySelector(".claim").textContent = `${ruling.slug ? claim : ""}${ruling.because}.`;
  }

  picture(many) {
    const caption = $("picture-caption"), want = many ? "many" : "one";
    if (caption.dataset.of !== want) {
      caption.dataset.of = want;
      caption.replaceChildren(...(many ? [] : this.shading()));
      this.simplex = many ? null : new Simplex($("picture"), (who, w) => this.change({ rows: { ...this.request.rows, [`${who}:0,0`]: w.map(String) } }, `drag ${who}`));
    }
    if (many) {
      const left = this.answer.graph.left_out;
      graph.draw($("picture"), this.answer.graph);
      caption.textContent = "Circles: states, as large as the student visits them, the dot as the expert does; filled: the student cannot tell it from another. "
        + `Lines: blue the student's choices, orange dashes the expert's; numbers: rewards.${left ? ` ${left} rarely visited states are not drawn.` : ""}`;
    } else {
      this.simplex.draw(this.answer, this.answer.curves.find((c) => c.chosen).name);
      for (const input of caption.querySelectorAll("input")) input.checked = input.value === this.request.shade;
    }
  }

  shading() {
    const choices = { small: " shade for a small step", step: " for this step" };
    const labels = Object.entries(choices).map(([value, text]) => {
      const label = make("label"), input = make("input", { type: "radio", name: "shade", value });
      input.addEventListener("change", () => this.change({ shade: value }, "shade"));
      label.append(input, text);
      return label;
    });
    const key = { "#f3b8ac": "experts that are better, and the step lowers the return", "#e3f4ee": "better, it does not", "#d9dce3": "not better" };
    const swatches = Object.entries(key).map(([colour, text]) => {
      const entry = make("span", { className: "key" }), swatch = make("span", { className: "swatch" });
      swatch.style.background = colour;
      entry.append(swatch, text);
      return entry;
    });
    return [...labels, ...swatches, " Arrows: where each divergence pushes (grey: the reward). ○ after the step."];
  }

  entry(curve) {
    const rate = curve.sign === "0" ? "0" : show(curve.rate, 3);
    const button = make("button", { textContent: `${curve.label} ${curve.sign ? `${ARROWS[curve.sign]} ${rate}` : ""}`, disabled: !curve.values, title: curve.error || "" });
    button.dataset.curve = curve.name;
    button.style.borderColor = LOOK[curve.name][0];
    button.setAttribute("aria-pressed", curve.chosen);
    button.addEventListener("click", () => {
      this.change(this.answer.tab === "one" ? { divergence: curve.name } : { objective: curve.name }, "legend");
      this.fill();
    });
    return button;
  }

  nearest(near) {
    $("nearest").replaceChildren(near.name ? "" : "No certificate has this shape.");
    if (!near.name) return;
    const load = make("button", { textContent: "Load it", id: "load-nearest" });
    load.addEventListener("click", () => this.start(`certificate:${near.name}`));
    const command = make("code", { textContent: `python -m distil_theory check distil_theory/certificates/${near.name}.json` });
    const far = near.distance < 1e-12 ? "these very numbers" : `${show(near.distance, 3)} away (the largest difference of a probability or reward)`;
    $("nearest").append(`${near.name}, ${far}${near.same ? "" : ", of another objective"}: “${near.statement}”. `, load, make("br"), command);
  }
}
