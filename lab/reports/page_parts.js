const byId = id => document.getElementById(id);

function element(name, attributes = {}, ...inside) {
  const made = name.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) :
    document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

// A table in a box that scrolls by itself where there is no room; a cell is an element, or a text.
function scrollingTable(head, rows) {
  const inside = cell => cell instanceof Node ? cell : String(cell);
  const line = (kind, cells) => element("tr", {}, ...cells.map(cell => element(kind, {}, inside(cell))));
  return element("div", { class: "scroll" },
    element("table", {}, line("th", head), ...rows.map(row => line("td", row))));
}

// As wide as the page is, so that text keeps its size on a phone.
function pageWidth() {
  const padding = parseFloat(getComputedStyle(document.body).paddingLeft);
  return Math.max(280, document.body.clientWidth - 2 * padding);
}

// A number with its sign; what is rounded to nothing has a plus.
function signed(value, digits) {
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? "\u2212" : "+") + text;
}

// Round values between two ends of an axis, about so many. Of a logarithmic one 1, 2 and 5 in each decade.
function axisMarks(low, high, count, logarithmic) {
  const steps = [1, 2, 5];
  if (logarithmic) {
    const marks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const step of steps) marks.push(step * 10 ** power);
    return marks.filter(mark => mark >= low && mark <= high);
  }
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [...steps, 10].find(factor => factor * power >= rough);
  const first = Math.ceil(low / step), last = Math.floor(high / step);
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
}

// What stands beside such a value: without the last digits that its arithmetic leaves.
function markText(mark) {
  return Number(mark.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 12 });
}

// Draw again whenever there is another width.
function drawAgainAtEachWidth(draw) {
  let drawn = pageWidth();
  addEventListener("resize", () => { if (pageWidth() !== drawn) { drawn = pageWidth(); draw(); } });
}
