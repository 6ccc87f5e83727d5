import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRow } from './parse-row.ts';
import { ROW_LIMITS } from './row.ts';

const parse = (value: unknown): ReturnType<typeof parseRow> => parseRow(JSON.stringify(value));
const user = { role: 'user', content: 'Hi' };
const assistant = { role: 'assistant', content: 'Hello' };

describe('a training row', () => {
  it('is a prompt with its completion', () => {
    expect(parse({ prompt: '', completion: 'b' })).toEqual({ kind: 'completion', prompt: '', completion: 'b' });
  });

  it('is a text', () => {
    expect(parse({ text: 'a' })).toEqual({ kind: 'text', text: 'a' });
  });

  it('is a conversation, whose assistant turns are learned but for weight 0', () => {
    const messages = [
      { role: 'developer', content: 'S' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
        name: 'Ada',
      },
      { ...assistant, weight: 0 },
      user,
      { ...assistant, weight: 1 },
      user,
      assistant,
    ];
    expect(parse({ messages })).toEqual({
      kind: 'chat',
      turns: [
        { role: 'system', content: 'S', supervised: false },
        { role: 'user', content: 'ab', name: 'Ada', supervised: false },
        { ...assistant, supervised: false },
        { ...user, supervised: false },
        { ...assistant, supervised: true },
        { ...user, supervised: false },
        { ...assistant, supervised: true },
      ],
    });
  });

  it('takes null for a field that is not there', () => {
    expect(parse({ text: 'a', prompt: null, id: null })).toEqual({ kind: 'text', text: 'a' });
    expect(
      parse({
        messages: [
          { ...user, name: null, weight: null },
          { ...assistant, tool_calls: null },
        ],
      }),
    ).toMatchObject({ kind: 'chat' });
  });

  it.each<[string, unknown, string | null, RegExp]>([
    ['no object', [1], null, /JSON that is not an object, expected \{"messages"/],
    ['an object without a known key', { input: 'a', output: 'b' }, null, /the keys "input", "output", expected/],
    ['an empty object', {}, null, /no keys/],
    ['a prompt without a completion', { prompt: 'a' }, 'completion', /it is missing, expected a string/],
    ['a completion without a prompt', { completion: 'a' }, 'prompt', /it is missing/],
    ['a prompt that is no string', { prompt: 3, completion: 'a' }, 'prompt', /got 3, expected a string/],
    ['an empty text', { text: '' }, 'text', /got "", expected a text that is not empty/],
    ['two shapes at once', { text: 'a', prompt: 'b', completion: 'c' }, 'prompt', /it is unknown; expected no keys but "text"/],
    ['an unknown key', { prompt: 'b', completion: 'c', id: 7 }, 'id', /it is unknown; expected no keys but "prompt", "completion"/],
    ['tools', { messages: [user, assistant], tools: [{}] }, 'tools', /it is not supported/],
    ['messages that are no list', { messages: {} }, 'messages', /expected a list of messages/],
    ['no messages', { messages: [] }, 'messages', /got 0 messages, expected 1 to 512/],
    ['too many messages', { messages: Array.from({ length: 513 }, () => user) }, 'messages', /got 513 messages/],
    ['a message that is no object', { messages: ['Hi'] }, 'messages[0]', /got "Hi"/],
    ['no assistant', { messages: [user] }, 'messages', /no assistant message/],
    ['no assistant with weight', { messages: [user, { ...assistant, weight: 0 }] }, 'messages', /weight 0 for every assistant/],
    ['a tool turn', { messages: [user, { role: 'tool', content: 'x' }] }, 'messages[1].role', /got "tool", expected "system"/],
    ['a call of a tool', { messages: [user, { ...assistant, tool_calls: [1] }] }, 'messages[1].tool_calls', /it is not supported/],
    [
      'an image',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }, assistant] },
      'messages[0].content',
      /list of text parts/,
    ],
    ['a message without content', { messages: [user, { role: 'assistant' }] }, 'messages[1].content', /it is missing/],
    ['a weight between', { messages: [user, { ...assistant, weight: 0.5 }] }, 'messages[1].weight', /got 0.5, expected 0 or 1/],
    ['a weight of a user', { messages: [{ ...user, weight: 1 }, assistant] }, 'messages[0].weight', /expected no weight but on assistant/],
    ['an empty name', { messages: [{ ...user, name: '' }, assistant] }, 'messages[0].name', /expected a string of 1 to 64/],
    ['too much text', { text: 'a'.repeat(ROW_LIMITS.textCharacters + 1) }, null, /262145 characters of text, expected at most 262144/],
  ])('is refused when it has %s', (_, value, field, message) => {
    expect(parse(value)).toMatchObject({ kind: 'problem', field, message: expect.stringMatching(message) as string });
  });

  it.each<[string, string, RegExp]>([
    ['half a JSON', '{"text": "a"', /expected "," or "}"/],
    ['two values', '{"text": "a"} {"text": "b"}', /text after the end/],
    ['a key twice', '{"text": "a", "text": "b"}', /duplicate key "text"/],
    ['a lone surrogate', String.raw`{"text": "\ud800"}`, /lone surrogate/],
    ['endless nesting', '['.repeat(100_000), /nested deeper than 8/],
    ['endless lists', `[${'0,'.repeat(20_000)}0]`, /more than 10000 JSON values/],
    ['a huge line', ' '.repeat(ROW_LIMITS.lineBytes + 1), /1048577 characters, expected at most 1048576/],
  ])('is refused when its line has %s', (_, line, message) => {
    expect(parseRow(line)).toMatchObject({ kind: 'problem', field: null, message: expect.stringMatching(message) as string });
  });

  it('is a row or a short problem, whatever comes', () => {
    const key = fc.constantFrom('messages', 'prompt', 'completion', 'text', 'role', 'content', 'weight', 'x'.repeat(1000));
    const value = fc.jsonValue({ maxDepth: 3 });
    const message = fc.dictionary(key, value);
    const rows = fc.oneof(fc.dictionary(key, value), fc.record({ messages: fc.array(fc.oneof(message, value)) }), value);
    fc.assert(
      fc.property(rows, (row) => {
        const parsed = parse(row);
        expect(parsed.kind === 'problem' ? parsed.message.length : 0).toBeLessThan(600);
      }),
      { seed: 11, numRuns: 1000 },
    );
  });
});
