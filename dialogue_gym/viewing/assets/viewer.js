"use strict";
// The page's data is text from logs. It reaches the document as text nodes and nowhere as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const two = data.logs.length === 2;
const byId = (id) => document.getElementById(id);
const SIGNS = /[\u0000-\u0008\u000b-\u001f\u007f]/g;
const visible = (text) => String(text).replace(SIGNS, (c) => (c === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + c.charCodeAt(0))));

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === undefined) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : visible(child));
  }
  return node;
}

// what is shown: items are pairs of dialogues; with one log, the second is always missing -------------

const items = data.items.map(([a, b], index) => ({
  index,
  sides: [a === null ? null : data.logs[0].dialogues[a], b === null ? null : data.logs[1].dialogues[b]],
}));
const present = (item) => item.sides.filter((d) => d);
const dialogues = items.flatMap(present);
const flagNames = (d) => new Set(d.messages.flatMap((m) => m.flags.map((f) => f[0])));
const turns = (d) => Math.floor(d.messages.length / 2);
const rewards = dialogues.map((d) => d.reward).filter((r) => r !== null);
const lowest = Math.min(...rewards, 0), highest = Math.max(...rewards, 1);
const END = { "": "end not known" };
const endName = (d) => END[d.end] || d.end.replaceAll("_", " ");
const rounded = (x) => {
  if (x === null || x === undefined) return "–";
  if (Number.isInteger(x)) return String(x);
  return Math.abs(x) < 0.001 ? x.toPrecision(2) : x.toFixed(Math.abs(x) < 10 ? 3 : 1);
};
const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "±") + rounded(Math.abs(x));
const difference = (item) => {
  const [a, b] = item.sides;
  return a && b && a.reward !== null && b.reward !== null ? b.reward - a.reward : null;
};

function scoreOf(d) {
  if (d.reward === null) return el("span", { class: "score none", title: "unscored" }, "unscored");
  const share = (d.reward - lowest) / (highest - lowest);
  return el("span", { class: "score " + (share >= 2 / 3 ? "high" : share <= 1 / 3 ? "low" : ""), title: "reward" }, rounded(d.reward));
}

// filters -----------------------------------------------------------------------------------------

const controls = byId("controls");
const inputs = {};
function counted(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}
function choice(name, label, options, any) {
  inputs[name] = el("select", { "aria-label": label }, any === null ? [] : el("option", { value: "" }, any), options.map(([value, text]) => el("option", { value }, text)));
  return el("label", {}, label, inputs[name]);
}
const withCounts = (values, text) => counted(values).map(([value, n]) => [value || "none", `${text ? text(value) : value} (${n})`]);
const shared = (name) => new Set(dialogues.map((d) => d[name])).size > 1;

const personaFields = [...new Set(dialogues.flatMap((d) => Object.keys(d.persona || {})))];
const personaValue = (d, field) => (d.persona && field in d.persona ? d.persona[field] : null);

inputs.text = el("input", { type: "search", placeholder: "words ( / )", "aria-label": "Words in the dialogue or the task" });
inputs.least = el("input", { type: "number", step: "any", placeholder: "from", "aria-label": "Lowest score" });
inputs.most = el("input", { type: "number", step: "any", placeholder: "to", "aria-label": "Highest score" });
const orders = [["log", "as in the log"], ...(rewards.length ? [["low", "score, low first"], ["high", "score, high first"]] : []), ["long", "most turns first"], ["short", "fewest turns first"]];
if (two) orders.push(["gain", "gain, second − first"], ["loss", "loss, second − first"]);
controls.append(
  el("label", {}, "Find", inputs.text),
  choice("end", "End", withCounts(dialogues.map((d) => d.end), (e) => END[e] || e), "any"),
  el("label", { hidden: !rewards.length }, choice("scored", "Score", [["scored", "scored"], ["unscored", "unscored"]], "any"), inputs.least, inputs.most),
  choice("flag", "Flag", [...withCounts(dialogues.flatMap((d) => [...flagNames(d)])), ["none", "none"]], "any"),
  ...["user", "agent"].map((side) => {
    const label = choice(side, side === "user" ? "Simulator" : "Agent", withCounts(dialogues.map((d) => d[side])), "any");
    label.hidden = !shared(side);
    return label;
  }),
);
const persona = choice("persona", "Persona", personaFields.map((f) => [f, f]), "any");
inputs.personaLeast = el("input", { type: "number", step: "any", placeholder: "from", "aria-label": "Lowest value of the persona's field" });
inputs.personaMost = el("input", { type: "number", step: "any", placeholder: "to", "aria-label": "Highest value of the persona's field" });
inputs.personaIs = el("select", { "aria-label": "Value of the persona's field" });
controls.append(el("label", { hidden: !personaFields.length }, persona, inputs.personaLeast, inputs.personaMost, inputs.personaIs));
if (two) controls.append(choice("pairs", "Pairs", [["both", "in both logs"], ["first", "only in the first"], ["second", "only in the second"]], "all"));
controls.append(choice("order", "Order", orders, null), el("button", { type: "button", onclick: clearFilters }, "Clear"), el("span", { id: "count", role: "status" }));
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("input", () => { showPersonaInputs(); applyFilters(); });
byId("clear").addEventListener("click", clearFilters);

