/** Made-up events of a mobile-measurement service, from a seed: the same events every time. Pure. */
import { type Hour, startMs } from "../hour.js";

export const PLATFORMS = ["android", "ios"] as const;
type Platform = (typeof PLATFORMS)[number];

/** One raw object. */
interface RawObject {
  name: string;
  body: string;
}

const OBJECTS_AN_HOUR = 60;
const EVENTS_AN_OBJECT = 40;
const ODD_SHARE = 0.002;

/**
 * The hour's objects, some 40 events each. Most hold lines; a few run on without a newline, as Firehose
 * writes them.
 */
export function makeHour(platform: Platform, hour: Hour, seed: number): RawObject[] {
  const random = seeded(seed ^ hash(platform + hour));
  return Array.from({ length: OBJECTS_AN_HOUR }, (_, i) => {
    const isFirehose = i % 20 === 19;
    // A record that is cut off takes along what runs on after it, so those objects have none.
    const oddShare = isFirehose ? 0 : ODD_SHARE;
    const records = Array.from({ length: EVENTS_AN_OBJECT }, () => record(platform, hour, random, oddShare));
    const body = records.join(isFirehose ? "" : "\n") + (isFirehose ? "" : "\n");
    return { name: `events-${hour.slice(-2)}-${String(i).padStart(3, "0")}.json`, body };
  });
}

type Random = () => number;

/** Names with their weights. */
const EVENT_NAMES: [string, number][] = [
  ["app_open", 40],
  ["screen_view", 25],
  ["comic_view", 20],
  ["comic_purchase", 6],
  ["login", 5],
  ["tutorial_completion", 4],
];
const COUNTRIES = ["JP", "JP", "JP", "US", "TW", "KR", "FR"];
const CITIES = ["Tokyo", "Osaka", "京都", "Taipei", "Seoul", "Paris", "São Paulo"];
const SOURCES = ["organic", "googleadwords_int", "Facebook Ads", "twitter"];
const SCREENS = ["home", "ranking", "viewer", "search", "bookshelf"];
const DEVICES: Record<Platform, string[]> = {
  android: ["Google::Pixel 6", "samsung::SM-G991B", "SONY::SO-51B"],
  ios: ["iPhone13,2", "iPhone14,5", "iPad8,1"],
};

function record(platform: Platform, hour: Hour, random: Random, oddShare: number): string {
  const event = eventOf(platform, hour, random);
  return random() < oddShare ? odd(event, random) : JSON.stringify(event);
}

function eventOf(platform: Platform, hour: Hour, random: Random) {
  const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
  const name = weighted(EVENT_NAMES, random);
  const receivedMs = startMs(hour) + Math.floor(random() * 3_600_000);
  const occurredMs = receivedMs - Math.floor(random() ** 4 * 600_000);
  const userId = `u${String(Math.floor(random() ** 2 * 4000)).padStart(6, "0")}`;
  const isPurchase = name === "comic_purchase";
  return {
    app_id: platform === "ios" ? "id1234567890" : "com.example.comics",
    app_version: pick(["4.12.0", "4.12.1", "4.13.0"]),
    appsflyer_id: `${1_650_000_000_000 + hash(userId)}-${hash(`${userId}x`)}`,
    city: pick(CITIES),
    country_code: pick(COUNTRIES),
    customer_user_id: userId,
    device_download_time: iso(occurredMs - 86_400_000 * (1 + (hash(userId) % 90)), "+0000"),
    device_type: pick(DEVICES[platform]),
    event_name: name,
    event_revenue: isPurchase ? Math.round(random() * 2000) / 100 : null,
    event_time: iso(occurredMs, "+0900"),
    event_value: {
      user_id: userId,
      comic_id: name.startsWith("comic") ? `c${Math.floor(random() ** 3 * 300)}` : null,
      screen_name: pick(SCREENS),
    },
    is_retargeting: random() < 0.08,
    language: pick(["ja", "en", "zh", "ko"]),
    media_source: pick(SOURCES),
    os_version: platform === "ios" ? pick(["15.5", "15.6"]) : pick(["11", "12", "13"]),
    session_count: 1 + Math.floor(random() ** 3 * 500),
    wifi: random() < 0.7,
  };
}

/** What producers send on a bad day. */
function odd(event: ReturnType<typeof eventOf>, random: Random): string {
  const kinds = [
    // A member that no column knows, or a value that its column cannot hold: rescued.
    () => JSON.stringify({ ...event, install_referrer: "utm_source=campaign&gclid=1" }),
    () => JSON.stringify({ ...event, session_count: "many" }),
    () => JSON.stringify({ ...event, event_value: { ...event.event_value, coupon: "SUMMER" } }),
    // A write that was cut off: quarantined.
    () => JSON.stringify(event).slice(0, 200),
  ];
  return (kinds[Math.floor(random() * kinds.length)] as () => string)();
}

/** `2022-07-26 09:00:01.250+0900`, as AppsFlyer writes times. */
function iso(ms: number, offset: "+0000" | "+0900"): string {
  const local = ms + (offset === "+0900" ? 9 * 3_600_000 : 0);
  return new Date(local).toISOString().replace("T", " ").replace("Z", offset);
}

function weighted(items: [string, number][], random: Random): string {
  let rest = random() * items.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [item, weight] of items) {
    rest -= weight;
    if (rest < 0) return item;
  }
  return items[0]?.[0] ?? "";
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** Mulberry32: a small generator with a good spread; not for secrets. */
function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
