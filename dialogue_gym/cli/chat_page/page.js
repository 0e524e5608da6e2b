"use strict";
// One dialogue of one tab. Its id lives in this script alone, so that no two tabs can share one.

const $ = (id) => document.getElementById(id);
const OTHER = { user: "agent", agent: "user" };
const RETRY_MS = 2000;
let about = null;
let chat = null; // { id, and the server's state }
let waitingSince = 0;
const touch = matchMedia("(pointer: coarse)").matches;
const narrow = matchMedia("(max-width: 40rem)").matches;

async function call(path, body, options = {}) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, body === undefined ? options : { ...post, ...options });
  const data = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(data.error || answer.statusText), { status: answer.status });
  return data;
}

function explain(message) {
  $("error").textContent = message;
  $("error").hidden = !message;
}

// shown as text always: what is said can never become part of the page
function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

async function start() {
  about = await call("api/about");
  $("env").textContent = about.env;
  $("log").textContent = about.log;
  $("intro").textContent = about.role === "user"
    ? "You will talk with a computer program, the agent. You get something to find out or to have written, and ask for it in your own words."
    : "You will talk with a user, who wants something from you: you are the agent.";
  for (let i = 1; i <= 5; i++) {
    const label = element("label", String(i));
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "rating", value: i });
    input.addEventListener("change", () => { $("save").disabled = false; });
    label.append(input);
    $("ratings").append(label);
  }
  $("keys").textContent = touch ? "" : "Enter sends, Shift+Enter makes a new line";
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    if (event.ctrlKey || event.metaKey || (!touch && !event.shiftKey)) {
      event.preventDefault();
      say(false);
    }
  });
  askForConsent();
}

function askForConsent() {
  chat = null;
  explain("");
  $("chat").hidden = true;
  $("consent").hidden = false;
  $("turn").textContent = "";
  $("agree").focus();
}

async function begin(consent) {
  $("agree").disabled = $("decline").disabled = true;
  try {
    chat = { consent, ...await call("api/chats", { consent }) };
  } catch (error) {
    return explain(trouble(error));
  } finally {
    $("agree").disabled = $("decline").disabled = false;
  }
  explain("");
  $("messages").replaceChildren();
  $("brief-text").replaceChildren();
  $("text").value = "";
  $("end").reset();
  $("brief").open = true;
  $("consent").hidden = true;
  $("chat").hidden = false;
  show(chat);
  follow(chat.id);
}