function showPersonaInputs() {
  const field = inputs.persona.value;
  const values = field ? dialogues.map((d) => personaValue(d, field)).filter((v) => v !== null) : [];
  const numeric = values.every((v) => typeof v === "number");
  inputs.personaLeast.hidden = inputs.personaMost.hidden = !field || !numeric;
  inputs.personaIs.hidden = !field || numeric;
  if (inputs.personaIs.dataset.field === field) return;
  inputs.personaIs.dataset.field = field;
  inputs.personaLeast.value = inputs.personaMost.value = "";
  inputs.personaIs.replaceChildren(el("option", { value: "" }, "any"), ...counted(values.map(String)).map(([v, n]) => el("option", { value: v }, `${v} (${n})`)));
}

const within = (value, least, most) =>
  (least === "" && most === "") || (typeof value === "number" && (least === "" || value >= Number(least)) && (most === "" || value <= Number(most)));

const haystacks = new Map();
function haystack(d) {
  if (!haystacks.has(d)) haystacks.set(d, [d.brief, d.id, ...d.messages.map((m) => m.text)].join("\n").toLowerCase());
  return haystacks.get(d);
}
function fits(d) {
  const flags = flagNames(d), wanted = inputs.flag.value, field = inputs.persona.value;
  return (inputs.end.value === "" || (d.end || "none") === inputs.end.value)
    && (inputs.user.value === "" || d.user === inputs.user.value)
    && (inputs.agent.value === "" || d.agent === inputs.agent.value)
    && (inputs.scored.value === "" || (d.reward === null) === (inputs.scored.value === "unscored"))
    && within(d.reward, inputs.least.value, inputs.most.value)
    && (wanted === "" || (wanted === "none" ? flags.size === 0 : flags.has(wanted)))
    && (field === "" || (personaValue(d, field) !== null && within(personaValue(d, field), inputs.personaLeast.value, inputs.personaMost.value)
      && (inputs.personaIs.value === "" || String(personaValue(d, field)) === inputs.personaIs.value)))
    && (inputs.text.value === "" || haystack(d).includes(inputs.text.value.toLowerCase()));
}
function pairFits(item) {
  if (!two || inputs.pairs.value === "") return true;
  const [a, b] = item.sides;
  return { both: a && b, first: a && !b, second: b && !a }[inputs.pairs.value];
}
function ordered(chosen) {
  const order = inputs.order.value;
  const by = (key, sign) => [...chosen].sort((x, y) => {
    const [p, q] = [key(x), key(y)];
    return (p === null) - (q === null) || sign * (p - q) || x.index - y.index;
  });
  const score = (item) => { const known = present(item).map((d) => d.reward).filter((r) => r !== null); return known.length ? known.reduce((a, b) => a + b) / known.length : null; };
  const length = (item) => Math.max(...present(item).map(turns));
  return { low: () => by(score, 1), high: () => by(score, -1), long: () => by(length, -1), short: () => by(length, 1), gain: () => by(difference, -1), loss: () => by(difference, 1) }[order]?.() || chosen;
}

let shown = [];
function applyFilters() {
  // with two logs, a pair fits when one of its dialogues does
  shown = ordered(items.filter((item) => pairFits(item) && present(item).some(fits)));
  byId("list").replaceChildren(...shown.map(listed));
  byId("nothing").hidden = shown.length > 0;
  const scored = shown.flatMap(present).map((d) => d.reward).filter((r) => r !== null);
  const mean = scored.length && !two ? ` · mean reward ${rounded(scored.reduce((a, b) => a + b) / scored.length)}` : "";
  byId("count").textContent = `${shown.length} of ${items.length}${two ? (items.every((i) => i.sides[0] && i.sides[1]) ? " pairs" : " pairs and singles") : ""}${mean}`;
  if (shown.length && !shown.includes(selected)) select(shown[0], false);
  else mark();
  keepAddress();
}
function clearFilters() {
  for (const [name, input] of Object.entries(inputs)) input.value = name === "order" ? "log" : "";
  showPersonaInputs();
  applyFilters();
}

