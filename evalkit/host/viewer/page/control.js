"use strict";
/* Playing, dropping, the browser's camera, full screen, saving. */

const CAMERA_MS = 20000, CAMERA_SIDE = 640, TOAST_MS = 6000;
const camera = { stream: null, video: null, wake: null };
let toastTimer = 0, recorder = null;

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, TOAST_MS);
}

/* Tells the viewer something; its sentence is shown when it refuses. */
async function order(what, body) {
  try {
    const answer = await fetch(what, { method: "POST", body });
    if (answer.status === 204) return true;
    toast(await answer.text());
  } catch { toast("the viewer on this machine does not answer"); }
  return false;
}

/* ---- playing -------------------------------------------------------------------------------- */

function showControl(event) {
  state.control = event;
  document.body.classList.toggle("held", event.held);
  $("play").setAttribute("aria-label", event.held ? "go on" : "pause");
  $("ended").hidden = !event.ended;
  $("ended").textContent = event.ended;
  for (const id of ["file", "webcam"]) $(id).disabled = !event.takes;
  $("open").classList.toggle("off", !event.takes);
  showFilm(event.names, event.at);
}

function showFilm(names, at) {
  const film = $("film");
  film.hidden = names.length < 2;
  const known = film.dataset.names === names.join("\n");
  if (!known) {
    film.dataset.names = names.join("\n");
    film.replaceChildren(...names.map((name, k) => {
      const button = document.createElement("button"), image = document.createElement("img");
      image.loading = "lazy"; image.src = `thumb/${k}`; image.alt = name; image.title = name;
      button.append(image);
      button.addEventListener("click", () => { state.back = 0; order(`go/${k}`); });
      return button;
    }));
  }
  [...film.children].forEach((button, k) => {
    const now = k === at;
    if (now && !button.classList.contains("now")) {
      film.scrollLeft = button.offsetLeft - film.offsetLeft - (film.clientWidth - button.clientWidth) / 2;
    }
    button.classList.toggle("now", now);
  });
}

function toggle() {
  state.back = 0;
  order(state.control && state.control.held ? "play" : "hold");
}

function previous() {
  if (!state.control || !state.control.held) order("hold");
  if (state.back + 1 >= state.past.length) return;
  state.back += 1;
  showPast();
}

function next() {
  if (state.back > 0) { state.back -= 1; showPast(); } else order("step");
}

function showPast() {
  const { event, image } = state.past[state.past.length - 1 - state.back];
  display(event, image);
}

/* ---- dropping, and the browser's camera ------------------------------------------------------ */

function give(file) {
  state.back = 0;
  return order(`drop?name=${encodeURIComponent(file.name)}`, file);
}

/* Whether a picture is what was asked for by this page; wakes who waits for it. */
function arrived(event) {
  if (event.name === "webcam" && camera.wake) camera.wake();
  return Boolean(camera.stream);
}

async function startCamera() {
  try {
    camera.stream = await navigator.mediaDevices.getUserMedia({ video: { width: CAMERA_SIDE } });
  } catch (error) {
    toast(`this browser gives no camera (${error.name}); allow it for this page, or plug one in`);
    return;
  }
  $("webcam").setAttribute("aria-pressed", "true");
  camera.video = document.createElement("video");
  camera.video.srcObject = camera.stream;
  camera.video.muted = true;
  await camera.video.play();
  while (camera.stream && await lookThrough()) { /* one picture after the other */ }
  stopCamera();
}

async function lookThrough() {
  const canvas = document.createElement("canvas"), video = camera.video;
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
  const seen = new Promise((done) => { camera.wake = () => done(true); setTimeout(() => done(false), CAMERA_MS); });
  return await order("drop?name=webcam", blob) && seen;
}

function stopCamera() {
  if (camera.stream) for (const track of camera.stream.getTracks()) track.stop();
  camera.stream = null;
  if (camera.wake) camera.wake();
  $("webcam").setAttribute("aria-pressed", "false");
}

/* ---- saving --------------------------------------------------------------------------------- */

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* The picture in its own size with everything that is drawn on it, as a canvas. */
function overlay() {
  const canvas = document.createElement("canvas"), shot = state.shot;
  const [width, height] = shot.followed ? [shot.followed.side, shot.followed.side] : shot.size;
  const zoom = Math.max(1, 640 / Math.max(width, height)), box = { ...stage.dataset };
  canvas.width = Math.round(width * zoom); canvas.height = Math.round(height * zoom);
  paint(canvas.getContext("2d"), canvas.width, canvas.height);
  Object.assign(stage.dataset, box);
  return canvas;
}

function save() {
  if (!state.shot) return;
  const name = state.shot.name.replace(/\.[a-z]+$/i, "").replace(/[^\w.-]+/g, "_");
  overlay().toBlob((blob) => download(blob, `${name || "picture"}-people.png`));
}

function record() {
  if (recorder) { recorder.stop(); return; }
  const parts = [];
  recorder = new MediaRecorder(stage.captureStream(25));
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    recorder = null;
    $("clip").setAttribute("aria-pressed", "false");
    download(new Blob(parts, { type: "video/webm" }), "people.webm");
  };
  recorder.start();
  $("clip").setAttribute("aria-pressed", "true");
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.querySelector(".frame").requestFullscreen().catch((error) => toast(`no full screen: ${error.message}`));
}

/* ---- buttons and keys ------------------------------------------------------------------------ */

$("play").addEventListener("click", toggle);
$("back").addEventListener("click", previous);
$("next").addEventListener("click", next);
$("full").addEventListener("click", fullScreen);
$("save").addEventListener("click", save);
$("clip").addEventListener("click", record);
$("webcam").addEventListener("click", () => (camera.stream ? stopCamera() : startCamera()));
$("file").addEventListener("change", () => { if ($("file").files[0]) give($("file").files[0]); $("file").value = ""; });
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, button, a, summary") && event.key === " ") return;
  if (event.target.closest("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const does = { " ": toggle, ArrowLeft: previous, ArrowRight: next, f: fullScreen }[event.key];
  if (does) { event.preventDefault(); does(); }
});
let over = 0;
document.addEventListener("dragenter", (event) => { event.preventDefault(); over += 1; $("drop").hidden = false; });
document.addEventListener("dragleave", () => { over -= 1; if (over <= 0) { over = 0; $("drop").hidden = true; } });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  $("drop").hidden = true;
  if (event.dataTransfer.files[0]) give(event.dataTransfer.files[0]);
});
listen();
