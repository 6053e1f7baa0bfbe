"""Pages in a browser: how they are opened, and how well their text stands out."""

from pathlib import Path
from typing import Any

SIZES = {"desk": (1280, 800), "telephone": (390, 844)}
LEAST_CONTRAST = 4.5
"""Of text, by the Web Content Accessibility Guidelines, level AA."""


def open_page(chromium: Any, path: Path, size: tuple[int, int]) -> tuple[Any, Any]:
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]})
    opened = context.new_page()
    opened.requests, opened.messages = [], []
    opened.on("request", lambda asked: opened.requests.append(asked.url))
    opened.on("console", lambda message: opened.messages.append(message.text))
    opened.on("pageerror", lambda error: opened.messages.append(str(error)))
    opened.goto(path.as_uri())
    return context, opened


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d");
  const luminance = colour => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const part = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return .2126 * part(r) + .7152 * part(g) + .0722 * part(b); };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour; }
    return "white"; };
  const words = [...document.querySelectorAll("figure svg text, p, li, td, th, figcaption, dt, a")];
  return words.map(e => {
    const style = getComputedStyle(e);
    const pair = [luminance(e.closest("svg") ? style.fill : style.color), luminance(behind(e))];
    const ratio = (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
    return [ratio, e.textContent.slice(0, 40)]; }); }"""
