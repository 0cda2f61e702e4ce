"use strict";
(() => {
  const g = JSON.parse(document.getElementById("data").textContent);
  const by = id => document.getElementById(id);
  const svg = by("graph"), NS = "http://www.w3.org/2000/svg";
  const cell = [76, 64], box = [60, 24];
  const order = g.links.map((_, i) => i).sort((a, b) => Math.abs(g.links[b].score) - Math.abs(g.links[a].score) || a - b);

  // the n links of largest |score| less those of nodes that nothing enters or leaves
  function pruned(n) {
    let links = order.slice(0, n).sort((a, b) => a - b);
    for (;;) {
      const into = g.nodes.map(v => !!v.root), out = g.nodes.map(v => !!v.sink);
      for (const l of links) { out[g.links[l].from] = true; into[g.links[l].to] = true; }
      const ok = v => into[v] && out[v];
      const left = links.filter(l => ok(g.links[l].from) && ok(g.links[l].to));
      if (left.length === links.length) break;
      links = left;
    }
    const used = new Set();
    for (const l of links) { used.add(g.links[l].from); used.add(g.links[l].to); }
    return { links, nodes: [...used].sort((a, b) => a - b) };
  }

  function layout(nodes) {
    const rows = new Map();
    for (const v of nodes) { const r = g.nodes[v].row; if (!rows.has(r)) rows.set(r, []); rows.get(r).push(v); }
    const keys = [...rows.keys()].sort((a, b) => a - b);
    const widest = Math.max(1, ...keys.map(r => rows.get(r).length));
    const w = widest * cell[0], h = Math.max(keys.length, 1) * cell[1], at = new Map();
    keys.forEach((r, i) => {
      const list = rows.get(r).sort((a, b) => g.nodes[a].column - g.nodes[b].column || a - b);
      list.forEach((v, j) => at.set(v, [(w - list.length * cell[0]) / 2 + (j + .5) * cell[0], h - (i + .5) * cell[1]]));
    });
    return { at, w, h };
  }

  const make = (name, attrs, parent) => {
    const e = document.createElementNS(NS, name);
    for (const k in attrs) e.setAttribute(k, attrs[k]);
    parent.appendChild(e);
    return e;
  };

  let view = null, size = [1, 1], chosen = -1, shown = { links: [], nodes: [] };
  const look = () => svg.setAttribute("viewBox", view.join(" "));
  const reset = () => { view = [-20, -20, size[0] + 40, size[1] + 40]; look(); };

  function draw(n) {
    shown = pruned(n);
    const { at, w, h } = layout(shown.nodes);
    size = [w, h];
    by("links").replaceChildren();
    by("boxes").replaceChildren();
    const most = Math.max(...shown.links.map(l => Math.abs(g.links[l].score)), 1e-300);
    for (const i of shown.links) {
      const l = g.links[i], [x1, y1] = at.get(l.from), [x2, y2] = at.get(l.to), share = Math.sqrt(Math.abs(l.score) / most);
      const a = y1 - box[1] / 2, b = y2 + box[1] / 2, bend = Math.max(20, Math.abs(a - b) / 2);
      const side = 24 * Math.min(Math.abs(y1 - y2) / cell[1] - 1, 4); // links past other rows go round their boxes
      const p = make("path", { d: `M${x1},${a}C${x1 + side},${a - bend} ${x2 + side},${b + bend} ${x2},${b}`, class: l.score < 0 ? "negative" : "positive",
        "stroke-width": (.6 + 4 * share).toFixed(2), opacity: (.25 + .7 * share).toFixed(2) }, by("links"));
      p.dataset.from = l.from; p.dataset.to = l.to;
      make("title", {}, p).textContent = `${g.nodes[l.from].label} → ${g.nodes[l.to].label}${l.label ? " " + l.label : ""}: ${l.score.toPrecision(4)}` +
        (l.inclusion === undefined ? "" : `, in ${(100 * l.inclusion).toFixed(0)} % of resamples`);
    }
    for (const v of shown.nodes) {
      const [x, y] = at.get(v), node = g.nodes[v];
      const e = make("g", { class: "box " + node.kind, transform: `translate(${x},${y})`, tabindex: 0, role: "button", "aria-label": node.label }, by("boxes"));
      e.dataset.node = v;
      make("rect", { x: -box[0] / 2, y: -box[1] / 2, width: box[0], height: box[1] }, e);
      make("text", {}, e).textContent = node.label.length > 11 ? node.label.slice(0, 10) + "…" : node.label;
      make("title", {}, e).textContent = node.label;
    }
    by("edges").textContent = shown.links.length;
    by("nodes").textContent = shown.nodes.length;
    if (!shown.nodes.includes(chosen)) chosen = -1;
    mark();
    reset();
  }

  function mark() {
    svg.classList.toggle("choosing", chosen >= 0);
    for (const p of by("links").children) p.classList.toggle("near", +p.dataset.from === chosen || +p.dataset.to === chosen);
    const word = by("find").value.trim().toLowerCase();
    for (const b of by("boxes").children) {
      const v = +b.dataset.node;
      b.classList.toggle("chosen", v === chosen);
      b.classList.toggle("found", word !== "" && g.nodes[v].label.toLowerCase().includes(word));
    }
    details();
  }

  function details() {
    const to = by("details");
    to.replaceChildren();
    const add = (name, text, parent = to) => { const e = document.createElement(name); e.textContent = text; parent.appendChild(e); return e; };
    if (chosen < 0) { add("p", "Choose a node for its links."); return; }
    const node = g.nodes[chosen];
    add("h2", node.label);
    if (node.score !== undefined) add("p", "score " + node.score.toPrecision(4));
    for (const line of node.text || []) add("p", line);
    for (const [title, mine, other] of [["reads", "to", "from"], ["is read by", "from", "to"]]) {
      const list = shown.links.map(i => g.links[i]).filter(l => l[mine] === chosen).sort((a, b) => Math.abs(b.score) - Math.abs(a.score));
      if (!list.length) continue;
      add("h3", title);
      const table = add("table", "");
      for (const l of list) {
        const row = add("tr", "", table);
        add("td", g.nodes[l[other]].label + (l.label ? " " + l.label : ""), row);
        add("td", l.score.toPrecision(4), row);
        if (l.inclusion !== undefined) add("td", (100 * l.inclusion).toFixed(0) + " %", row);
      }
    }
  }

  function set(n) {
    n = Math.min(Math.max(Math.round(n) || 1, 1), g.links.length);
    by("top").value = n;
    by("count").value = n;
    draw(n);
  }
  by("top").addEventListener("input", e => set(+e.target.value));
  by("count").addEventListener("change", e => set(+e.target.value));
  by("find").addEventListener("input", mark);
  by("reset").addEventListener("click", reset);
  const choose = e => {
    const b = e.target.closest("g.box");
    chosen = b && +b.dataset.node !== chosen ? +b.dataset.node : -1;
    mark();
  };
  let drag = null, moved = false;
  svg.addEventListener("pointerdown", e => { drag = [e.clientX, e.clientY]; moved = false; });
  window.addEventListener("pointerup", () => { drag = null; });
  svg.addEventListener("pointermove", e => {
    if (!drag) return;
    const s = Math.max(view[2] / svg.clientWidth, view[3] / svg.clientHeight);
    if (Math.hypot(e.clientX - drag[0], e.clientY - drag[1]) > 3) moved = true;
    view[0] -= (e.clientX - drag[0]) * s;
    view[1] -= (e.clientY - drag[1]) * s;
    drag = [e.clientX, e.clientY];
    look();
  });
  svg.addEventListener("click", e => { if (!moved) choose(e); });
  svg.addEventListener("keydown", e => { if (e.key === "Enter" || e.key === " ") { choose(e); e.preventDefault(); } });
  const zoom = (f, cx, cy) => { view = [cx - (cx - view[0]) * f, cy - (cy - view[1]) * f, view[2] * f, view[3] * f]; look(); };
  svg.addEventListener("wheel", e => {
    e.preventDefault();
    const m = svg.getScreenCTM().inverse();
    zoom(e.deltaY > 0 ? 1.15 : 1 / 1.15, m.a * e.clientX + m.e, m.d * e.clientY + m.f);
  }, { passive: false });
  window.addEventListener("keydown", e => {
    if (e.target.tagName === "INPUT") return;
    if (e.key === "+" || e.key === "-") zoom(e.key === "-" ? 1.15 : 1 / 1.15, view[0] + view[2] / 2, view[1] + view[3] / 2);
    if (e.key === "0") reset();
  });
  const wanted = /top=(\d+)/.exec(location.hash);
  set(wanted ? +wanted[1] : g.top);
})();
