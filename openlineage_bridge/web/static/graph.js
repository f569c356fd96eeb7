// Draws the lineage around a node as SVG: datasets and jobs in layers, data flowing from left to right.
// The list on the page says the same; everything that came with an event is set as text.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 220, HEIGHT = 46, GAP_X = 70, GAP_Y = 16, MARGIN = 20, LETTERS = 25;
const WORDS = { RUNNING: "running", COMPLETE: "complete", FAIL: "failed", ABORT: "aborted" };

/** The edges as lists of neighbours, without those that lead to nodes we do not have. */
export function neighbours(graph) {
  const up = {}, down = {};
  for (const id of Object.keys(graph.nodes)) { up[id] = []; down[id] = []; }
  for (const [from, to] of graph.edges) {
    if (from in down && to in up && from !== to) { down[from].push(to); up[to].push(from); }
  }
  return { up, down };
}

/** The edges that close a cycle, as "from to": layering has to ignore them. */
export function closing(down) {
  const found = new Set(), state = {};
  for (const root of Object.keys(down)) {
    if (state[root]) continue;
    const stack = [[root, 0]];
    state[root] = "open";
    while (stack.length) {
      const top = stack[stack.length - 1];
      const next = down[top[0]][top[1]++];
      if (next === undefined) { state[top[0]] = "done"; stack.pop(); }
      else if (state[next] === "open") found.add(`${top[0]} ${next}`);
      else if (!state[next]) { state[next] = "open"; stack.push([next, 0]); }
    }
  }
  return found;
}

/** A layer number for every node: right of everything it is made from, and as near to that as its readers allow. */
export function layering({ up, down }) {
  const back = closing(down), layer = {}, open = {}, queue = [];
  for (const id of Object.keys(up)) {
    layer[id] = 0;
    open[id] = up[id].filter((from) => !back.has(`${from} ${id}`)).length;
    if (!open[id]) queue.push(id);
  }
  for (const id of queue) {
    for (const to of down[id]) {
      if (back.has(`${id} ${to}`)) continue;
      layer[to] = Math.max(layer[to], layer[id] + 1);
      if (!--open[to]) queue.push(to);
    }
  }
  // A source moves right, next to its first reader, so that its edges are short.
  for (const id of queue.slice().reverse()) {
    const right = down[id].filter((to) => !back.has(`${id} ${to}`)).map((to) => layer[to]);
    if (right.length && !up[id].length) layer[id] = Math.min(...right) - 1;
  }
  return layer;
}

/** The nodes of every layer from top to bottom, with few crossings: each goes to the middle of its neighbours. */
export function ordering(graph, links, layer) {
  const byLayer = [];
  const ids = Object.keys(graph.nodes).sort((a, b) => graph.nodes[a].name.localeCompare(graph.nodes[b].name));
  for (const id of ids) (byLayer[layer[id]] ??= []).push(id);
  const rows = byLayer.filter(Boolean);
  const place = {};
  const number = (row) => row.forEach((id, index) => { place[id] = index - row.length / 2; });
  rows.forEach(number);
  for (let sweep = 0; sweep < 8; sweep++) {
    const side = sweep % 2 ? links.down : links.up;
    for (const row of sweep % 2 ? rows.slice().reverse() : rows) {
      const middle = {};
      for (const id of row) {
        const near = side[id].map((other) => place[other]);
        middle[id] = near.length ? near.reduce((sum, at) => sum + at, 0) / near.length : place[id];
      }
      row.sort((a, b) => middle[a] - middle[b]);
      number(row);
    }
  }
  return rows;
}

function element(name, attributes = {}, text = undefined) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function address(node, figure) {
  const query = new URLSearchParams({ node, depth: figure.dataset.depth });
  if (figure.dataset.text) query.set("q", figure.dataset.text);
  return `?${query}`;
}

/** The end of a long name says more than its beginning. */
const short = (text) => (text.length > LETTERS ? `…${text.slice(1 - LETTERS)}` : text);

function drawNode(node, at, graph, figure) {
  const word = WORDS[node.state] ?? "";
  const link = element("a", { href: address(node.id, figure) });
  link.setAttribute("class", `node ${node.kind === "job" ? "job" : "dataset"} ${word} ${node.id === graph.focus ? "focus" : ""}`);
  link.setAttribute("aria-label", `${node.kind} ${node.name} in ${node.namespace} ${word}`);
  const box = { class: "box", x: at.x, y: at.y, width: WIDTH, height: HEIGHT, rx: node.kind === "job" ? 22 : 5 };
  const hidden = node.more_upstream + node.more_downstream;
  const small = [word || node.namespace, hidden ? `${hidden} more` : ""].filter(Boolean).join(" · ");
  link.append(
    element("title", {}, `${node.name}\n${node.namespace}`),
    element("rect", box),
    element("text", { x: at.x + 14, y: at.y + 20 }, short(node.name)),
    element("text", { class: "small", x: at.x + 14, y: at.y + 36 }, short(small)),
  );
  return link;
}

