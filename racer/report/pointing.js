// What Racer's pages of figures share: a box that switches something, and marks that are pointed at.
function choice(type, name, checked, words, colour, change) {
  const label = document.createElement("label"), input = document.createElement("input");
  Object.assign(input, {type, name, checked});
  input.addEventListener("change", () => change(input.checked));
  label.append(input);
  if (colour) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = colour;
    label.append(swatch);
  }
  label.append(words);
  return label;
}
// Marks are [element, what is told of it]. Under the mouse, or a finger, it is the nearest one; by the keyboard Tab
// goes to the figure and the arrow keys to the marks.
function pointable(svg, marks, tell) {
  let lit = 0;
  const seen = () => marks.filter(([mark]) => mark.getClientRects().length);
  const light = ([mark, told]) => {
    for (const [other] of marks) other.classList.toggle("lit", other === mark);
    tell(told);
  };
  svg.setAttribute("tabindex", 0);
  for (const kind of ["pointermove", "pointerdown"]) svg.addEventListener(kind, event => {
    let nearest, least = 24;
    for (const each of seen()) {
      const box = each[0].getBoundingClientRect();
      const far = Math.hypot(Math.max(box.left - event.clientX, 0, event.clientX - box.right),
                             Math.max(box.top - event.clientY, 0, event.clientY - box.bottom));
      if (far <= least) { nearest = each; least = far; }
    }
    if (nearest) { lit = seen().indexOf(nearest); light(nearest); }
  });
  svg.addEventListener("keydown", event => {
    const way = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key], open = seen();
    if (!way || !open.length) return;
    event.preventDefault();
    lit = svg.querySelector(".lit") ? (lit + way + open.length) % open.length : 0;
    light(open[lit]);
  });
}
