import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createTokenizer, type Tokenizer, tokenizerFromGguf } from '../../text/index.ts';
import { parseRow } from './parse-row.ts';
import { type RowText, rowTextOf, tokeniseRow } from './tokenise-row.ts';

const IM =
  "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nS<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const LLAMA2 =
  "{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}";
const FORGETFUL =
  "{% for message in messages %}{% if message['role'] != 'assistant' or loop.last %}{{ message['role'] + ':' + message['content'] + '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

function load(name: string): Tokenizer {
  const text = readFileSync(new URL(`../../../test/fixtures/tokenizer/${name}`, import.meta.url), 'utf8');
  const { metadata } = JSON.parse(text) as { metadata: Record<string, unknown> };
  return createTokenizer(tokenizerFromGguf(new Map(Object.entries({ 'tokenizer.ggml.pre': 'smollm', ...metadata }))));
}

const smollm = load('byte-level.json');
const llama2 = load('sentencepiece.json');

/** The whole text, and the parts of it that the loss counts. */
function taught(row: unknown, text: RowText, maxSeqLength = 1000) {
  const parsed = parseRow(JSON.stringify(row));
  if (parsed.kind === 'problem') throw new Error(parsed.message);
  const example = tokeniseRow(parsed, text, maxSeqLength);
  if ('kind' in example) return example;
  const learned: string[] = [];
  const run: number[] = [];
  for (const [index, tokenId] of [...example.tokenIds, -1].entries()) {
    if (example.supervised[index] === 1) run.push(tokenId);
    else if (run.length > 0) learned.push(text.tokenizer.decode(run.splice(0), { skipSpecial: false }));
  }
  return { example, whole: text.tokenizer.decode([...example.tokenIds], { skipSpecial: false }), learned };
}

const conversation = {
  messages: [
    { role: 'user', content: 'a bird' },
    { role: 'assistant', content: '\nsings' },
    { role: 'user', content: 'more' },
    { role: 'assistant', content: 'no', weight: 0 },
    { role: 'user', content: 'why' },
    { role: 'assistant', content: 'so' },
  ],
};

describe('a row as tokens', () => {
  const text = rowTextOf(smollm, IM, [2]);

  it('is prompt, completion and end token, of which the last two are learned', () => {
    const row = parseRow(JSON.stringify({ prompt: 'name : The Eagle\n', completion: 'The Eagle is' }));
    if (row.kind === 'problem') throw new Error(row.message);
    const [prompt, completion] = [smollm.encode('name : The Eagle\n'), smollm.encode('The Eagle is')];
    expect(tokeniseRow(row, text, 1000)).toEqual({
      tokenIds: Int32Array.from([...prompt, ...completion, smollm.eosTokenId]),
      supervised: Uint8Array.from([...prompt.map(() => 0), ...completion.map(() => 1), 1]),
    });
  });

  it('of a text learns all but the first token', () => {
    const row = parseRow(JSON.stringify({ text: 'a bird sings' }));
    if (row.kind === 'problem') throw new Error(row.message);
    const tokenIds = [...smollm.encode('a bird sings'), smollm.eosTokenId];
    expect(tokeniseRow(row, text, 1000)).toEqual({
      tokenIds: Int32Array.from(tokenIds),
      supervised: Uint8Array.from(tokenIds, (_, index) => (index === 0 ? 0 : 1)),
    });
  });

  it("of a conversation learns the assistant's turns up to their end tokens, and none with weight 0", () => {
    const { whole, learned } = taught(conversation, text) as { whole: string; learned: string[] };
    expect(learned).toEqual(['\nsings<|im_end|>', 'so<|im_end|>']);
    expect(whole).toMatch(
      /^<\|im_start\|>system\nS<\|im_end\|>\n<\|im_start\|>user\na bird<\|im_end\|>\n<\|im_start\|>assistant\n\nsings<\|im_end\|>/,
    );
    expect(whole).toMatch(/assistant\nso<\|im_end\|>\n$/);
  });

  it('of a conversation begins as serving encodes its prompt', () => {
    const { example } = taught(conversation, text) as { example: { tokenIds: Int32Array } };
    const prompt = smollm.encode('<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na bird<|im_end|>\n<|im_start|>assistant\n');
    expect([...example.tokenIds.subarray(0, prompt.length)]).toEqual(prompt);
  });

  it('of a conversation is the text as a whole where a tokenizer cannot encode parts', () => {
    const { example, learned } = taught(conversation, rowTextOf(llama2, LLAMA2, [2])) as {
      example: { tokenIds: Int32Array };
      learned: string[];
    };
    const whole = `<s>[INST] a bird [/INST] \nsings </s><s>[INST] more [/INST] no </s><s>[INST] why [/INST] so </s>`;
    expect([...example.tokenIds]).toEqual(llama2.encode(whole));
    expect(learned).toEqual([expect.stringMatching(/^\s*sings <\/s>$/), expect.stringMatching(/^\s*so <\/s>$/)]);
  });

  it('begins with BOS where the model puts it before plain text', () => {
    const { example } = taught({ prompt: 'a', completion: 'b' }, rowTextOf(llama2, null, [2])) as { example: { tokenIds: Int32Array } };
    expect(llama2.addBos).toBe(true);
    expect(example.tokenIds[0]).toBe(llama2.bosTokenId);
  });

  it('is cut at its end', () => {
    const { example } = taught({ prompt: 'a bird', completion: ' sings and sings' }, text, 8) as { example: { tokenIds: Int32Array } };
    expect(example.tokenIds).toHaveLength(8);
    const all = taught(conversation, text) as { example: { tokenIds: Int32Array; supervised: Uint8Array } };
    const first = all.example.supervised.indexOf(1);
    const cut = taught(conversation, text, first + 1) as typeof all;
    expect(cut.example.tokenIds).toEqual(all.example.tokenIds.subarray(0, first + 1));
    expect(cut.example.supervised).toEqual(all.example.supervised.subarray(0, first + 1));
  });

  it.each<[string, unknown, RowText, number, RegExp]>([
    ['nothing is left to learn', { prompt: 'a bird sings', completion: 'x' }, text, 2, /without anything to learn in its first 2 tokens/],
    ['nothing can be predicted', { prompt: '', completion: '' }, text, 9, /without anything to learn/],
    ['there is no chat template', conversation, rowTextOf(smollm, null, [2]), 99, /has no chat template; expected "prompt"/],
    ['the template refuses it', conversation, rowTextOf(smollm, "{{ raise_exception('no') }}", [2]), 99, /refused the conversation: no/],
    [
      'the template rewrites earlier turns',
      conversation,
      rowTextOf(smollm, FORGETFUL, [2]),
      99,
      /"messages\[1\]": the base model's chat template does not keep/,
    ],
  ])('is a problem when %s', (_, row, base, maxSeqLength, message) => {
    expect(taught(row, base, maxSeqLength)).toMatchObject({ kind: 'problem', message: expect.stringMatching(message) as string });
  });
});
