// One line of a training file → a row, or what is wrong with it. Pure; knows no tokenizer. Shapes: OpenAI's for chat (unknown keys are refused
// there too), `prompt`/`completion` and `text` as Hugging Face's trainers read them.
import { FormatError, isJsonArray, isJsonObject, type JsonObject, type JsonValue, parseStrictJson, quoted } from '../../formats/index.ts';
import { type ChatTurn, type Row, ROW_LIMITS, type RowProblem, rowProblem, wrongValue } from './row.ts';

const SHAPES = 'expected {"messages": […]}, {"prompt": "…", "completion": "…"} or {"text": "…"}';

/** The keys that tell a row's kind, each with what may stand beside it. */
const KEYS_OF: ReadonlyMap<string, readonly string[]> = new Map([
  ['messages', ['messages']],
  ['prompt', ['prompt', 'completion']],
  ['completion', ['prompt', 'completion']],
  ['text', ['text']],
]);

const MESSAGE_KEYS: readonly string[] = ['role', 'content', 'name', 'weight'];

const NOT_SUPPORTED: ReadonlySet<string> = new Set([
  'tools',
  'functions',
  'parallel_tool_calls',
  'tool_calls',
  'tool_call_id',
  'function_call',
  'refusal',
  'audio',
]);

/** Reads one line, without its line end. Never throws for what stands in it. */
export function parseRow(line: string): Row | RowProblem {
  if (line.length > ROW_LIMITS.lineBytes)
    return rowProblem(null, `got a row of ${line.length} characters, expected at most ${ROW_LIMITS.lineBytes}`);
  let value: JsonValue;
  try {
    value = parseStrictJson(line, 'JSON', { maxDepth: ROW_LIMITS.jsonDepth, maxValues: ROW_LIMITS.jsonValues });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return rowProblem(null, `got something that is not one JSON object on one line (${error.message}), ${SHAPES}`);
  }
  if (!isJsonObject(value)) return rowProblem(null, `got JSON that is not an object, ${SHAPES}`);
  return rowOf(value);
}

function rowOf(row: JsonObject): Row | RowProblem {
  const kind = [...row.keys()].find((key) => KEYS_OF.has(key));
  if (kind === undefined) {
    const keys = [...row.keys()].slice(0, 5).map((key) => quoted(key));
    return rowProblem(null, `got an object with ${keys.length === 0 ? 'no keys' : `the keys ${keys.join(', ')}`}, ${SHAPES}`);
  }
  const unknown = unknownKey(row, KEYS_OF.get(kind) ?? [], '');
  if (unknown !== null) return unknown;
  const parsed = kind === 'messages' ? chatRow(row.get('messages')) : textRow(row, kind);
  return parsed.kind === 'problem' ? parsed : (tooLong(parsed) ?? parsed);
}

function textRow(row: JsonObject, kind: string): Row | RowProblem {
  const [first, second] = [row.get(kind === 'text' ? 'text' : 'prompt'), row.get('completion')];
  if (typeof first !== 'string') return wrongValue(kind === 'text' ? 'text' : 'prompt', first, 'a string');
  if (kind === 'text') return first === '' ? wrongValue('text', first, 'a text that is not empty') : { kind: 'text', text: first };
  if (typeof second !== 'string') return wrongValue('completion', second, 'a string');
  return { kind: 'completion', prompt: first, completion: second };
}

function chatRow(messages: JsonValue | undefined): Row | RowProblem {
  if (!isJsonArray(messages)) return wrongValue('messages', messages, 'a list of messages');
  if (messages.length === 0 || messages.length > ROW_LIMITS.messageCount)
    return rowProblem('messages', `got ${messages.length} messages, expected 1 to ${ROW_LIMITS.messageCount}`);
  const turns: ChatTurn[] = [];
  for (const [index, message] of messages.entries()) {
    const turn = chatTurn(message, `messages[${index}]`);
    if ('kind' in turn) return turn;
    turns.push(turn);
  }
  if (!turns.some((turn) => turn.role === 'assistant')) return rowProblem('messages', 'got no assistant message, expected at least one');
  if (!turns.some((turn) => turn.supervised))
    return rowProblem('messages', 'got weight 0 for every assistant message, expected at least one with weight 1');
  return { kind: 'chat', turns };
}

function chatTurn(message: JsonValue, field: string): ChatTurn | RowProblem {
  if (!isJsonObject(message)) return wrongValue(field, message, 'a message with "role" and "content"');
  const unknown = unknownKey(message, MESSAGE_KEYS, `${field}.`);
  if (unknown !== null) return unknown;
  const role = roleOf(message.get('role'));
  if (role === null) return wrongValue(`${field}.role`, message.get('role'), '"system", "developer", "user" or "assistant"');
  const content = contentOf(message.get('content'));
  if (content === null) return wrongValue(`${field}.content`, message.get('content'), 'a string or a list of text parts');
  const name = message.get('name') ?? null;
  if (name !== null && (typeof name !== 'string' || name === '' || name.length > ROW_LIMITS.nameCharacters))
    return wrongValue(`${field}.name`, name, `a string of 1 to ${ROW_LIMITS.nameCharacters} characters`);
  const weight = message.get('weight') ?? null;
  const wrongWeight = weightProblem(weight, role, `${field}.weight`);
  if (wrongWeight !== null) return wrongWeight;
  return { role, content, supervised: role === 'assistant' && weight !== 0, ...(name !== null && { name }) };
}

function weightProblem(weight: JsonValue, role: ChatTurn['role'], field: string): RowProblem | null {
  if (weight === null) return null;
  if (role !== 'assistant') return wrongValue(field, weight, 'no weight but on assistant messages');
  return weight === 0 || weight === 1 ? null : wrongValue(field, weight, '0 or 1');
}

/** `developer` is the newer name of `system`, as in requests. */
function roleOf(role: JsonValue | undefined): ChatTurn['role'] | null {
  if (role === 'developer') return 'system';
  return role === 'system' || role === 'user' || role === 'assistant' ? role : null;
}

/** Text, or OpenAI's parts of it; null: something else. */
function contentOf(content: JsonValue | undefined): string | null {
  if (content === undefined || typeof content === 'string') return content ?? null;
  if (!isJsonArray(content) || content.length === 0) return null;
  const texts = content.map((part) => (isJsonObject(part) && part.size === 2 && part.get('type') === 'text' ? part.get('text') : null));
  return texts.every((text) => typeof text === 'string') ? texts.join('') : null;
}

function unknownKey(object: JsonObject, known: readonly string[], prefix: string): RowProblem | null {
  for (const [key, value] of object) {
    // An exporter's null says that the field is not there.
    if (known.includes(key) || value === null) continue;
    const expected = `expected no keys but ${known.map((name) => quoted(name)).join(', ')}`;
    const shown = key.length <= 80 ? key : `${key.slice(0, 80)}…`;
    return rowProblem(`${prefix}${shown}`, NOT_SUPPORTED.has(key) ? `it is not supported; ${expected}` : `it is unknown; ${expected}`);
  }
  return null;
}

function tooLong(row: Row): RowProblem | null {
  const characters = textsOf(row).reduce((sum, text) => sum + text.length, 0);
  if (characters <= ROW_LIMITS.textCharacters) return null;
  return rowProblem(null, `got a row with ${characters} characters of text, expected at most ${ROW_LIMITS.textCharacters}`);
}

function textsOf(row: Row): readonly string[] {
  if (row.kind === 'text') return [row.text];
  return row.kind === 'completion' ? [row.prompt, row.completion] : row.turns.map((turn) => turn.content);
}
