"use strict";
/* Shows what the server's events say; every event carries the whole state it speaks of. */

const $ = (id) => document.getElementById(id);
const stage = $("stage"), history = $("history");
const HUES = [190, 35, 320, 95, 265, 10, 60, 225];
const TRAIL = 50, PAST = 60, SILENT_MS = 6000, OFFLINE = "The viewer on this machine has stopped; it will be found again when it is started.";
const WORDS = { live: "live", waiting: "connecting", gone: "source gone", done: "finished", offline: "viewer gone" };

const state = {
  status: { state: "waiting", text: "" }, tables: { keypoints: [], limbs: [] },
  shot: null, past: [], back: 0, least: 0, lit: -1, control: null, trails: new Map(), image: null, heat: null, times: [], heard: 0, offline: false, lastLine: 0,
};

/* ---- drawing -------------------------------------------------------------------------------- */

/* Makes the drawing as fine as the screen; returns its context and size in CSS pixels. */
function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/* Where the picture lies on the stage: as large as fits, in the middle. */
function place(shot, width, height) {
  const zoom = Math.min(width / shot.size[0], height / shot.size[1]);
  return { zoom, left: (width - zoom * shot.size[0]) / 2, top: (height - zoom * shot.size[1]) / 2 };
}

function draw() {
  const { context, width, height } = prepare(stage);
  if (state.shot) paint(context, width, height);
}

/* Draws what is shown into any canvas: the stage, or a picture to save. */
function paint(context, width, height) {
  const shot = state.shot;
  if (shot.followed) { drawFollowed(context, shot, width, height); return; }
  const at = place(shot, width, height);
  const size = [shot.size[0] * at.zoom, shot.size[1] * at.zoom];
  context.save();
  context.beginPath();
  context.rect(at.left, at.top, ...size);
  context.clip();
  if (state.image) context.drawImage(state.image, at.left, at.top, ...size);
  else { context.fillStyle = "#2a323d"; context.fillRect(at.left, at.top, ...size); }
  if ($("heat").checked && state.heat) drawHeat(context, at, size);
  if ($("skeletons").checked) drawPeople(context, at, shot);
  context.restore();
  stage.dataset.number = shot.number;
  stage.dataset.box = [at.left, at.top, at.zoom].join(" ");
}

/* The whole camera picture: what was looked at where it was, people in the colours of their numbers. */
function drawFollowed(context, shot, width, height) {
  const { side, region, people } = shot.followed;
  const at = place({ size: [side, side] }, width, height), zoom = at.zoom;
  context.fillStyle = "#2a323d"; context.fillRect(at.left, at.top, side * zoom, side * zoom);
  const box = [at.left + region[0] * zoom, at.top + region[1] * zoom, region[2] * zoom, region[2] * zoom];
  if (state.image) context.drawImage(state.image, ...box);
  context.lineWidth = 1.5; context.strokeStyle = "rgb(255 255 255 / .7)"; context.strokeRect(...box);
  if ($("skeletons").checked) {
    for (const [number, trail] of state.trails) drawTrail(context, at, number, trail);
    people.forEach((person) => drawPerson(context, at, person, person.number));
  }
  stage.dataset.number = shot.number;
  stage.dataset.box = [at.left, at.top, zoom].join(" ");
  stage.dataset.region = region.join(" ");
  stage.dataset.people = people.map((person) => person.number).join(" ");
}

function drawTrail(context, at, number, trail) {
  const [r, g, b] = colour(HUES[number % HUES.length]);
  context.beginPath();
  trail.forEach(([x, y]) => context.lineTo(at.left + (x + 0.5) * at.zoom, at.top + (y + 0.5) * at.zoom));
  context.lineWidth = 2; context.strokeStyle = `rgb(${r} ${g} ${b} / .5)`; context.stroke();
}

/* Where everybody's points have been in the mean, for a second or two. */
function addTrails(people) {
  const before = state.trails;
  state.trails = new Map(people.map((person) => {
    const seen = person.points.filter((point) => point[2] > 0), trail = before.get(person.number) || [];
    if (!seen.length) return [person.number, trail];
    const mean = [0, 1].map((axis) => seen.reduce((sum, point) => sum + point[axis], 0) / seen.length);
    return [person.number, [...trail, mean].slice(-TRAIL)];
  }));
}

function drawHeat(context, at, size) {
  context.fillStyle = "rgb(6 9 14 / .55)";
  context.fillRect(at.left, at.top, ...size);
  const [, rows, columns] = state.heat.shape;
  const input = state.input || [3, 8 * rows, 8 * columns];
  /* One cell covers input / rows pixels of the network's input. */
  const w = input[2] / columns / state.shot.scale[0] * at.zoom * columns;
  const h = input[1] / rows / state.shot.scale[1] * at.zoom * rows;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.globalCompositeOperation = "lighter";
  context.drawImage(heatImage(), at.left, at.top, w, h);
  context.globalCompositeOperation = "source-over";
}

/* The chosen keypoint's map, or the largest of all, in its colour; one pixel for each cell. */
function heatImage() {
  const [channels, rows, columns] = state.heat.shape, data = state.heat.data;
  const chosen = Number($("channel").value), cells = rows * columns;
  const canvas = document.createElement("canvas");
  canvas.width = columns; canvas.height = rows;
  const context = canvas.getContext("2d"), out = context.createImageData(columns, rows);
  for (let cell = 0; cell < cells; ++cell) {
    let best = 0, which = 0;
    for (let c = 0; c < channels; ++c) {
      if (chosen >= 0 && c !== chosen) continue;
      const value = data[c * cells + cell];
      if (value > best) { best = value; which = c; }
    }
    const [r, g, b] = colour(360 * which / channels);
    out.data.set([r, g, b, best], 4 * cell);
  }
  context.putImageData(out, 0, 0);
  return canvas;
}

