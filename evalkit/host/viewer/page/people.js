"use strict";
/* People: drawn on the picture, listed beside it, named under the pointer. */

const NEAR = 12; /* pixels from a point to the pointer that means it */
const plain = (name) => name.replaceAll("_", " ");

/* The people of a picture who are sure enough, with their numbers; those who are followed have no score. */
function sure(shot) {
  const people = shot.followed ? shot.followed.people : shot.people;
  return people.map((person, index) => ({ person, index: shot.followed ? person.number : index }))
    .filter(({ person }) => shot.followed || 100 * person.score >= state.least);
}

function drawPeople(context, at, shot) {
  for (const { person, index } of sure(shot)) drawPerson(context, at, person, index);
}

function drawPerson(context, at, person, index) {
  const [r, g, b] = colour(HUES[index % HUES.length]);
  context.globalAlpha = state.lit < 0 || state.lit === index ? 1 : 0.25;
  /* Pixel centres are at whole numbers, corners half a pixel before. */
  const spot = ([x, y]) => [at.left + (x + 0.5) * at.zoom, at.top + (y + 0.5) * at.zoom];
  const found = (k) => person.points[k][2] > 0;
  const lines = new Path2D();
  for (const [from, to] of state.tables.limbs) {
    if (!found(from) || !found(to)) continue;
    lines.moveTo(...spot(person.points[from]));
    lines.lineTo(...spot(person.points[to]));
  }
  context.lineCap = "round";
  context.lineWidth = 6; context.strokeStyle = "rgb(0 0 0 / .55)"; context.stroke(lines);
  context.lineWidth = 3.5; context.strokeStyle = `rgb(${r} ${g} ${b})`; context.stroke(lines);
  person.points.forEach((point, k) => {
    if (!found(k)) return;
    context.beginPath();
    context.arc(...spot(point), 4, 0, 2 * Math.PI);
    context.fillStyle = "#fff"; context.fill();
    context.lineWidth = 2; context.strokeStyle = `rgb(${r} ${g} ${b})`; context.stroke();
  });
  drawScore(context, person, spot, `rgb(${r} ${g} ${b})`);
  context.globalAlpha = 1;
}

/* How sure the board is of a person, in percent, or who it is, above the highest point. */
function drawScore(context, person, spot, style) {
  const seen = person.points.filter((point) => point[2] > 0).map(spot);
  if (!seen.length) return;
  const [x, y] = seen.reduce((best, one) => (one[1] < best[1] ? one : best));
  const text = person.number ? `${person.number}` : `${Math.round(100 * person.score)} %`;
  context.font = "12px system-ui"; context.textAlign = "center";
  context.lineWidth = 3; context.strokeStyle = "rgb(0 0 0 / .7)";
  context.strokeText(text, x, y - 10);
  context.fillStyle = style; context.fillText(text, x, y - 10);
}

/* ---- the list ------------------------------------------------------------------------------- */

function showPeople() {
  const people = sure(state.shot), list = $("list");
  const points = people.map(({ person }) => person.points.filter((point) => point[2] > 0).length);
  $("people").textContent = people.length;
  $("points").textContent = `${points.reduce((sum, n) => sum + n, 0)} keypoints`;
  list.replaceChildren(...people.map(({ person, index }, i) => {
    const row = document.createElement("li"), dot = document.createElement("i"), bar = document.createElement("meter");
    const [r, g, b] = colour(HUES[index % HUES.length]);
    dot.style.background = `rgb(${r} ${g} ${b})`;
    const name = document.createElement("span"), score = document.createElement("b"), found = document.createElement("small");
    name.textContent = person.number ? `number ${person.number}` : `person ${index + 1}`;
    score.textContent = `${Math.round(100 * person.score)} %`;
    found.textContent = `${points[i]} of ${person.points.length} points`;
    bar.value = Math.min(person.score || 0, 1);
    row.className = person.number ? "followed" : "";
    score.hidden = bar.hidden = Boolean(person.number);
    row.append(dot, name, score, bar, found);
    row.dataset.index = index;
    return row;
  }));
  if (!people.length) {
    const none = document.createElement("li");
    none.className = "none"; none.textContent = "nobody";
    list.append(none);
  }
}

function light(index) {
  if (state.lit === index) return;
  state.lit = index;
  draw();
}

/* The point next to the pointer: its name, how sure it is, and whose it is. */
function pointAt(x, y) {
  if (!state.shot || !stage.dataset.box || !$("skeletons").checked) return null;
  const [left, top, zoom] = stage.dataset.box.split(" ").map(Number);
  let best = null, least = NEAR;
  for (const { person, index } of sure(state.shot)) {
    person.points.forEach((point, k) => {
      if (!(point[2] > 0)) return;
      const spot = [left + (point[0] + 0.5) * zoom, top + (point[1] + 0.5) * zoom];
      const far = Math.hypot(spot[0] - x, spot[1] - y);
      if (far < least) { least = far; best = { person, index, k, spot, value: point[2] }; }
    });
  }
  return best;
}

function hover(event) {
  const box = stage.getBoundingClientRect(), tip = $("tip");
  const hit = pointAt(event.clientX - box.left, event.clientY - box.top);
  tip.hidden = !hit;
  light(hit ? hit.index : -1);
  if (!hit) return;
  const whose = hit.person.number ? `number ${hit.person.number}` : `person ${hit.index + 1}`;
  tip.textContent = `${plain(state.tables.keypoints[hit.k])} · ${Math.round(100 * hit.value)} % · ${whose}`;
  const right = hit.spot[0] > box.width / 2;
  tip.style.left = right ? "" : `${hit.spot[0] + 12}px`;
  tip.style.right = right ? `${box.width - hit.spot[0] + 12}px` : "";
  tip.style.top = `${Math.max(hit.spot[1] - 34, 4)}px`;
}

document.getElementById("stage").addEventListener("pointermove", hover);
document.getElementById("stage").addEventListener("pointerleave", () => { $("tip").hidden = true; light(-1); });
document.getElementById("list").addEventListener("pointerover", (event) => {
  const row = event.target.closest("li[data-index]");
  light(row ? Number(row.dataset.index) : -1);
});
document.getElementById("list").addEventListener("pointerleave", () => light(-1));
document.getElementById("least").addEventListener("input", () => {
  state.least = Number($("least").value);
  $("least-text").textContent = `${state.least} %`;
  if (state.shot) { showPeople(); draw(); }
});
