// What is seen of a picture, and how it changes. Nothing here draws.
export const LAYERS = ["map", "lungs"]; // from the lowest to the uppermost
export const FULL = 256; // grey levels, and the window that shows each as it is
const ZOOM = [0.5, 12];

// `opacity` of the lungs is that of the colour within their outlines, which always stand. What is seen of a picture: `x` and `y` are the shift in shares of the pane, `width` and `level` the window in greys.
export const newView = () => ({
  zoom: 1, x: 0, y: 0, width: FULL, level: FULL / 2, inverted: false, drag: "move",
  layers: { lungs: { on: true, opacity: 0 }, map: { on: false, opacity: 0.5 } },
});

export function reset(view) {
  Object.assign(view, { zoom: 1, x: 0, y: 0, width: FULL, level: FULL / 2, inverted: false });
}

const bound = (value, [least, most]) => Math.min(most, Math.max(least, value));

// Zoom by a factor so that the point (shares of the pane from its middle) stays where it is.
export function zoomed(view, factor, atX = 0, atY = 0) {
  const zoom = bound(view.zoom * factor, ZOOM);
  const real = zoom / view.zoom;
  const limit = [-zoom / 2, zoom / 2];
  view.x = bound(atX + (view.x - atX) * real, limit);
  view.y = bound(atY + (view.y - atY) * real, limit);
  view.zoom = zoom;
}

// Shift by shares of the pane.
export function moved(view, x, y) {
  const limit = [-Math.max(1, view.zoom) / 2, Math.max(1, view.zoom) / 2];
  view.x = bound(view.x + x, limit);
  view.y = bound(view.y + y, limit);
}

// Change the window by so many greys.
export function windowed(view, width, level) {
  view.width = bound(Math.round(view.width + width), [1, 2 * FULL]);
  view.level = bound(Math.round(view.level + level), [0, FULL]);
}