/* A bright colour of a hue, as red, green, blue. */
function colour(hue) {
  const part = (n) => {
    const k = (n + hue / 60) % 6;
    return Math.round(255 * (1 - 0.8 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [part(5), part(3), part(1)];
}

function drawHistory() {
  const { context, width, height } = prepare(history);
  const style = getComputedStyle(document.body), step = 4;
  const shown = state.times.slice(-Math.floor(width / step));
  const top = Math.max(50000, ...shown.map((t) => t[0] + t[1] + t[2]));
  context.fillStyle = style.getPropertyValue("--line");
  context.fillRect(0, Math.round(height * (1 - 50000 / top)), width, 1);
  shown.forEach((times, i) => {
    let y = height;
    times.forEach((time, k) => {
      const h = time / top * height;
      context.fillStyle = style.getPropertyValue(["--a", "--b", "--c"][k]);
      context.fillRect(width - (shown.length - i) * step, y - h, step - 1, h);
      y -= h;
    });
  });
}

/* ---- events --------------------------------------------------------------------------------- */

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const milli = (micros) => `${(micros / 1000).toFixed(2)} ms`;

function show() {
  const name = state.offline ? "offline" : state.status.state;
  document.body.dataset.state = name;
  $("state").textContent = WORDS[name];
  const text = state.offline ? OFFLINE : state.status.text;
  $("notice").textContent = text || "Waiting for the first picture";
}

const take = {
  tables(event) {
    state.tables = event;
    if ($("channel").length === 1) {
      event.keypoints.forEach((name, k) => $("channel").add(new Option(name.replace("_", " "), k)));
    }
  },
  status(event) { state.status = event; show(); },
  times(event) { state.times = event.values; },
  control(event) { showControl(event); },
  hello(event) {
    state.input = event.input;
    $("network").textContent = event.network;
    $("checksum").textContent = Number(`0x${event.checksum}`) ? event.checksum : "–";
    $("firmware").textContent = event.version === "0.0" ? "–" : event.version;
    $("source").textContent = event.source;
    $("source").title = event.source;
  },
  shot(event) {
    if (!event.jpeg) { accept(event, null); return; }
    /* Picture and skeleton change together: nothing is shown before the picture is decoded. */
    const image = new Image();
    image.onload = () => accept(event, image);
    image.onerror = () => accept(event, null);
    image.src = `data:image/jpeg;base64,${event.jpeg}`;
  },
  log(event) {
    const list = $("log"), follow = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
    for (const [version, when, text] of event.lines) {
      if (version <= state.lastLine) continue;
      state.lastLine = version;
      const item = document.createElement("li"), time = document.createElement("time");
      time.textContent = when;
      item.append(time, text);
      list.append(item);
    }
    while (list.children.length > 200) list.firstChild.remove();
    if (follow) list.scrollTop = list.scrollHeight;
  },
  beat() {},
};

/* A new picture is kept; it is shown unless somebody looks at an earlier one. */
function accept(event, image) {
  state.past.push({ event, image });
  if (state.past.length > PAST) state.past.shift();
  state.times.push(event.micros);
  if (state.times.length > 400) state.times.shift();
  if (event.followed) addTrails(event.followed.people);
  const own = arrived(event);
  if (state.back > 0 && !own) { state.back = Math.min(state.back + 1, state.past.length - 1); return; }
  state.back = 0;
  display(event, image);
}

function display(event, image) {
  state.shot = event;
  state.image = image;
  showSolid(event.solid);
  state.heat = event.heat ? { shape: event.heat.shape, data: bytes(event.heat.data) } : null;
  const total = event.micros[0] + event.micros[1] + event.micros[2];
  event.micros.forEach((time, k) => {
    $(`t${k}`).textContent = total ? milli(time) : "–";
    $("bar").children[k].style.width = `${100 * time / Math.max(total, 1)}%`;
  });
  $("total").textContent = total ? milli(total) : "–";
  $("board-rate").textContent = total ? (1e6 / total).toFixed(1) : "–";
  $("rate").textContent = event.rate ? event.rate.toFixed(event.rate < 10 ? 2 : 1) : "–";
  $("caption").textContent = event.name;
  showPeople();
  document.body.classList.add("seen");
  requestAnimationFrame(() => { draw(); drawHistory(); });
}

function listen() {
  const source = new EventSource("events");
  source.onopen = () => { state.lastLine = 0; $("log").replaceChildren(); };
  source.onmessage = (message) => {
    state.heard = Date.now();
    if (state.offline) { state.offline = false; show(); }
    const event = JSON.parse(message.data);
    if (take[event.kind]) take[event.kind](event);
  };
  source.onerror = () => {
    state.offline = true;
    show();
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
  };
}

function askForHeat() {
  $("channel").disabled = !$("heat").checked;
  fetch($("heat").checked ? "heat/on" : "heat/off", { method: "POST" }).catch(() => {});
  draw();
}

$("heat").addEventListener("change", askForHeat);
$("skeletons").addEventListener("change", draw);
$("channel").addEventListener("change", draw);
new ResizeObserver(() => { draw(); drawHistory(); }).observe(stage);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawHistory);
setInterval(() => {
  if (state.heard && Date.now() - state.heard > SILENT_MS && !state.offline) { state.offline = true; show(); }
}, 1000);
show();
