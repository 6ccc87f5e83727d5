// Turns a failed schema check into one sentence: which field, what came, what was expected. Knows ajv's error records, no routes.
import { AppError } from '../core/index.ts';

/** The part of ajv's error record (with `verbose`) that a message needs. */
export interface SchemaViolation {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly message?: string | undefined;
  readonly data?: unknown;
  readonly parentSchema?: { readonly description?: unknown; readonly type?: unknown } | undefined;
}

const SHOWN_CHARACTERS = 80;

export function validationError(violations: readonly SchemaViolation[], part: string): AppError {
  const violation = mostTelling(violations);
  if (violation === undefined) return new AppError('invalid_request', `the ${part} of the request is not valid`);
  const field = fieldName(violation.instancePath);
  if (violation.keyword === 'additionalProperties') {
    const name = joined(field, String(violation.params['additionalProperty']).slice(0, SHOWN_CHARACTERS));
    return new AppError('unsupported_parameter', `unsupported parameter "${name}" in the ${part}: this route does not know it`, {
      param: name,
    });
  }
  if (violation.keyword === 'required') {
    const name = joined(field, String(violation.params['missingProperty']));
    return new AppError('invalid_request', `"${name}" is missing in the ${part}`, { param: name });
  }
  const subject = field === '' ? `the ${part}` : `"${field}"`;
  const message = `${subject}: got ${shownValue(violation.data)}, expected ${expectation(violation)}`;
  return new AppError('invalid_request', message, field === '' ? {} : { param: field });
}

/** A union reports every branch and then itself; its own record, the last, is the one with words for people. */
function mostTelling(violations: readonly SchemaViolation[]): SchemaViolation | undefined {
  return violations.findLast((violation) => violation.keyword === 'anyOf') ?? violations[0];
}

function expectation(violation: SchemaViolation): string {
  const { keyword, params } = violation;
  const limit = String(params['limit']);
  switch (keyword) {
    case 'type':
      return typeWords(params['type']);
    case 'minimum':
      return `at least ${limit}`;
    case 'maximum':
      return `at most ${limit}`;
    case 'exclusiveMinimum':
      return `more than ${limit}`;
    case 'minLength':
      return `at least ${limit} character(s)`;
    case 'maxLength':
      return `at most ${limit} characters`;
    case 'minItems':
      return `at least ${limit} item(s)`;
    case 'maxItems':
      return `at most ${limit} items`;
    case 'maxProperties':
      return `at most ${limit} entries`;
    case 'const':
      return JSON.stringify(params['allowedValue']);
    default:
      return describedExpectation(violation);
  }
}

/** Unions, patterns and enumerations say in their description what they take. */
function describedExpectation(violation: SchemaViolation): string {
  const description = violation.parentSchema?.description;
  return typeof description === 'string' ? description : (violation.message ?? 'another value');
}

function typeWords(type: unknown): string {
  if (type === 'integer') return 'a whole number';
  if (type === 'object') return 'a JSON object';
  if (type === 'array') return 'a list';
  return type === 'boolean' ? 'true or false' : `a ${String(type)}`;
}

/** What came, short enough for a message; a long text shows only its length. */
function shownValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string' && value.length > SHOWN_CHARACTERS) return `a text of ${value.length} characters`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length} item(s)`;
  if (typeof value === 'object' && value !== null) return 'an object';
  return JSON.stringify(value);
}

function fieldName(instancePath: string): string {
  return instancePath.split('/').slice(1).map(unescapePointer).join('.').slice(0, SHOWN_CHARACTERS);
}

function unescapePointer(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~');
}

function joined(field: string, name: string): string {
  return field === '' ? name : `${field}.${name}`;
}
