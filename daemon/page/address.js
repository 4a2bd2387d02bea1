// The address of a view, so that it can be shared.

/**
 * Changes the address of the view at `path` without showing the view again. Empty parameters are left out. If the address is already that
 * of another view, which the browser is about to show, it stays.
 */
export function setParameters(path, parameters) {
  if (!location.hash.startsWith(`#/${path}`)) return;
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '' && value !== false) query.set(key, value);
  }
  const text = query.toString();
  window.history.replaceState(null, '', `#/${path}${text ? `?${text}` : ''}`);
}