// the list ----------------------------------------------------------------------------------------

function listed(item) {
  if (item.node) return item.node;
  const first = present(item)[0], gap = difference(item);
  const flags = [...new Set(present(item).flatMap((d) => [...flagNames(d)]))];
  const scores = two && rewards.length ? item.sides.map((d, i) => [i ? " → " : "", d ? scoreOf(d) : el("span", { class: "score none" }, "–")]).flat() : rewards.length ? [scoreOf(first)] : [];
  const link = el("a", { href: "#" + hashOf(item), tabindex: "-1" },
    el("div", { class: "row" }, el("span", { class: "small number" }, "#" + present(item).map((d) => d.n).join(" / ")), el("span", { class: "grow" }), ...scores, gap ? el("span", { class: "small number" }, signed(gap)) : null),
    el("div", { class: "goal" }, first.goal || first.messages.find((m) => m.text.trim())?.text || "(nothing said)"),
    el("div", { class: "row small" }, el("span", {}, present(item).map(endName).filter((e, i, all) => all.indexOf(e) === i).join(" / ")), el("span", {}, present(item).map(turns).join(" / ") + (present(item).every((d) => turns(d) === 1) ? " turn" : " turns")), el("span", { class: "grow" }), flags.length ? el("span", { class: "dot" }, "⚑ " + flags.join(", ")) : null));
  link.addEventListener("click", (event) => { event.preventDefault(); select(item, true); });
  item.node = el("li", {}, link);
  return item.node;
}

// one dialogue, or two side by side ----------------------------------------------------------------

let selected = null;
const hashOf = (item) => (item.sides[0] ? "d=" + item.sides[0].n : "e=" + item.sides[1].n);
function keepAddress() {
  // the address holds the dialogue and the filters, so that it can be kept and sent
  const chosen = Object.entries(inputs).filter(([name, input]) => input.value !== "" && !(name === "order" && input.value === "log"));
  const filters = new URLSearchParams(chosen.map(([name, input]) => [name, input.value])).toString();
  history.replaceState(null, "", "#" + [selected ? hashOf(selected) : "", filters].filter(Boolean).join("&"));
}

function select(item, focus) {
  selected = item;
  keepAddress();
  byId("dialogue").replaceChildren(...drawn(item));
  byId("dialogue").scrollTop = 0;
  byId("about").replaceChildren(...about(item));
  byId("about").scrollTop = 0;
  mark();
  if (focus) byId("list").focus({ preventScroll: true });
}
function mark() {
  for (const link of document.querySelectorAll("#list a[aria-current]")) link.removeAttribute("aria-current");
  if (!selected?.node?.isConnected) return;
  selected.node.firstChild.setAttribute("aria-current", "true");
  selected.node.scrollIntoView({ block: "nearest" });
}
function step(by) {
  const at = shown.indexOf(selected) + by;
  if (shown[at]) select(shown[at], false);
}

function drawn(item) {
  const sides = two ? item.sides : [item.sides[0]];
  const first = present(item)[0];
  const bar = el("div", { class: "bar" }, el("h2", { class: "grow goal", title: first.goal }, first.goal || first.env),
    el("span", { class: "small" }, [first.env, first.split].join(" ").trim()),
    present(item).some((d) => d.messages.some((m) => m.metadata && Object.keys(m.metadata).length)) ? el("button", { type: "button", "aria-pressed": String(document.body.classList.contains("laboratory")), title: "what the user simulator noted of each message", onclick: (event) => event.target.setAttribute("aria-pressed", String(document.body.classList.toggle("laboratory"))) }, "metadata") : null,
    el("button", { type: "button", onclick: () => step(-1), title: "k or ↑" }, "previous"), el("button", { type: "button", onclick: () => step(1), title: "j or ↓" }, "next"));
  const grid = el("div", { class: "columns" + (two ? " two" : "") });
  if (two) sides.forEach((d, i) => grid.append(el("div", { class: "who small" }, el("b", {}, data.logs[i].name), d ? ` #${d.n} · user ${d.user}${apart(sides, i, "simulator")} · agent ${d.agent}${apart(sides, i, "policy")}` : "")));
  const length = Math.max(...sides.map((d) => (d ? d.messages.length : 0)));
  let parted = !two || sides.some((d) => !d);
  for (let i = 0; i < length; i++) {
    if (!parted && sides[0].messages[i]?.text !== sides[1].messages[i]?.text) {
      parted = true;
      grid.append(el("div", { class: "parting" }, i ? "from here on they differ" : "they differ from the opening on"));
    }
    for (const d of sides) grid.append(d?.messages[i] ? message(d, i) : d === null && i === 0 ? el("div", { class: "missing" }, "no dialogue on this task in this log") : el("div", {}));
  }
  for (const d of sides) grid.append(d ? el("div", { class: "end" }, ending(d)) : el("div", {}));
  return [bar, grid];
}

