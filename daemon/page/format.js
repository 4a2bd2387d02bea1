// Times, names and numbers as text.

/** Returns a text whose control characters, and characters that change the direction or are invisible, are shown as \xNN. */
export function clean(text) {
  return String(text).replace(
    /[\\\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (c) => [...new TextEncoder().encode(c)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}

/** Returns a length of time, in ns, as `taskscope` prints it: `328 us`, `5.4 s`, `7 min 48 s`. */
export function duration(ns) {
  if (ns === undefined || ns === null) return '-';
  if (ns < 1000) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${Math.floor(ns / 1e3)} us`;
  if (ns < 1e9) return `${Math.floor(ns / 1e6)} ms`;
  const s = ns / 1e9;
  if (s < 60) return `${(Math.floor(s * 10) / 10).toFixed(1)} s`;
  const whole = Math.floor(s);
  if (s < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (s < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Returns the age of a zombie: `<` and `>` where only a bound is known. */
export function zombieAge(it) {
  const [least, most] = [it.zombie_at_least_ns, it.zombie_at_most_ns];
  if (least === most) return duration(least);
  return least >= 1e9 || most === undefined ? `>${duration(least)}` : `<${duration(most)}`;
}

const two = (n) => String(n).padStart(2, '0');

/** Returns the local time of day of an RFC 3339 timestamp. */
export function clockTime(timestamp, ms = false) {
  const at = new Date(timestamp);
  if (Number.isNaN(at.getTime())) return '';
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return ms ? `${text}.${String(at.getMilliseconds()).padStart(3, '0')}` : text;
}

/** Returns `name (pid)`. */
export function namePid(process) {
  if (!process) return '?';
  const name = process.name ? clean(process.name) : '?';
  return process.pid === undefined ? name : `${name} (${process.pid})`;
}

/** Returns the link to the history of a process. Its entity id is used, because pids are reused. */
export function lifeLink(process) {
  const id = process && (process.entity_id ?? process.pid);
  return id === undefined || id === null ? undefined : `#/life/${encodeURIComponent(id)}`;
}

/** Returns a table cell with the name of a process and a link to its history. */
export function processCell(process) {
  const text = namePid(process);
  return { text, title: text, href: lifeLink(process) };
}

export const count = (n) => (n === undefined ? '-' : n.toLocaleString('en'));
export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;
export const words = (text) => clean(text ?? '').replaceAll('_', ' ');

/** Returns bytes as KiB, MiB or GiB. */
export function bytes(n) {
  if (n < 1024) return `${n} B`;
  const unit = Math.min(3, Math.floor(Math.log2(n) / 10));
  return `${(n / 1024 ** unit).toFixed(1)} ${['', 'KiB', 'MiB', 'GiB'][unit]}`;
}
