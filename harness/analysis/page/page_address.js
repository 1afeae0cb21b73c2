// The address of a view: "#cells&method=lora&q=text". Filters replace the entry of the history, links add one.
"use strict";
const page = { boot: JSON.parse(document.getElementById("boot").textContent), sections: {}, rows: null };

page.read = () => {
  const words = new URLSearchParams(location.hash.slice(1));
  const [name, value] = words.entries().next().value || ["verdicts", ""];
  return { name, value, words };
};
page.go = (name, value = "", words = {}) => {
  const parts = new URLSearchParams([[name, value], ...Object.entries(words).filter(([, text]) => text)]);
  location.hash = parts.toString().replace(/^([^=&]+)=(?=&|$)/, "$1");
};
page.set = (changes) => {
  const words = page.read().words;
  for (const [name, text] of Object.entries(changes)) text ? words.set(name, text) : words.delete(name);
  history.replaceState(null, "", "#" + words.toString().replace(/^([^=&]+)=(?=&|$)/, "$1"));
  page.keep();
};
page.make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};
page.choice = (name, label, choices, value, all = "all") => {
  const options = choices.map((choice) => {
    const [text, title] = Array.isArray(choice) ? choice : [choice, choice];
    return page.make("option", { value: text, selected: text === value }, title);
  });
  if (all !== null) options.unshift(page.make("option", { value: "" }, all));
  return page.make("label", {}, label, page.make("select", { name }, ...options));
};
page.tick = (name, label, on) => page.make("label", { class: "tick" }, page.make("input", { type: "checkbox", name, checked: on }), label);
page.trouble = (text) => {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = false;
};
// A link of the navigation keeps the filters of the cells, so that Explore, Curves and Cells show the same ones.
page.SHARED = ["group", "method", "model", "task", "status", "q", "keys"];
page.keep = () => {
  const words = page.read().words;
  const shared = page.SHARED.filter((name) => words.get(name)).map((name) => [name, words.get(name)]);
  for (const link of document.querySelectorAll("nav a")) {
    const name = link.dataset.section;
    const query = new URLSearchParams(shared).toString();
    link.href = "#" + name + (query && ["explore", "curves", "cells"].includes(name) ? "&" + query : "");
  }
};
page.show = async () => {
  const { name, value, words } = page.read();
  let view = name === "claim" ? "verdicts" : name;
  if (view === "exhibit" && ![...document.querySelectorAll("article")].some((each) => each.dataset.exhibit === value)) {
    page.trouble(`This page has no exhibit ${value}.`);
    view = "exhibits";
  }
  const known = [...document.querySelectorAll("[data-name]")].some((each) => each.dataset.name.split(" ").includes(view));
  if (!known && view !== "exhibit") view = "verdicts";
  for (const each of document.querySelectorAll("[data-name]")) each.hidden = !each.dataset.name.split(" ").includes(view);
  for (const each of document.querySelectorAll("article")) each.hidden = !(view === "exhibit" && each.dataset.exhibit === value);
  const tab = { exhibit: "exhibits", cell: "cells", compare: "cells" }[view] || view;
  for (const link of document.querySelectorAll("nav a")) {
    link.dataset.section === tab ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  page.keep();
  try {
    if (page.sections[view]) await page.sections[view](value, words);
  } catch (error) {
    page.trouble(error.message);
    if (!error.expected) console.error(error);
  }
};
// A row of the page by the beginning of its key; ".2" behind it names the second attempt, ".reference" our own run.
page.find = (text) => {
  const [key, part] = text.split(".");
  const found = page.rows.filter((row) => row.key.startsWith(key) && (part === undefined ? row.counts : row.origin ? row.origin === part : String(row.attempt) === part));
  return key.length >= 4 && found.length ? found[0] : null;
};
page.navigate = (top = 0) => {
  document.getElementById("trouble").hidden = true;
  return page.show().then(() => {
    if (top || !["verdicts", "claim"].includes(page.read().name)) window.scrollTo(0, top);
  });
};