function apart(sides, i, which) {
  // where two users or agents go by the same name: the settings that tell them apart
  const [mine, other] = [sides[i], sides[1 - i]].map((d) => (d ? data.identities[d[which]] : null));
  if (!other || mine.name !== other.name) return "";
  const simple = (v) => v === null || typeof v !== "object";
  const found = Object.keys(mine).filter((k) => simple(mine[k]) && mine[k] !== other[k]).map((k) => `${k} ${plain(mine[k])}`);
  return found.length ? ` (${found.slice(0, 3).join(", ")})` : "";
}

function message(d, i) {
  const m = d.messages[i], user = i % 2 === 0, turn = Math.floor((i + 1) / 2);
  const unseen = i === 0 && !m.text.trim() && d.censored.includes("beginning");
  return el("div", { class: "message " + (user ? "user" : "assistant") },
    el("div", { class: "speaker" }, el("b", {}, user ? "user" : "agent"), el("span", { class: "small" }, turn ? "turn " + turn : "opening"),
      m.told.length ? el("span", { class: "chip told" }, "tells " + m.told.join(", ")) : null,
      m.flags.map(([name, why]) => el("span", { class: "chip flag" }, `⚑ ${name}: ${why}`))),
    unseen ? el("div", { class: "text silent" }, "(the beginning was not logged)") : m.text.trim() ? el("div", { class: "text", dir: "auto" }, m.text) : el("div", { class: "text silent" }, "(empty message)"),
    m.metadata && Object.keys(m.metadata).length ? el("pre", { class: "metadata" }, JSON.stringify(m.metadata)) : null);
}
function ending(d) {
  const silent = d.end === "user_stop" && d.messages.length % 2 === 0;
  const how = { user_stop: silent ? "The user left without a word." : "The user ended the dialogue.", turn_limit: "The turn limit was reached.", "": d.censored.includes("end") ? "The log does not show how it ended." : "It is not over." }[d.end] || `Cut off: ${endName(d)}.`;
  return [how, " ", d.reward === null ? "Unscored." : ["Reward ", scoreOf(d), "."], d.failure ? ` ${d.failure}` : ""].flat();
}

// beside it: task, score, persona, where it comes from ------------------------------------------------

