/**
 * Made-up events of a mobile-measurement service: 18 members, one of them a struct of 3, some 600 bytes.
 * Event number `i` is the same every time, whatever was made before it, so a smaller trial is the beginning
 * of the whole.
 */

/** 2022-07-26T00:00:00Z */
export const HOUR = "2022-07-26T00";
const HOUR_START_MS = Date.UTC(2022, 6, 26);
const USERS = 40_000;

const EVENT_NAMES = [
  "app_open",
  "screen_view",
  "screen_view",
  "comic_view",
  "comic_view",
  "login",
  "comic_purchase",
];
const PLACES = [
  ["JP", "Tokyo"],
  ["JP", "Osaka"],
  ["JP", "京都"],
  ["US", "San Francisco"],
  ["TW", "Taipei"],
  ["KR", "Seoul"],
  ["BR", "São Paulo"],
];
const SOURCES = ["organic", "googleadwords_int", "Facebook Ads", "Apple Search Ads", "twitter"];
const SCREENS = ["home", "ranking", "viewer", "search", "bookshelf", "purchase_confirmation"];
const DEVICES = [
  ["iPhone14,5", "Mozilla/5.0 (iPhone; CPU iPhone OS 15_5)"],
  ["iPhone13,2", "Mozilla/5.0 (iPhone; CPU iPhone OS 14_8)"],
  ["google::Pixel 6", "Dalvik/2.1.0 (Linux; U; Android 12; Pixel 6)"],
  ["samsung::SM-G991B", "Dalvik/2.1.0 (Linux; U; Android 11; SM-G991B)"],
  ["SONY::SO-51B", "Dalvik/2.1.0 (Linux; U; Android 12; SO-51B)"],
];
const VERSIONS = ["4.2.0", "4.2.1", "4.3.0", "4.10.2"];

/** The columns of these events, in Hive's types. Every contestant gets the same. */
export const COLUMNS = {
  appsflyer_id: "string",
  user_id: "string",
  idfa: "string",
  app_id: "string",
  app_version: "string",
  device_model: "string",
  user_agent: "string",
  country_code: "string",
  city: "string",
  ip: "string",
  media_source: "string",
  is_retargeting: "boolean",
  session_count: "bigint",
  event_revenue: "double",
  event_name: "string",
  event_time: "timestamp",
  download_time: "timestamp",
  event_value: "struct<user_id:string,comic_id:string,screen_name:string>",
};

/** @param {number} i @param {number} eventsInHour */
export function makeEvent(i, eventsInHour) {
  const random = seeded(i);
  const pick = (/** @type {any[]} */ items) => items[Math.floor(random() * items.length)];
  const user = Math.floor(random() ** 2 * USERS);
  const place = PLACES[user % PLACES.length];
  const device = DEVICES[user % DEVICES.length];
  const name = pick(EVENT_NAMES);
  const occurredMs = HOUR_START_MS + Math.floor(((i % eventsInHour) / eventsInHour) * 3_600_000);
  const userId = `u${String(user).padStart(8, "0")}`;
  return {
    appsflyer_id: `16${String(58_000_000_000 + user * 7919).padStart(11, "0")}-${String(4_000_000_000_000_000 + user * 104_729)}123`,
    user_id: userId,
    idfa: uuid(mixed(user), mixed(user + 1), mixed(user + 2), mixed(user + 3)),
    app_id: "com.example.comics",
    app_version: pick(VERSIONS),
    device_model: device[0],
    user_agent: device[1],
    country_code: place[0],
    city: place[1],
    ip: `203.0.${user % 256}.${(user >> 8) % 256}`,
    media_source: SOURCES[user % SOURCES.length],
    is_retargeting: random() < 0.1,
    session_count: Math.floor(random() * 500),
    event_revenue: name === "comic_purchase" ? Math.floor(random() * 10_000) / 100 : null,
    event_name: name,
    event_time: instant(occurredMs),
    download_time: instant(occurredMs - (user + 1) * 86_400),
    event_value: {
      user_id: userId,
      comic_id: `c${Math.floor(random() ** 3 * 20_000)}`,
      screen_name: pick(SCREENS),
    },
  };
}

/** The same event in some 300 bytes. @param {number} i @param {number} eventsInHour */
export function makeSlimEvent(i, eventsInHour) {
  const {
    appsflyer_id,
    app_version,
    device_model,
    city,
    session_count,
    event_name,
    event_time,
    event_value,
  } = makeEvent(i, eventsInHour);
  return {
    appsflyer_id,
    app_version,
    device_model,
    city,
    session_count,
    event_name,
    event_time,
    event_value,
  };
}

/** The name of object number `i`, as a producer would make it: a time and something random. @param {number} i */
export function objectName(i, objects = 36_000) {
  const at = new Date(HOUR_START_MS + Math.floor((i / objects) * 3_600_000)).toISOString().slice(0, 19);
  const id = uuid(mixed(i), mixed(i + 1), mixed(i + 2), mixed(i + 3));
  return `mmp-${at.replace(/[T:]/g, "-")}-${String(i).padStart(7, "0")}-${id}.json`;
}

/** `2022-07-26 00:00:01.250` @param {number} ms */
function instant(ms) {
  return new Date(ms).toISOString().replace("T", " ").slice(0, 23);
}

/** mulberry32. @param {number} seed */
function seeded(seed) {
  let state = mixed(seed);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mix = Math.imul(state ^ (state >>> 15), 1 | state);
    mix = (mix + Math.imul(mix ^ (mix >>> 7), 61 | mix)) ^ mix;
    return ((mix ^ (mix >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** 32 bits that look random. @param {number} number */
function mixed(number) {
  let mix = Math.imul(number ^ 0x9e3779b9, 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}

/** @param {number[]} words */
function uuid(...words) {
  const hex = words.map((word) => word.toString(16).padStart(8, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}
