"use strict";
const claims = [...document.querySelectorAll("details.claim")];
const words = document.getElementById("words");
const states = [...document.querySelectorAll("input.state")];
const found = document.getElementById("found");

function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const shownStates = new Set(states.filter((box) => box.checked).map((box) => box.value));
  let n = 0;
  for (const claim of claims) {
    const shown = shownStates.has(claim.dataset.state) && wanted.every((word) => claim.dataset.words.includes(word));
    claim.hidden = !shown;
    n += shown;
  }
  for (const around of document.querySelectorAll(".sentence, .place")) {
    around.hidden = !around.querySelector("details.claim:not([hidden])");
  }
  found.textContent = n === claims.length ? `${n} claims` : `${n} of ${claims.length} claims`;
}

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!target) return;
  if (target.matches("details")) {
    if (target.hidden) {
      words.value = "";
      states.forEach((box) => { box.checked = true; });
      filter();
    }
    target.open = true;
  }
  target.scrollIntoView();
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  if (document.querySelector("#drawn canvas")) drawSurface(); // in the new ink
  try { localStorage.setItem("rlclaims-theme", name); } catch { /* a page from a file may keep nothing */ }
}

words.addEventListener("input", filter);
states.forEach((box) => box.addEventListener("change", filter));
document.querySelector("form.filters").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("all").addEventListener("click", (event) => {
  const open = claims.some((claim) => !claim.hidden && !claim.open);
  claims.forEach((claim) => { if (!claim.hidden) claim.open = open; });
  event.target.textContent = open ? "close all" : "open all";
});
document.getElementById("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme
    || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  theme(now === "dark" ? "light" : "dark");
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/input|textarea/i.test(document.activeElement.tagName)) {
    event.preventDefault();
    words.focus();
  }
});
document.addEventListener("click", async (event) => {
  if (!event.target.matches("button.copy")) return;
  const text = event.target.previousElementSibling.textContent;
  try {
    await navigator.clipboard.writeText(text);
    event.target.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(event.target.previousElementSibling);
  }
});
function drawSurface() {
  if (!window.Plotly) { // read only when it is wanted, so that the page opens at once
    const library = document.createElement("script");
    library.textContent = document.getElementById("plotly").textContent;
    document.head.append(library);
  }
  const chosen = JSON.parse(document.getElementById("heights").textContent)[document.getElementById("surface").value];
  const ink = getComputedStyle(document.body).color;
  const far = Math.max(1, 560 / document.getElementById("drawn").clientWidth); // so that titles of axes are seen
  const axis = (title) => ({ title: { text: title }, color: ink });
  window.Plotly.newPlot("drawn", [{
    type: "surface", x: chosen.along, y: chosen.across, z: chosen.height, colorscale: "Viridis",
    colorbar: { thickness: 12, len: 0.7, xpad: 4 },
  }], {
    scene: {
      camera: { eye: { x: 1.6 * far, y: 1.6 * far, z: 1.1 * far }, center: { x: 0, y: 0, z: -0.2 } },
      xaxis: axis("multiple of the update"), yaxis: axis("random direction"),
      zaxis: axis(chosen.title.slice(chosen.title.lastIndexOf(": ") + 2)),
    },
    paper_bgcolor: "rgba(0,0,0,0)", font: { color: ink }, margin: { l: 0, r: 0, t: 10, b: 0 }, height: 480,
  }, { responsive: true, displaylogo: false });
}
function turnBy(key) {
  const { x, y, z } = document.getElementById("drawn")._fullLayout.scene._scene.getCamera().eye;
  const about = { ArrowLeft: -0.2, ArrowRight: 0.2 }[key] || 0;
  const up = { ArrowUp: 0.2, ArrowDown: -0.2 }[key] || 0;
  const eye = {
    x: x * Math.cos(about) - y * Math.sin(about), y: x * Math.sin(about) + y * Math.cos(about), z: z + up,
  };
  window.Plotly.relayout("drawn", { "scene.camera.eye": eye });
}
document.getElementById("drawn")?.addEventListener("keydown", (event) => {
  if (!event.key.startsWith("Arrow") || !event.target.querySelector("canvas")) return;
  event.preventDefault();
  turnBy(event.key);
});
document.getElementById("turn")?.addEventListener("click", drawSurface);
document.getElementById("surface")?.addEventListener("change", drawSurface);
addEventListener("hashchange", openTarget);
try {
  const kept = localStorage.getItem("rlclaims-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch { /* likewise */ }
filter();
openTarget();
