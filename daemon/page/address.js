// The address of a view, so that it can be shared.

/** Changes the address without showing the view again. Empty parameters are left out. */
export function setParameters(path, parameters) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '' && value !== false) query.set(key, value);
  }
  const text = query.toString();
  window.history.replaceState(null, '', `#/${path}${text ? `?${text}` : ''}`);
}
