/** Figures as people read them. */

import { count, counted } from "../words.js";

/** `345 MB`: decimal units, three digits. */
export function size(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(value >= 9.995 ? 1 : 2)} ${units[unit]}`;
}

/** `2 quarantined (400 B)`; nothing if there are none. For older parts the bytes are not known. */
export function quarantinedWords(pieces: number, bytes: number): string[] {
  return pieces > 0 ? [`${count(pieces)} quarantined (${size(bytes)})`] : [];
}

/** `2 rescued`: rows with rescued data; nothing if there are none. */
export function rescuedWords(rows: number): string[] {
  return rows > 0 ? [`${count(rows)} rescued`] : [];
}

/** `3 objects skipped (names that begin with _ or ., or end in /)` */
export function skippedWords(skipped: number): string {
  return `${counted(skipped, "object")} skipped (names that begin with _ or ., or end in /)`;
}

/** `0.3 s`, `16 s`, `3 min 20 s`, `2 h 5 min` */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
  const minutes = Math.round(whole / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
  return counted(Math.floor(minutes / 1440), "day");
}
