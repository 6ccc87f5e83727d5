// JSON schemas as far as the grammar engine keeps to them: every keyword is either held by each output, a mere note, or refused by name.
// The engine itself ignores what it does not know, and reads some keywords wrongly; those are rewritten here.
import { AppError } from '../../core/index.ts';
import { isRecord, type JsonRecord } from '../json.ts';
import { jsonSafePattern } from './json-pattern.ts';

const MAX_DEPTH = 32;
const MAX_NODES = 2048;
/** Largest minLength, maxLength, minItems or maxItems: each becomes that many states. */
const MAX_REPETITION = 2048;

const NOTES = 'title description default examples $schema $id $comment deprecated readOnly writeOnly discriminator'.split(' ');
const DEFINITIONS = ['$defs', 'definitions'];
/** A schema has one of these, alone but for notes, definitions and `type`. */
const WHOLE = ['$ref', 'anyOf', 'oneOf', 'allOf', 'enum', 'const'] as const;
const BY_TYPE: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  string: ['pattern', 'minLength', 'maxLength', 'format'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  number: [],
  boolean: [],
  null: [],
};
const FORMATS =
  'date time date-time duration email uuid ipv4 ipv6 uri uri-reference hostname json-pointer relative-json-pointer uri-template'.split(' ');

interface Walk {
  readonly param: string;
  nodeCount: number;
}

/**
 * The schema as the grammar engine gets it. What it accepts is a subset of what the given schema accepts: strings hold no escapes where
 * `pattern`, `minLength` or `maxLength` bound them, and objects have declared properties only. `oneOf` is read as `anyOf`.
 * @throws AppError invalid_request with the place of the first part that is wrong or not supported.
 */
export function supportedSchema(schema: unknown, param: string): unknown {
  return rewritten({ param, nodeCount: 0 }, schema, '#', 0);
}

function rewritten(walk: Walk, schema: unknown, place: string, depth: number): unknown {
  walk.nodeCount += 1;
  if (walk.nodeCount > MAX_NODES) refuse(walk, place, `more than ${MAX_NODES} subschemas`, 'fewer');
  if (depth > MAX_DEPTH) refuse(walk, place, `more than ${MAX_DEPTH} levels`, 'fewer');
  if (schema === true) return {};
  if (!isRecord(schema)) return refuse(walk, place, Array.isArray(schema) ? 'a list' : JSON.stringify(schema), 'a JSON schema, an object');
  const types = typesOf(walk, schema, place);
  checkKeywords(walk, schema, types, place);
  const inner = (part: unknown, at: string): unknown => rewritten(walk, part, `${place}/${at}`, depth + 1);
  return {
    ...definitions(walk, schema, place, inner),
    ...(types.length > 0 && { type: types.length === 1 ? types[0] : types }),
    ...wholeParts(walk, schema, types, place, inner),
    ...objectParts(walk, schema, place, inner),
    ...arrayParts(walk, schema, place, inner),
    ...stringParts(walk, schema, place),
    ...integerParts(walk, schema, types, place),
  };
}

/** The types that it names, or the one that its keywords are for. */
function typesOf(walk: Walk, schema: JsonRecord, place: string): readonly string[] {
  const named = schema['type'];
  if (named === undefined) {
    if (WHOLE.some((keyword) => schema[keyword] !== undefined)) return [];
    return Object.keys(BY_TYPE).filter((type) => BY_TYPE[type]?.some((keyword) => schema[keyword] !== undefined));
  }
  const list: readonly unknown[] = Array.isArray(named) ? named : [named];
  const types = list.filter((type): type is string => typeof type === 'string' && Object.hasOwn(BY_TYPE, type));
  const known = types.length === list.length && types.length > 0;
  return known
    ? types
    : refuse(walk, `${place}/type`, JSON.stringify(named), `one of ${Object.keys(BY_TYPE).join(', ')}, or a list of them`);
}

