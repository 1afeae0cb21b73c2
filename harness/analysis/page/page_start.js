// Verdicts and exhibits, whose tables are in the page; copy buttons; what runs now, where a server shows the page.
page.sections.verdicts = (value, words) => {
  const form = document.getElementById("claim-filters");
  if (!form) return;
  for (const select of form.querySelectorAll("select")) select.value = words.get(select.name) || "";
  const filter = () => {
    let count = 0;
    for (const row of document.querySelectorAll("#claims tbody tr")) {
      row.hidden = [...form.querySelectorAll("select")].some((select) => select.value && row.dataset[select.name] !== select.value);
      count += !row.hidden;
    }
    document.getElementById("claim-count").textContent = `${count} claim${count === 1 ? "" : "s"}`;
  };
  form.onsubmit = (event) => event.preventDefault();
  form.oninput = (event) => { page.set({ [event.target.name]: event.target.value }); filter(); };
  filter();
  for (const row of document.querySelectorAll("#claims tr.chosen")) row.classList.remove("chosen");
  const chosen = page.read().name === "claim" && document.getElementById(`claim=${value}`);
  if (chosen) {
    chosen.classList.add("chosen");
    chosen.scrollIntoView({ block: "center" });
  }
};
for (const button of document.querySelectorAll("#claims [data-sort]")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), at = [...head.parentNode.children].indexOf(head), up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = document.querySelector("#claims tbody"), text = (row) => row.children[at].textContent.trim();
    const number = (row) => parseFloat(text(row)) || Infinity;
    const order = at === 5 ? (a, b) => number(a) - number(b) : (a, b) => text(a).localeCompare(text(b));
    body.append(...[...body.children].sort((a, b) => (up ? 1 : -1) * order(a, b)));
  });
}
// Figures and tables to save are packed together, and unpacked when the first of them is needed.
page.file = async (name) => {
  page.files = page.files || page.unpack(document.getElementById("files").textContent);
  return (await page.files)[name];
};
page.sections.exhibit = async () => {
  for (const image of document.querySelectorAll("article:not([hidden]) img[data-drawn]")) {
    image.src = "data:image/svg+xml," + encodeURIComponent(await page.file(image.dataset.drawn));
    image.removeAttribute("data-drawn");
  }
};
// Half a surrogate pair, which a text of a record may have, cannot stand in an address.
page.whole = (text) => text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
page.save = (name, text) => page.make("a", { href: "data:text/plain;charset=utf-8," + encodeURIComponent(page.whole(text)), download: name }).click();
for (const link of document.querySelectorAll("[data-file]")) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      page.save(link.dataset.file, await page.file(link.dataset.file));
    } catch (error) {
      page.trouble(error.message);
    }
  });
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = button.parentNode.querySelector("code"), range = document.createRange();
  range.selectNodeContents(code);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Selected";
  }
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main-content").focus();
});
// The page of `deltabench view` looks every few seconds at what runs, and loads itself again once there are new results.
// The new page is scrolled to where the reader was. A reader who types or has selected cells chooses the moment.
const SCROLLED = "deltabench-scrolled";
page.again = () => {
  sessionStorage.setItem(SCROLLED, String(window.scrollY));
  location.reload();
};
page.scrolled = () => {
  const top = page.boot.live ? Number(sessionStorage.getItem(SCROLLED)) || 0 : 0;
  if (page.boot.live) sessionStorage.removeItem(SCROLLED);
  return top;
};
page.watch = async () => {
  const place = document.getElementById("live");
  try {
    const text = await (await fetch("progress.json", { cache: "no-store" })).text(), news = JSON.parse(text);
    place.hidden = false;
    // What has not changed stays: a button keeps its focus, and a screen reader reads no line twice.
    if (text !== page.news) place.replaceChildren(page.make("span", {}, news.line, " "), ...(news.cells ? [page.make("progress", { max: news.cells, value: news.ended, "aria-label": "cells that have ended" })] : []),
      ...news.failures.map((failure) => page.make("div", { class: "small" }, page.make("span", { class: `status ${failure.status}` }, failure.status), ` ${failure.name}: ${failure.reason}`)));
    page.news = text;
    if (news.version !== page.boot.version) {
      const typing = document.activeElement && ["INPUT", "SELECT"].includes(document.activeElement.tagName);
      const selecting = page.table && page.table.getSelectedData().length;
      if (!typing && !selecting) page.again();
      else if (!place.querySelector("button")) place.append(page.make("button", { type: "button", onclick: page.again }, "Show the new results"));
    }
  } catch {
    page.news = null;
    place.hidden = false;
    place.textContent = "The server of this page has ended; what is shown stays as it is.";
  } finally {
    setTimeout(page.watch, page.boot.every * 1000);
  }
};
window.addEventListener("hashchange", () => page.navigate());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.show());
page.navigate(page.scrolled());
if (page.boot.live) page.watch();
