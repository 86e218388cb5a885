"use strict";
document.documentElement.classList.add("js");
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const text = value => String(value).replace(/[&<>"]/g, c => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})[c]);

/* Filters hide charts, tables and rows; a chart shows the first rows that are left. */
const SHOWN = 6;
const form = document.querySelector(".filters");
const rowFilters = all("select", form).map(one => one.name).filter(name => name !== "trained" && name !== "measured");

function matches(row) {
  const most = parseFloat(form.elements.size.value);
  return rowFilters.every(name => !form.elements[name].value || row.dataset[name] === form.elements[name].value)
    && (isNaN(most) || row.dataset.size <= most * 1e6);
}

function filter() {
  const {trained, measured} = form.elements;
  let shown = 0, rows = 0;
  for (const place of all(".card, section.table[data-trained]")) {
    let left = 0;
    for (const row of all(place.matches(".card") ? "tbody tr" : ".board tbody:first-of-type tr", place)) {
      row.hidden = !matches(row);
      if (!row.hidden) left += 1;
      row.classList.toggle("past", place.matches(".card") && left > SHOWN);
    }
    place.hidden = !left || (trained.value && place.dataset.trained !== trained.value)
      || (measured.value && place.dataset.measured !== measured.value) || false;
    if (place.matches("section")) {
      rows += all(".board tbody:first-of-type tr", place).length;
      if (!place.hidden) shown += left;
    }
  }
  for (const item of all("nav li")) item.hidden = document.getElementById(item.firstChild.hash.slice(1)).hidden;
  form.querySelector("output").textContent = `${shown} of ${rows} rows`;
}
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
filter();

/* One group of columns at a time. */
for (const section of all("section.table[data-trained]")) {
  const choice = section.querySelector(".groups");
  const show = group => all("[data-g]", section).forEach(cell => { cell.hidden = cell.dataset.g !== group; });
  choice.hidden = false;
  choice.addEventListener("change", event => show(event.target.value));
  show("0");
}

/* Sorting: by value, rows without one last; numbers from high to low first, ranks and words from low to high. */
for (const table of all(".board:not(.published)")) {
  const heads = all("thead th", table);
  heads.forEach((head, place) => {
    const words = head.querySelector(".sort") || head;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words.textContent;
    words.replaceChildren(button);
    button.addEventListener("click", () => {
      const key = row => place ? row.children[place].dataset.k : row.children[0].firstChild.textContent;
      const rows = [...table.tBodies[0].rows];
      const numeric = rows.every(row => key(row) === "" || !isNaN(key(row)));
      const first = numeric && place > 1 ? "descending" : "ascending";
      const next = head.getAttribute("aria-sort") === first ? (first === "ascending" ? "descending" : "ascending") : first;
      heads.forEach(one => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (numeric ? x - y : x.localeCompare(y, "en"));
      });
      table.tBodies[0].append(...rows);
    });
  });
}

/* A link to something inside a closed panel opens it. */
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
document.addEventListener("click", event => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) reveal();
});
reveal();

/* A against B: the values of every query, and the test of the pair as the table made it. */
const decode = coded => Array.from({length: coded.length / 2}, (_, i) => parseInt(coded.substr(2 * i, 2), 36) / 1000);
const points = (value, sign = "") => (value > 0 ? sign : "") + (value / 10).toFixed(1);

function label(data, i) {
  if (data.unit === "group") return `group ${data.groups[i]}`;
  let set = 0, left = i;
  for (; left >= data.counts[set]; set += 1) left -= data.counts[set];
  return `${data.sets[set]} query ${data.numbers.length ? data.numbers[i] : left} (group ${data.groups[i]})`;
}

function testWords(data, a, b) {
  const [low, high] = a < b ? [a, b] : [b, a];
  let [difference, from, to, p] = data.tests[high][low];
  if (a > b) [difference, from, to] = [-difference, -to, -from];
  const verdict = p < 50 ? (difference > 0 ? "B is better" : "A is better") : "a tie: no test tells them apart";
  return `B − A: ${points(difference, "+")} points [${points(from, "+")}, ${points(to, "+")}], p ${p ? (p / 1000).toFixed(3) : "< 0.001"} after Holm's correction: ${verdict}.`;
}

function changeTable(title, data, x, y, order) {
  const rows = order.map(i => `<tr><th scope="row">${text(label(data, i))}</th><td>${(100 * x[i]).toFixed(1)}</td><td>${(100 * y[i]).toFixed(1)}</td><td>${points(1000 * (y[i] - x[i]), "+")}</td></tr>`);
  return `<table><caption>${title}</caption><thead><tr><th scope="col">${data.unit}</th><th scope="col">A</th><th scope="col">B</th><th scope="col">B − A</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

function pictureLink(data, a, b) {
  const at = (data.pictures || {})[`${Math.min(a, b)}-${Math.max(a, b)}`];
  return at ? `<p><a href="${text(at)}">Pictures of what these two rows find</a></p>` : "";
}

function versus(place) {
  const data = JSON.parse(place.querySelector("script").textContent);
  const [first, second] = all("select", place);
  const options = data.titles.map((title, i) => `<option value="${i}">${text(title)}</option>`).join("");
  first.innerHTML = second.innerHTML = options;
  second.value = 1;
  place.querySelector(".unit").textContent = data.unit;
  const draw = () => {
    const [a, b] = [+first.value, +second.value];
    const [x, y] = [decode(data.values[a]), decode(data.values[b])];
    const gain = x.map((value, i) => Math.round(1000 * (y[i] - value)));
    const order = gain.map((_, i) => i).sort((i, j) => gain[j] - gain[i] || i - j);
    const up = gain.filter(one => one > 0).length, down = gain.filter(one => one < 0).length;
    const units = data.unit === "query" ? "queries" : "groups";
    place.querySelector(".verdict").textContent = a === b ? "Choose two different rows."
      : `${testWords(data, a, b)} ${up} ${units} gain, ${down} lose, ${gain.length - up - down} are equal.`;
    const at = value => 10 + 300 * value;
    place.querySelector("svg").innerHTML = '<path class="rule" d="M10 310L310 10"/>' + x.map((value, i) =>
      `<circle class="${gain[i] > 0 ? "up" : ""}" cx="${at(value).toFixed(1)}" cy="${(320 - at(y[i])).toFixed(1)}" r="4"><title>${text(label(data, i))}: A ${(100 * value).toFixed(1)}, B ${(100 * y[i]).toFixed(1)}</title></circle>`).join("");
    place.querySelector("svg").setAttribute("aria-label", `${data.titles[a]} to the right, ${data.titles[b]} upwards: ${up} ${units} above the diagonal, ${down} below`);
    place.querySelector(".changes").innerHTML =
      changeTable("Largest gains of B", data, x, y, order.filter(i => gain[i] > 0).slice(0, 5))
      + changeTable("Largest losses of B", data, x, y, order.filter(i => gain[i] < 0).slice(-5).reverse())
      + pictureLink(data, a, b);
  };
  first.addEventListener("change", draw);
  second.addEventListener("change", draw);
  draw();
}
for (const place of all("details.versus")) {
  place.hidden = false;
  place.addEventListener("toggle", () => { if (place.open && !place.dataset.ready) { place.dataset.ready = "1"; versus(place); } });
}