function checkKeywords(walk: Walk, schema: JsonRecord, types: readonly string[], place: string): void {
  const whole = WHOLE.filter((keyword) => schema[keyword] !== undefined);
  const [first, second] = whole;
  if (second !== undefined) refuse(walk, place, `"${first}" beside "${second}"`, 'one of them');
  const ofTypes = types.flatMap((type) => BY_TYPE[type] ?? []);
  const takesType = first === undefined || first === 'enum' || first === 'const';
  const own = [...(takesType ? ['type'] : []), ...(first === undefined ? ofTypes : [first])];
  const allowed = new Set<string>([...NOTES, ...DEFINITIONS, ...own]);
  const unknown = Object.keys(schema).find((keyword) => !allowed.has(keyword));
  if (unknown === undefined) return;
  const beside = first === undefined ? `for ${types.length === 0 ? 'a schema without type' : types.join(' or ')}` : `beside "${first}"`;
  refuse(
    walk,
    place,
    `the keyword "${unknown.slice(0, 40)}" ${beside}`,
    `keywords among ${[...allowed].filter((name) => !NOTES.includes(name)).join(', ')}`,
  );
}

type Inner = (part: unknown, at: string) => unknown;

function definitions(walk: Walk, schema: JsonRecord, place: string, inner: Inner): JsonRecord {
  const found = DEFINITIONS.filter((name) => schema[name] !== undefined);
  return Object.fromEntries(
    found.map((name) => [name, eachPart(walk, schema[name], `${place}/${name}`, (part, at) => inner(part, `${name}/${at}`))]),
  );
}

function wholeParts(walk: Walk, schema: JsonRecord, types: readonly string[], place: string, inner: Inner): JsonRecord {
  const reference = schema['$ref'];
  if (reference !== undefined && !(typeof reference === 'string' && reference.startsWith('#')))
    refuse(walk, `${place}/$ref`, JSON.stringify(reference), 'a reference within this schema, which begins with #');
  const options = ['anyOf', 'oneOf', 'allOf'].find((name) => schema[name] !== undefined);
  const optionPlace = `${place}/${options}`;
  return {
    ...(reference !== undefined && { $ref: reference }),
    ...(options !== undefined && {
      anyOf: optionList(walk, schema[options], optionPlace, options).map((part, index) => inner(part, `${options}/${index}`)),
    }),
    ...valueParts(walk, schema, types, place),
  };
}

function valueParts(walk: Walk, schema: JsonRecord, types: readonly string[], place: string): JsonRecord {
  const values = schema['const'] === undefined ? schema['enum'] : [schema['const']];
  if (values === undefined) return {};
  if (!Array.isArray(values)) return refuse(walk, `${place}/enum`, JSON.stringify(values), 'a list');
  const list: readonly unknown[] = values;
  const kept = types.length === 0 ? list : list.filter((value) => types.some((type) => isOfType(value, type)));
  return kept.length === 0 ? refuse(walk, place, 'no value that it accepts', 'at least one') : { enum: kept };
}

function optionList(walk: Walk, options: unknown, place: string, name: string): readonly unknown[] {
  if (!Array.isArray(options) || options.length === 0) return refuse(walk, place, JSON.stringify(options), 'a list of schemas');
  return name === 'allOf' && options.length > 1
    ? refuse(walk, place, `${options.length} schemas`, 'one; several are not supported')
    : options;
}

function objectParts(walk: Walk, schema: JsonRecord, place: string, inner: Inner): JsonRecord {
  const { properties, required, additionalProperties: additional } = schema;
  const names = isRecord(properties) ? Object.keys(properties) : [];
  const wanted: unknown = required ?? [];
  if (!Array.isArray(wanted)) refuse(walk, `${place}/required`, JSON.stringify(required), 'a list of names');
  const missing = (wanted as readonly unknown[]).find((name) => typeof name !== 'string' || !names.includes(name));
  if (missing !== undefined) refuse(walk, `${place}/required`, JSON.stringify(missing), 'names that "properties" declares');
  if (names.length === 0 && typeof additional !== 'boolean')
    return additional === undefined ? {} : { additionalProperties: inner(additional, 'additionalProperties') };
  return {
    ...(properties !== undefined && {
      properties: eachPart(walk, properties, `${place}/properties`, (part, at) => inner(part, `properties/${at}`)),
    }),
    ...(required !== undefined && { required }),
    // Further properties could repeat a declared name with another type.
    additionalProperties: names.length === 0 && additional === true,
  };
}

