"use strict";
// A click, or Enter, on a heading sorts its table; a second one turns the order round. data-v holds the sort key.
for (const th of document.querySelectorAll("th[data-sort]")) {
  const sort = () => {
    const table = th.closest("table"), column = th.cellIndex, number = th.dataset.sort === "number";
    const up = th.getAttribute("aria-sort") !== "ascending";
    for (const other of th.parentNode.children) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (tr) => tr.cells[column].dataset.v;
    const compare = (a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === ""); // empty cells stay last
      const order = number ? Number(x) - Number(y) : x.localeCompare(y);
      return up ? order : -order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  };
  th.tabIndex = 0;
  th.addEventListener("click", sort);
  th.addEventListener("keydown", (e) => { if (e.key === "Enter") sort(); });
}
