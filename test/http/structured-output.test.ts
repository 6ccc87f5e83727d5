// Structured output over every surface and a real grammar thread: what comes out parses and keeps to its schema, whatever is drawn.
import fc from 'fast-check';
import { Check } from 'typebox/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHarness, type HttpHarness } from './harness.ts';
import { matching } from './matchers.ts';
import { errorText } from './error-text.ts';
import { readSse } from './sse-events.ts';

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

const PERSON = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 6 },
    age: { type: 'integer', minimum: 0, maximum: 120 },
    mood: { enum: ['good', 'bad', null, 7] },
    motto: { type: 'string', pattern: '^[ -~]{1,5}.\\S$' },
    tags: { type: 'array', items: { type: 'string', pattern: '^[a-c.]{2,4}$' }, maxItems: 3 },
    parent: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/named' }] },
  },
  required: ['name', 'age', 'tags'],
  $defs: {
    named: { type: 'object', properties: { id: { type: 'string', format: 'uuid' }, alive: { type: 'boolean' } }, required: ['alive'] },
  },
};
const personFormat = { type: 'json_schema', json_schema: { name: 'person', schema: PERSON, strict: true } };

async function post(url: string, payload: object): Promise<{ readonly status: number; readonly body: string }> {
  const answer = await harness.app.inject({ method: 'POST', url, payload });
  return { status: answer.statusCode, body: answer.payload };
}

interface Choice {
  readonly text: string;
  readonly finish_reason: string;
}

async function complete(payload: object): Promise<readonly Choice[]> {
  const { status, body } = await post('/v1/completions', { prompt: 'p', max_tokens: 500, ...payload });
  if (status !== 200) throw new Error(body);
  return (JSON.parse(body) as { readonly choices: readonly Choice[] }).choices;
}

describe('an output with a JSON schema', () => {
  it('parses, validates and ends by itself for every seed and sampling', async () => {
    const sampling = fc.record({
      seed: fc.nat(1e6),
      temperature: fc.constantFrom(0, 1, 2),
      top_p: fc.constantFrom(1, 0.5),
      top_k: fc.constantFrom(0, 3),
      frequency_penalty: fc.constantFrom(0, 2),
      n: fc.constantFrom(1, 3),
    });
    await fc.assert(
      fc.asyncProperty(sampling, async (fields) => {
        for (const { text, finish_reason } of await complete({ ...fields, response_format: personFormat })) {
          expect(Check(PERSON, JSON.parse(text)) ? 'valid' : text).toBe('valid');
          expect(finish_reason).toBe('stop');
        }
      }),
      { seed: 5, numRuns: 40 },
    );
  });

  it('is the same on every surface, whole and streamed', async () => {
    const fields = { seed: 3, temperature: 1 };
    const [wanted] = await complete({ ...fields, response_format: personFormat });
    const texts = [
      ...(await complete({ ...fields, guided_json: PERSON })),
      ...(await complete({ ...fields, guided_json: JSON.stringify(PERSON) })),
      ...(await complete({ ...fields, structured_outputs: { json: PERSON } })),
    ].map(({ text }) => text);
    const tgi = { ...fields, max_new_tokens: 500 };
    for (const parameters of [{ grammar: { type: 'json', value: PERSON } }, { response_format: { type: 'json_object', schema: PERSON } }]) {
      const { body } = await post('/generate', { inputs: 'p', parameters: { ...tgi, ...parameters } });
      texts.push((JSON.parse(body) as { readonly generated_text: string }).generated_text);
    }
    const streamed = await post('/v1/completions', {
      prompt: 'p',
      max_tokens: 500,
      stream: true,
      ...fields,
      response_format: personFormat,
    });
    const chunks = readSse(streamed.body).filter((data) => data !== '[DONE]');
    texts.push(chunks.map((data) => (JSON.parse(data) as { readonly choices: readonly Choice[] }).choices[0]?.text ?? '').join(''));
    expect(new Set(texts)).toEqual(new Set([wanted?.text]));
  });

  it('comes from chat too, and ends with length when the tokens run out', async () => {
    const chat = (changes: object) =>
      post('/v1/chat/completions', {
        messages: [{ role: 'user', content: 'p' }],
        max_tokens: 500,
        response_format: personFormat,
        ...changes,
      });
    const whole = JSON.parse((await chat({})).body) as { readonly choices: readonly { readonly message: { readonly content: string } }[] };
    expect(Check(PERSON, JSON.parse(whole.choices[0]?.message.content ?? ''))).toBe(true);
    expect(JSON.parse((await chat({ max_tokens: 4 })).body)).toMatchObject({ choices: [{ finish_reason: 'length' }] });
  });

  it('reports the log probabilities of the model, not of what the grammar left', async () => {
    const { body } = await post('/v1/completions', { prompt: 'p', max_tokens: 1, logprobs: 1, response_format: { type: 'json_object' } });
    const { logprobs } = (JSON.parse(body) as { readonly choices: readonly [{ readonly logprobs: Record<string, unknown> }] }).choices[0];
    expect(logprobs).toMatchObject({ tokens: ['{'] });
    // The fake model gives letters nearly all of the mass.
    expect((logprobs['token_logprobs'] as readonly number[])[0]).toBeLessThan(-15);
  });

  it('bounds only the requests that ask for it', async () => {
    const free = { prompt: 'say:free text\n', temperature: 0 };
    const [[bounded], [unbounded]] = await Promise.all([complete({ response_format: personFormat }), complete(free)]);
    expect(unbounded?.text).toBe('free text');
    expect(Check(PERSON, JSON.parse(bounded?.text ?? ''))).toBe(true);
  });
});

