// Puts each figure's picture into the page itself, where its points can be pointed at and its conditions taken away.
// What is printed, or shown without script, is the picture.
const data = JSON.parse(document.getElementById("parts").textContent);
for (const [id, parts] of Object.entries(data.figures)) {
  const figure = document.getElementById(id), still = figure.querySelector("img");
  const bytes = Uint8Array.from(atob(still.src.split(",")[1]), letter => letter.charCodeAt(0));
  // Pictures use the same ids; in one page each needs its own.
  const text = new TextDecoder().decode(bytes).replace(/(\bid="|"#|url\(#)/g, `$1${id}-`);
  const svg = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
  const said = document.createElement("p"), frames = document.createElement("img");
  said.className = "said";
  said.setAttribute("role", "status");
  said.textContent = "Point at a mark, or go through them with Tab and the arrow keys.";
  frames.className = "frames";
  frames.hidden = true;
  const drawn = parts.map((part, number) => svg.querySelector(`[id="${id}-part${number}"]`));
  const marks = parts.flatMap(({marks}, number) => {
    const uses = drawn[number].querySelectorAll("use");
    const elements = uses.length ? uses : drawn[number].querySelectorAll("path");
    return marks.map((mark, place) => [elements[place], mark]);
  });
  pointable(svg, marks, ([words, picture]) => {
    said.textContent = frames.alt = words;
    said.classList.add("told");
    frames.style.visibility = picture === null ? "hidden" : "";
    if (picture === null) return;
    frames.src = data.pictures[picture];
    frames.hidden = false;
  });
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", still.alt);
  figure.classList.add("live");
  still.after(svg);
  const panel = document.createElement("div"), names = [...new Set(parts.map(part => part.name).filter(Boolean))];
  panel.className = "panel";
  if (names.length > 1) {
    const choices = document.createElement("fieldset");
    choices.setAttribute("aria-label", "What is drawn");
    choices.append(...names.map(name => choice("checkbox", id, true, name, data.colours[name], on => {
      parts.forEach((part, number) => {
        if (part.name === name) drawn[number].style.display = on ? "" : "none";
      });
    })));
    panel.append(choices);
  }
  panel.append(said);
  if (marks.some(([, [, picture]]) => picture !== null)) panel.append(frames);
  figure.querySelector(".paper").after(panel);
}
// On a narrow screen a row is a block of lines, and each number needs its title.
for (const table of document.querySelectorAll("table")) {
  const titles = [...table.tHead.rows[0].cells].map(cell => cell.textContent);
  for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, number) => { cell.dataset.title = titles[number]; });
  table.classList.add("titled");
}