function arrayParts(walk: Walk, schema: JsonRecord, place: string, inner: Inner): JsonRecord {
  const { items, prefixItems, minItems, maxItems } = schema;
  if (prefixItems !== undefined && !Array.isArray(prefixItems))
    refuse(walk, `${place}/prefixItems`, JSON.stringify(prefixItems), 'a list of schemas');
  return {
    ...(items !== undefined && { items: items === false ? false : inner(items, 'items') }),
    ...(Array.isArray(prefixItems) && { prefixItems: prefixItems.map((part, index) => inner(part, `prefixItems/${index}`)) }),
    ...(minItems !== undefined && { minItems: repetition(walk, minItems, `${place}/minItems`) }),
    ...(maxItems !== undefined && { maxItems: repetition(walk, maxItems, `${place}/maxItems`) }),
  };
}

function stringParts(walk: Walk, schema: JsonRecord, place: string): JsonRecord {
  const { pattern, minLength, maxLength, format } = schema;
  const hasLength = minLength !== undefined || maxLength !== undefined;
  if ([pattern !== undefined, hasLength, format !== undefined].filter(Boolean).length > 1)
    refuse(walk, place, 'more than one of a pattern, a length and a format', 'one of them');
  if (format !== undefined) {
    if (typeof format === 'string' && FORMATS.includes(format)) return { format };
    refuse(walk, `${place}/format`, JSON.stringify(format), `one of ${FORMATS.join(', ')}`);
  }
  if (hasLength) {
    const least = repetition(walk, minLength ?? 0, `${place}/minLength`);
    const most = repetition(walk, maxLength ?? MAX_REPETITION, `${place}/maxLength`);
    if (most < least) refuse(walk, place, `a length from ${least} to ${most}`, 'the least first');
    return { minLength: least, ...(maxLength !== undefined && { maxLength: most }) };
  }
  if (pattern === undefined) return {};
  if (typeof pattern !== 'string') return refuse(walk, `${place}/pattern`, JSON.stringify(pattern), 'a regular expression');
  const refusePart = (part: string): never => refuse(walk, `${place}/pattern`, part, 'a pattern without it');
  return { pattern: jsonSafePattern(pattern, refusePart) };
}

/**
 * The engine's own ranges let some numbers outside through, such as 124 for a maximum of 120; so a small range becomes a list, and of the open
 * ones only those from 0 or 1 are kept, which it gets right.
 */
function integerParts(walk: Walk, schema: JsonRecord, types: readonly string[], place: string): JsonRecord {
  const bounds = (BY_TYPE['integer'] ?? []).filter((name) => schema[name] !== undefined);
  if (bounds.length === 0) return {};
  const bound = (name: string, shift: number, none: number): number => {
    const value = schema[name] ?? none;
    return typeof value === 'number' && (Number.isSafeInteger(value) || value === none)
      ? value + shift
      : refuse(walk, `${place}/${name}`, JSON.stringify(value), 'a whole number');
  };
  const least = Math.max(bound('minimum', 0, -Infinity), bound('exclusiveMinimum', 1, -Infinity));
  const most = Math.min(bound('maximum', 0, Infinity), bound('exclusiveMaximum', -1, Infinity));
  const count = most - least + 1;
  if (count >= 1 && count <= MAX_REPETITION && types.length === 1)
    return { enum: Array.from({ length: count }, (_, index) => least + index) };
  if ((least === 0 || least === 1) && most === Infinity) return { minimum: least };
  const wanted = `a range of 1 to ${MAX_REPETITION} numbers for the type integer alone, or a minimum of 0 or 1 without a maximum`;
  return refuse(walk, place, `the range ${least} to ${most} for ${types.join(' or ')}`, wanted);
}

function eachPart(walk: Walk, parts: unknown, place: string, inner: Inner): JsonRecord {
  if (!isRecord(parts)) return refuse(walk, place, JSON.stringify(parts), 'an object of schemas');
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, inner(part, name)]));
}

function repetition(walk: Walk, value: unknown, place: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_REPETITION) return value;
  return refuse(walk, place, JSON.stringify(value), `a whole number from 0 to ${MAX_REPETITION}`);
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isRecord(value);
  return type === 'integer' ? Number.isInteger(value) : typeof value === type;
}

function refuse(walk: Walk, place: string, came: string, wanted: string): never {
  throw new AppError('invalid_request', `"${walk.param}": got ${came.slice(0, 160)} at ${place.slice(0, 120)}, expected ${wanted}`, {
    param: walk.param,
  });
}