function table(head, rows) {
  return el("table", {}, head ? el("thead", {}, el("tr", {}, head.map((h, i) => el("th", { class: i ? "number" : "" }, h)))) : null,
    el("tbody", {}, rows.map((row) => el("tr", { class: row.total ? "total" : "" }, row.cells.map((cell, i) => el("td", { class: i ? "number" : "" }, cell))))));
}
const names = () => data.logs.map((log, i) => (i ? "second" : "first"));
const plain = (value) => (typeof value === "number" ? rounded(value) : value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

function about(item) {
  const sides = two ? item.sides : [item.sides[0]], first = present(item)[0];
  const parts = [el("h3", {}, first.task ? "Task" : first.brief ? "Intent" : "Task"), el("p", { dir: "auto" }, first.brief || "not in the log")];
  if (first.task) parts.push(el("p", { class: "small" }, [first.id, first.family && "family " + first.family, first.level && "level " + first.level].filter(Boolean).join(" · ")));
  if (first.facts.length) {
    const told = (d, name) => { const i = d ? d.messages.findIndex((m) => m.told.includes(name)) : -1; return i < 0 ? "–" : i === 0 ? "opening" : "turn " + Math.floor((i + 1) / 2); };
    parts.push(table(["what the user knows", "", ...(two ? ["told, first", "told, second"] : ["told"])], first.facts.map(([name, value]) => ({ cells: [name, value, ...sides.map((d) => told(d, name))] }))));
  }
  if (first.answer) parts.push(el("h3", {}, "Answer"), el("p", {}, first.answer));
  if (first.target) parts.push(el("h3", {}, "Target text"), el("p", { dir: "auto" }, first.target));
  const metrics = [...new Set(present(item).flatMap((d) => Object.keys(d.metrics)))];
  const scored = present(item).some((d) => d.reward !== null) || metrics.length;
  parts.push(el("h3", {}, "Score"));
  if (scored) parts.push(table(two ? ["", ...names()] : null, [{ total: true, cells: ["reward", ...sides.map((d) => (d ? (d.reward === null ? "unscored" : rounded(d.reward)) : "–"))] }, ...metrics.map((name) => ({ cells: [name, ...sides.map((d) => plain(d?.metrics[name]))] }))]));
  else parts.push(el("p", { class: "small" }, "unscored"));
  const fields = [...new Set(present(item).flatMap((d) => Object.keys(d.persona || {})))];
  parts.push(el("h3", {}, "Persona"));
  if (fields.length) parts.push(table(two ? ["", ...names()] : null, fields.map((f) => ({ cells: [f, ...sides.map((d) => plain(d && personaValue(d, f)))] }))));
  else parts.push(el("p", { class: "small" }, "not known"));
  const ratings = [...new Set(present(item).flatMap((d) => Object.keys(d.ratings)))];
  if (ratings.length) parts.push(el("h3", {}, "Ratings"), table(two ? ["", ...names()] : null, ratings.map((name) => ({ cells: [name, ...sides.map((d) => plain(d?.ratings[name]))] }))));
  sides.forEach((d, i) => { if (d) parts.push(...origin(d, two ? ` (${names()[i]})` : "")); });
  return parts;
}
function origin(d, which) {
  const rows = [["user", d.user], ["agent", d.agent], ["task seed", d.seeds[0]], ["reply seed", d.seeds[1]]];
  return [el("h3", {}, "Where it comes from" + which), table(null, rows.map(([k, v]) => ({ cells: [k, String(v)] }))),
    el("details", {}, el("summary", {}, "identities"), el("pre", {}, JSON.stringify({ simulator: data.identities[d.simulator], policy: data.identities[d.policy] }, null, 1))),
    ...Object.entries(d.fields).flatMap(([name, value]) => [el("h3", { class: "field" }, name), el("p", { dir: "auto" }, plain(value))]),
    Object.keys(d.extra).length ? el("details", {}, el("summary", {}, "all else in the log"), el("pre", {}, JSON.stringify(d.extra, null, 1))) : null].filter(Boolean);
}

// the whole ---------------------------------------------------------------------------------------

function figures() {
  const rows = data.logs.map((log) => [log.name, log.figures]);
  if (two) rows.push(["second − first, in pairs", data.difference]);
  const columns = [...new Set(rows.flatMap(([, figures]) => figures.map(([name]) => name)))];
  const cell = (figures, column) => {
    const found = figures.find(([name]) => name === column);
    return el("td", { title: found?.[2] }, found ? [el("span", {}, two ? "" : column + " "), el("b", {}, found[1])] : "");
  };
  return [el("table", {}, two ? el("thead", {}, el("tr", {}, el("th", {}), columns.map((name) => el("th", {}, name)))) : null,
    el("tbody", {}, rows.map(([name, figures]) => el("tr", {}, two ? el("th", {}, name) : null, columns.map((column) => cell(figures, column))))))];
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing) return;
  const inList = event.target === byId("list") || event.target === document.body;
  if (event.key === "j" || (event.key === "ArrowDown" && inList)) { event.preventDefault(); step(1); }
  if (event.key === "k" || (event.key === "ArrowUp" && inList)) { event.preventDefault(); step(-1); }
  if (event.key === "/") { event.preventDefault(); inputs.text.focus(); }
});
function fromAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const [name, input] of Object.entries(inputs)) {
    input.value = wanted.get(name) ?? (name === "order" ? "log" : "");
    if (name === "persona") showPersonaInputs(); // its values are known only then
  }
  const found = items.find((item) => { const [key, value] = hashOf(item).split("="); return wanted.get(key) === value; });
  if (found) selected = found;
  applyFilters();
  if (found && found === selected) select(found, false);
}
window.addEventListener("hashchange", fromAddress);

document.body.classList.toggle("two", two);
byId("title").textContent = visible(data.title);
byId("figures").replaceChildren(...figures());
fromAddress();