// asks for the state again and again; also tells the server that the page is there
async function follow(id) {
  while (chat && chat.id === id && !chat.done) {
    try {
      const state = await call(`api/chats/${id}?after=${chat.version}`);
      if (!chat || chat.id !== id) return;
      explain(state.stopping ? "The server is being stopped; what was said is not lost." : state.trouble);
      if (state.stopping) await pause(RETRY_MS);
      show(state);
    } catch (error) {
      if (!chat || chat.id !== id) return;
      explain(trouble(error));
      if (error.status === 404) return finish("It ended here.");
      await pause(RETRY_MS);
    }
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function trouble(error) {
  return error.status ? error.message : "The server does not answer; trying again.";
}

function show(state) {
  if (state.version < chat.version) return; // an older answer that came late
  chat = { ...chat, ...state };
  showBrief();
  const news = showMessages();
  const over = Boolean(chat.over) || chat.done;
  const yours = chat.your_turn && !over;
  const agentSpoke = chat.messages.some((message) => message.role === "assistant");
  $("form").hidden = over;
  $("text").disabled = $("send").disabled = $("stop").disabled = !yours;
  $("stop").hidden = about.role !== "user" || !agentSpoke;
  $("waiting").hidden = yours || over;
  $("turn").textContent = over ? "over" : yours ? "your turn" : `the ${OTHER[about.role]}'s turn`;
  document.title = yours && document.hidden ? "(1) dialogue-gym" : "dialogue-gym";
  if (yours) waitingSince = 0;
  else if (!over && !waitingSince) { waitingSince = Date.now(); tick(); }
  $("end").hidden = !chat.over || chat.done;
  // a keyboard that opens by itself would hide the answer
  if (yours && news && !(touch && agentSpoke)) $("text").focus();
  if (news) scrollDown();
  if (chat.done) finish("");
  else if (chat.over && !chat.ended) {
    chat.ended = true;
    $("ending").textContent = `${chat.over[0].toUpperCase()}${chat.over.slice(1)}.`;
    $("save").disabled = true;
    $("end-title").focus();
    scrollDown();
  }
}

function showBrief() {
  const mine = about.role === "agent";
  const [wish, ...points] = mine ? [about.agent_brief] : chat.brief;
  if (wish === undefined || $("brief-text").childElementCount) return;
  $("brief-title").textContent = mine ? "Your part" : about.kind === "math" ? "Your problem" : "You want this written";
  $("brief-text").append(element("p", wish));
  if (points.length) {
    const list = document.createElement("ul");
    list.append(...points.map((point) => element("li", point)));
    $("brief-text").append(list);
  }
  $("brief-hint").textContent = mine ? "" : "Only you see this. Ask the agent in your own words, as you would in life; end the dialogue when you are content, or have had enough.";
  $("brief-hint").hidden = mine;
  $("text-label").textContent = mine ? "Your message to the user" : "Your message to the agent";
}

// returns whether there is something new for the person to see or to do
function showMessages() {
  const own = about.role === "user" ? "user" : "assistant";
  const shown = $("messages").childElementCount;
  const first = chat.your_turn && !chat.begun;
  if (chat.your_turn) chat.begun = true;
  for (const message of chat.messages.slice(shown)) {
    const item = element("li", "", message.role === own ? "mine" : "theirs");
    const name = message.role === own ? "You" : about.role === "user" ? "Agent" : "User";
    item.append(element("b", name), element("span", message.content));
    $("messages").append(item);
  }
  if (chat.messages.some((message) => message.role === own)) tidyBrief();
  return first || chat.messages.length > shown;
}

// it has been read by now: the hint goes, and on a phone the messages need the room
function tidyBrief() {
  if (chat.tidied) return;
  chat.tidied = true;
  $("brief-hint").hidden = true;
  if (narrow) $("brief").open = false;
}

function scrollDown() {
  window.scrollTo(0, document.body.scrollHeight);
}

function tick() {
  if (!waitingSince || $("waiting").hidden) return;
  const seconds = Math.round((Date.now() - waitingSince) / 1000);
  const who = `The ${OTHER[about.role]} is writing`;
  $("waiting-text").textContent = seconds < 4 ? `${who} …`
    : `${who} … ${seconds} s. ${seconds < 20 ? "" : "This takes a while; you can wait here, nothing is lost."}`;
  setTimeout(tick, 1000);
}

async function say(stop) {
  const text = $("text").value;
  if (!chat || !chat.your_turn || (!stop && !text.trim())) return $("text").focus();
  $("send").disabled = $("stop").disabled = true;
  try {
    const state = await call(`api/chats/${chat.id}/say`, { text, stop });
    $("text").value = ""; // only now: what could not be sent stays
    explain("");
    show(state);
  } catch (error) {
    explain(trouble(error));
    $("send").disabled = $("stop").disabled = !chat.your_turn;
  }
}

async function rate(rating) {
  try {
    show(await call(`api/chats/${chat.id}/rate`, { rating }));
  } catch (error) {
    explain(trouble(error));
  }
}

function finish(why) {
  chat.done = true;
  $("form").hidden = $("waiting").hidden = $("end").hidden = true;
  $("turn").textContent = "over";
  const kept = why || (chat.kept ? "The dialogue is kept." : chat.consent ? "" : "Nothing of it was kept.");
  $("bye-text").textContent = [chat.verdict, kept].filter(Boolean).join(" ");
  if (chat.trouble) explain(chat.trouble);
  $("bye").hidden = false;
  $("bye-title").focus();
  scrollDown();
}

$("agree").addEventListener("click", () => begin(true));
$("decline").addEventListener("click", () => begin(false));
$("form").addEventListener("submit", (event) => { event.preventDefault(); say(false); });
$("stop").addEventListener("click", () => say(true));
$("skip").addEventListener("click", () => rate(null));
$("end").addEventListener("submit", (event) => {
  event.preventDefault();
  const rating = new FormData($("end")).get("rating");
  if (rating !== null) rate(Number(rating));
});
$("again").addEventListener("click", () => { $("bye").hidden = true; askForConsent(); });

addEventListener("beforeunload", (event) => {
  if (chat && !chat.done && chat.messages.length) event.preventDefault();
});
addEventListener("pagehide", (event) => {
  // a page that the browser may bring back has not left; if it never does, the server notices
  if (chat && !chat.done && !event.persisted) {
    call(`api/chats/${chat.id}/leave`, {}, { keepalive: true }).catch(() => {});
  }
});
document.addEventListener("visibilitychange", () => { document.title = "dialogue-gym"; });

start().catch((error) => explain(trouble(error)));
