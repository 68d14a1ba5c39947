/** One grammar a type: which values a column takes, and what it shows of the rest. */
import { COLUMN_VALUES_MAX } from "../limits.js";
import { fold } from "../schema/names.js";
import type { Field, Type, Value } from "../schema/types.js";
import { asArray, asObject, JsonNumber, type JsonObject, type JsonValue } from "./json.js";
import { DIGITS_MAX, isJsonNumber, parseDecimal, toDouble, toInteger, toUnscaled } from "./number.js";
import { isInRange, parseDate, parseTimestamp } from "./timestamp.js";
import { writeJson } from "./write.js";

export interface Cast {
  /** What the column shows; NULL if the value does not fit at all. */
  value: Value;
  /** Whether the column gives the value back. If not, the whole top-level member is rescued. */
  held: boolean;
}

/** `zone` is for timestamps that carry none. Throws JsonDamage if NaN or Infinity would have to become JSON. */
export function cast(value: JsonValue, type: Type, zone: string): Cast {
  const state = { held: true, zone, valuesLeft: COLUMN_VALUES_MAX };
  const shown = castInto(value, type, state);
  return state.valuesLeft < 0 ? { value: null, held: false } : { value: shown, held: state.held };
}

interface State {
  held: boolean;
  zone: string;
  valuesLeft: number;
}

function castInto(value: JsonValue, type: Type, state: State): Value {
  if (--state.valuesLeft < 0 || value === null) return null;
  switch (type.kind) {
    case "string":
      return typeof value === "string" ? value : writeJson(value);
    case "bigint":
      return castInteger(value, 19, BIGINT_MIN, BIGINT_MAX) ?? misfit(state);
    case "int": {
      const integer = castInteger(value, 10, INT_MIN, INT_MAX);
      return integer === undefined ? misfit(state) : Number(integer);
    }
    case "double":
      return castDouble(value, state) ?? misfit(state);
    case "decimal": {
      const text = numberText(value);
      const exact = text === undefined ? undefined : parseDecimal(text);
      return (exact && toUnscaled(exact, type.precision, type.scale)) ?? misfit(state);
    }
    case "boolean":
      if (typeof value === "boolean") return value;
      return value === "true" ? true : value === "false" ? false : misfit(state);
    case "timestamp":
      return castTimestamp(value, type, state);
    case "date":
      return (typeof value === "string" ? parseDate(value) : undefined) ?? misfit(state);
    case "array": {
      const elements = asArray(value);
      return elements ? castArray(elements, type.element, state) : misfit(state);
    }
    case "map": {
      const object = asObject(value);
      return object ? castMap(object, type.value, state) : misfit(state);
    }
    case "struct": {
      const object = asObject(value);
      return object ? castStruct(object, type.fields, state) : misfit(state);
    }
  }
}

function castArray(elements: Iterable<JsonValue>, type: Type, state: State): Value {
  const values: Value[] = [];
  for (const element of elements) {
    if (state.valuesLeft < 0) break;
    values.push(castInto(element, type, state));
  }
  return values;
}

function misfit(state: State): null {
  state.held = false;
  return null;
}

const BIGINT_MAX = 2n ** 63n - 1n;
const BIGINT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 31n - 1n;
const INT_MIN = -(2n ** 31n);

/** The text of a number, or of a string that is itself a JSON number. */
function numberText(value: JsonValue): string | undefined {
  if (value instanceof JsonNumber) return value.text;
  return typeof value === "string" && isJsonNumber(value) ? value : undefined;
}

function castInteger(value: JsonValue, maxDigits: number, min: bigint, max: bigint): bigint | undefined {
  const text = numberText(value);
  const exact = text === undefined ? undefined : parseDecimal(text);
  const integer = exact && toInteger(exact, maxDigits);
  return integer !== undefined && integer >= min && integer <= max ? integer : undefined;
}

function castDouble(value: JsonValue, state: State): number | undefined {
  if (value instanceof JsonNumber && !value.isFinite) return Number(value.text);
  const text = numberText(value);
  const nearest = text === undefined ? undefined : toDouble(text);
  // The number has more digits than the double is printed with: shown, and rescued.
  if (nearest && !nearest.isHeld) state.held = false;
  return nearest?.double;
}

function castTimestamp(value: JsonValue, type: Extract<Type, { kind: "timestamp" }>, state: State): Value {
  const number = type.epoch && numberText(value);
  if (number) {
    const exact = parseDecimal(number);
    if (!exact || exact.precision + exact.exponent > 16) return misfit(state);
    const exponent = exact.exponent + (type.epoch === "s" ? 3 : 0);
    const ms = Number(
      exponent >= 0 ? exact.digits * 10n ** BigInt(exponent) : floorDivide(exact.digits, -exponent),
    );
    if (!isInRange(ms)) return misfit(state);
    if (exponent < 0) state.held = false;
    return ms;
  }
  const instant = typeof value === "string" ? parseTimestamp(value, type.zone ?? state.zone) : undefined;
  if (!instant) return misfit(state);
  // Finer than milliseconds: shown floored, and rescued.
  if (!instant.isExact) state.held = false;
  return instant.ms;
}

function floorDivide(digits: bigint, power: number): bigint {
  const divisor = 10n ** BigInt(Math.min(power, DIGITS_MAX));
  const quotient = digits / divisor;
  return digits < 0n && quotient * divisor !== digits ? quotient - 1n : quotient;
}

/** If a key occurs twice, the map shows its last value, and cannot give both back. */
function castMap(object: JsonObject, valueType: Type, state: State): Value {
  const entries = new Map<string, Value>();
  for (let i = 0; i < object.keys.length; i++) {
    const value = object.values[i] as JsonValue;
    if (value === null) continue;
    const key = object.keys[i] as string;
    if (entries.has(key)) state.held = false;
    entries.set(key, castInto(value, valueType, state));
  }
  return [...entries];
}

/** Holds the object only if every key has a leaf of its own. Shows the leaves that fit. */
function castStruct(object: JsonObject, fields: readonly Field[], state: State): Value {
  const values: Value[] = new Array(fields.length).fill(null);
  const seen = new Set<number>();
  for (let i = 0; i < object.keys.length; i++) {
    const value = object.values[i] as JsonValue;
    if (value === null) continue;
    const key = object.keys[i] as string;
    let index = fields.findIndex((field) => field.key === key);
    if (index < 0) index = fields.findIndex((field) => fold(field.key) === fold(key));
    if (index < 0 || seen.has(index)) state.held = false;
    if (index < 0) continue;
    seen.add(index);
    values[index] = castInto(value, (fields[index] as Field).type, state);
  }
  return values;
}
