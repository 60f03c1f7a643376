// The table: every number of the instance, editable, and what follows from it.
import { nudge, show } from "./numbers.js";

const HEAD = ["", "reward r", "student weight", "π", "expert weight", "π*", "u = π*/π", "h(u)", "Q", "push Δθ"];
const KINDS = { 1: "reward", 2: "student", 4: "expert" };
const html = (name, text = "", attributes = {}) => {
  const node = document.createElement(name);
  node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

export class Table {
  // `edited(key, weights)` is called with a row of the request, "student:h,o"
  constructor(home, edited) {
    this.home = home;
    this.edited = edited;
    this.shape = "";
  }

  // rows of the answer; `own` are the texts that the user typed, which stand whatever the answer says
  draw(rows, own, many) {
    const shape = rows.map((r) => `${r.h},${r.s},${r.state}`).join(";");
    if (shape !== this.shape) this.build(rows, many);
    this.shape = shape;
    rows.forEach((row, k) => {
      if (many) this.heads[k].textContent = this.head(row);
      row.actions.forEach((_, a) => {
        const cells = this.cells[k][a];
        for (const [column, kind] of Object.entries(KINDS)) {
          const input = cells[column].firstChild, typed = own[this.key(kind, row)];
          const text = typed ? typed[a] : row[kind][a];
          if (input.value !== text) input.value = text;
        }
        const say = { 3: show(row.p[a]), 5: show(row.p_star[a]), 6: show(row.ratio[a]), 7: show(row.score[a]), 8: show(row.q[a]), 9: show(row.direction[a]) };
        for (const [column, text] of Object.entries(say)) cells[column].textContent = text;
        cells[9].className = row.direction[a] > 1e-12 ? "up" : row.direction[a] < -1e-12 ? "down" : "";
      });
    });
  }

  head(row) {
    const sees = row.hidden ? `, the student sees only “${row.seen}”` : "";
    return `step ${row.h + 1}: ${row.state}${sees} · visited by student ${show(row.visits, 3)}, expert ${show(row.visits_expert, 3)}`
      + (row.first ? ` · adds ${show(row.share, 3)} to dJ/dη` : "");
  }

  key(kind, row) {
    return `${kind}:${row.h},${kind === "student" ? row.o : row.s}`;
  }

  build(rows, many) {
    const head = html("thead"), line = html("tr"), body = html("tbody");
    HEAD.forEach((text) => line.append(html("th", text, { scope: "col" })));
    head.append(line);
    this.heads = []; this.cells = [];
    for (const row of rows) {
      if (many) {
        const state = html("tr", "", { class: "state" }), cell = html("td", "", { colspan: HEAD.length });
        state.append(cell); body.append(state); this.heads.push(cell);
      }
      this.cells.push(row.actions.map((action, a) => {
        const tr = html("tr"), cells = HEAD.map((_, c) => html("td", c ? "" : many ? action : `${a + 1}: ${action}`));
        cells[3].className = "student"; cells[5].className = "expert";
        for (const [column, kind] of Object.entries(KINDS)) cells[column].append(this.field(kind, row, a, action));
        tr.append(...cells); body.append(tr);
        return cells;
      }));
    }
    this.home.replaceChildren(head, body);
  }

  field(kind, row, a, action) {
    const key = this.key(kind, row);
    const input = html("input", "", { class: "number", "data-row": key, "data-action": a, "data-field": `${key}:${a}`, spellcheck: "false", inputmode: "decimal",
      "aria-label": `${kind === "reward" ? "reward" : `${kind}, weight`} of ${action}${row.state ? ` at ${row.state}, step ${row.h + 1}` : ""}` });
    const tell = () => {
      const same = [...this.home.querySelectorAll(`input[data-row="${key}"]`)], w = [];
      for (const other of same) if (Number(other.dataset.action) !== a) w[other.dataset.action] = other.value;
      w[a] = input.value;
      this.edited(key, w);
    };
    input.addEventListener("input", tell);
    input.addEventListener("keydown", (event) => {
      if (!["ArrowUp", "ArrowDown"].includes(event.key)) return;
      event.preventDefault();
      const sign = (event.key === "ArrowUp" ? 1 : -1) * (event.shiftKey ? 10 : 1);
      const next = kind === "reward" ? nudge(input.value, sign, 10) : nudge(input.value, sign, 1);
      if (next !== null) { input.value = next; tell(); }
    });
    return input;
  }
}