describe('an output with another grammar', () => {
  it('is one of the choices, a match of the expression, or derived from the rules', async () => {
    const choices = ['yes', 'no "maybe"', 'é'];
    for (let seed = 0; seed < 6; seed += 1) {
      expect(choices).toContain((await complete({ seed, guided_choice: choices }))[0]?.text);
      expect((await complete({ seed, guided_regex: '[0-9]{3}-(ab|cd)' }))[0]?.text).toMatch(/^[0-9]{3}-(ab|cd)$/);
      expect((await complete({ seed, guided_grammar: 'root ::= "(" [xy] ")"' }))[0]?.text).toMatch(/^\([xy]\)$/);
      const tgi = await post('/generate', { inputs: 'p', parameters: { seed, grammar: { type: 'regex', value: 'a|b' } } });
      expect(JSON.parse(tgi.body)).toMatchObject({ generated_text: matching(/^[ab]$/) });
    }
  });
});

describe('a grammar that cannot be used', () => {
  const schema = (value: unknown) => ({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: value } } });
  it.each<[string, object, string]>([
    ['an unknown type', schema({ type: 'text' }), 'got "text" at #/type'],
    ['an unsupported keyword', schema({ type: 'object', properties: { a: { not: {} } } }), 'keyword "not" for a schema without type'],
    ['bounds on a number', schema({ type: 'number', minimum: 0.5 }), 'keyword "minimum" for number'],
    ['a required name that is not declared', schema({ type: 'object', required: ['a'] }), 'names that "properties" declares'],
    ['a reference to nothing', schema({ $ref: '#/$defs/a' }), 'Cannot find field $defs'],
    ['too deep a schema', schema(JSON.parse('{"items":'.repeat(40) + '{}' + '}'.repeat(40))), 'more than 32 levels'],
    ['a schema that is no JSON', { guided_json: '{' }, 'a text that is not JSON'],
    ['a broken expression', { guided_regex: '(a' }, 'parenthesis is not closed'],
    ['broken rules', { guided_grammar: 'root ::= "a' }, 'Expect " in string literal'],
    ['an empty choice', { guided_choice: ['a', ''] }, 'an empty choice'],
    ['two grammars', { guided_regex: 'a', guided_json: {} }, 'expected one of them'],
    ['an ignored end', { guided_regex: 'a', ignore_eos: true }, '"ignore_eos": got true together with "guided_regex"'],
  ])('is refused before anything runs: %s', async (_name, fields, reason) => {
    const before = harness.engine?.executor.calls.length;
    const { status, body } = await post('/v1/completions', { prompt: 'p', ...fields });
    expect(status).toBe(400);
    expect(errorText(JSON.parse(body))).toContain(reason);
    expect(harness.engine?.executor.calls.length).toBe(before);
  });

  it('is a 422 of its own shape on the TGI surface', async () => {
    const { status, body } = await post('/generate', { inputs: 'p', parameters: { grammar: { type: 'regex', value: '(a' } } });
    expect(status).toBe(422);
    expect(JSON.parse(body)).toMatchObject({ error_type: 'validation' });
  });
});