function drawEdge(from, to, floor) {
  if (to.x <= from.x) { // it closes a cycle: back below everything
    const x1 = from.x + WIDTH / 2, x2 = to.x + WIDTH / 2;
    const d = `M${x1},${from.y + HEIGHT} C${x1},${floor} ${x2},${floor} ${x2},${to.y + HEIGHT + 5}`;
    return element("path", { class: "edge back", "marker-end": "url(#tip)", d });
  }
  const x1 = from.x + WIDTH, y1 = from.y + HEIGHT / 2, x2 = to.x - 5, y2 = to.y + HEIGHT / 2;
  const bend = Math.max(GAP_X / 2, Math.abs(x2 - x1) / 2);
  return element("path", {
    class: "edge", "marker-end": "url(#tip)",
    d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`,
  });
}

/** While a node has the pointer or the focus, everything that it is made from and that is made from it stands out. */
function trace(svg, links, drawn, edges) {
  const reach = (side, start) => {
    const seen = new Set([start]);
    for (const id of seen) side[id].forEach((other) => seen.add(other));
    return seen;
  };
  const show = (id) => {
    const up = reach(links.up, id), down = reach(links.down, id);
    svg.classList.add("tracing");
    for (const [other, shape] of Object.entries(drawn)) shape.classList.toggle("on", up.has(other) || down.has(other));
    for (const [from, to, shape] of edges) {
      shape.classList.toggle("on", (up.has(from) && up.has(to)) || (down.has(from) && down.has(to)));
    }
  };
  const hide = () => svg.classList.remove("tracing");
  for (const [id, shape] of Object.entries(drawn)) {
    for (const event of ["pointerenter", "focus"]) shape.addEventListener(event, () => show(id));
    for (const event of ["pointerleave", "blur"]) shape.addEventListener(event, hide);
  }
}

export function draw(graph, figure) {
  const links = neighbours(graph), layer = layering(links), rows = ordering(graph, links, layer);
  const tallest = Math.max(...rows.map((row) => row.length));
  const width = 2 * MARGIN + rows.length * (WIDTH + GAP_X) - GAP_X;
  const cyclic = closing(links.down).size > 0;
  const height = 2 * MARGIN + tallest * (HEIGHT + GAP_Y) - GAP_Y + (cyclic ? 2 * HEIGHT : 0);
  const at = {};
  rows.forEach((row, column) => row.forEach((id, index) => {
    const top = MARGIN + (tallest - row.length) * (HEIGHT + GAP_Y) / 2;
    at[id] = { x: MARGIN + column * (WIDTH + GAP_X), y: top + index * (HEIGHT + GAP_Y) };
  }));
  const svg = element("svg", { class: "lineage", width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  svg.setAttribute("aria-label", "Lineage graph; the lists below say the same");
  const tip = element("marker", { id: "tip", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" });
  tip.append(element("path", { class: "tip", d: "M0,0 L8,4 L0,8 z" }));
  svg.append(tip);
  const edges = graph.edges.filter(([from, to]) => at[from] && at[to]).map(([from, to]) => [from, to, drawEdge(at[from], at[to], height)]);
  const drawn = {};
  for (const [, , shape] of edges) svg.append(shape);
  for (const row of rows) for (const id of row) svg.append((drawn[id] = drawNode(graph.nodes[id], at[id], graph, figure)));
  trace(svg, links, drawn, edges);
  figure.append(svg);
  const focus = at[graph.focus];
  figure.scrollTo(focus.x - (figure.clientWidth - WIDTH) / 2, focus.y - (figure.clientHeight - HEIGHT) / 2);
}

async function show(figure) {
  const caption = figure.querySelector("figcaption");
  figure.hidden = false;
  try {
    const query = new URLSearchParams({ node: figure.dataset.node, depth: figure.dataset.depth });
    const answer = await fetch(`api/v1/graph?${query}`);
    const graph = await answer.json();
    if (!answer.ok) throw new Error(graph.error);
    draw({ ...graph, nodes: Object.fromEntries(graph.nodes.map((node) => [node.id, node])) }, figure);
    caption.textContent = "Data flows from left to right. Boxes are datasets, rounded ones are jobs; choose one to see what is around it.";
  } catch (error) {
    caption.textContent = `The graph could not be drawn (${error.message}); the lists below are complete.`;
  }
}

if (typeof document !== "undefined") {
  document.querySelectorAll("#graph").forEach(show);
  // Choosing a number is enough once there is a script.
  document.querySelectorAll("#depth").forEach((choice) => choice.addEventListener("change", () => choice.form.submit()));
}
