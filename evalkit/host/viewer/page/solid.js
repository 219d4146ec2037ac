"use strict";
/* The panel with the people in 3D. It is there only while answers bring them along. */

const SOLID_TILT = 0.2, SOLID_SPEED = 0.0005; /* radians; radians per millisecond */
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const solid = { people: [], turn: 0, free: true, held: null, last: 0, running: false };

/* Where a joint (millimetres: right, down, away) appears when the person is turned about the
 * vertical axis and looked at slightly from above: right and down, millimetres; no perspective. */
function project([x, y, z], turn) {
  const right = x * Math.cos(turn) + z * Math.sin(turn);
  const away = z * Math.cos(turn) - x * Math.sin(turn);
  return [right, y * Math.cos(SOLID_TILT) - away * Math.sin(SOLID_TILT)];
}

/* One scale for all, so that nobody touches the edge of their column however they are turned. */
function solidZoom(width, height) {
  let aside = 1, along = 1;
  for (const person of solid.people) {
    for (const [x, y, z] of person.joints) {
      aside = Math.max(aside, Math.hypot(x, z));
      along = Math.max(along, Math.abs(y) + Math.hypot(x, z) * Math.sin(SOLID_TILT));
    }
  }
  return Math.min(width / solid.people.length / aside, height / along) / 2 * 0.92;
}

function drawSolid() {
  const { context, width, height } = prepare($("depth"));
  if (!solid.people.length) return;
  const zoom = solidZoom(width, height), column = width / solid.people.length;
  context.lineCap = "round";
  solid.people.forEach((person, i) => {
    const spots = person.joints.map((joint) => {
      const [right, down] = project(joint, solid.turn);
      return [(i + 0.5) * column + right * zoom, height / 2 + down * zoom];
    });
    const [r, g, b] = colour(HUES[person.person % HUES.length]);
    context.strokeStyle = `rgb(${r} ${g} ${b})`;
    context.fillStyle = "#fff";
    context.lineWidth = 3;
    for (const [from, to] of state.tables.bones) {
      context.globalAlpha = person.known[from] && person.known[to] ? 1 : 0.35;
      context.beginPath();
      context.moveTo(...spots[from]);
      context.lineTo(...spots[to]);
      context.stroke();
    }
    context.globalAlpha = 1;
    spots.forEach((spot, k) => {
      if (!person.known[k]) return;
      context.beginPath();
      context.arc(...spot, 2.5, 0, 2 * Math.PI);
      context.fill();
    });
  });
}

function turnSolid(now) {
  solid.running = !$("solid").hidden;
  if (!solid.running) return;
  const passed = Math.min(now - solid.last, 100);
  solid.last = now;
  if (solid.free && solid.held === null && !calm.matches) solid.turn += passed * SOLID_SPEED;
  drawSolid();
  requestAnimationFrame(turnSolid);
}

/* What an answer says about 3D; nothing hides the panel. */
function showSolid(answer) {
  $("solid").hidden = !answer;
  if (!answer) return;
  solid.people = answer.people;
  $("lift-time").textContent = milli(answer.micros);
  if (!solid.running) { solid.running = true; requestAnimationFrame(turnSolid); }
}

function listenToHands(canvas) {
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    solid.held = event.clientX;
    solid.free = false;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (solid.held === null) return;
    solid.turn += (event.clientX - solid.held) * 0.01;
    solid.held = event.clientX;
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => { solid.held = null; });
  }
  canvas.addEventListener("dblclick", () => { solid.free = true; });
}
listenToHands(document.getElementById("depth"));
