// Cuts the calibration text into what the model reads: every passage from position 0, then all of them as one long context.
import { chatTemplate, createTokenizer } from '../../text/index.ts';
import type { ModelPackage } from '../model-package.ts';
import { CALIBRATION_CHAT, CALIBRATION_PASSAGES } from './calibration-text.ts';

/** Of the last window: far positions must be seen, but attention over them makes calibrating slow. */
const LONGEST_WINDOW_TOKENS = 1536;

/** Token ids of each window, at most the model's context. */
export function calibrationWindows({
  tokenizer: definition,
  chatTemplate: source,
  config,
}: Pick<ModelPackage, 'tokenizer' | 'chatTemplate' | 'config'>): readonly (readonly number[])[] {
  const tokenizer = createTokenizer(definition);
  const written = (tokenId: number | null): string | null =>
    tokenId === null ? null : new TextDecoder().decode(tokenizer.tokenBytes(tokenId));
  const tokens = { bos: written(tokenizer.bosTokenId), eos: written(tokenizer.eosTokenId) };
  const chat =
    source === null
      ? CALIBRATION_CHAT.map(({ content }) => content).join('\n')
      : chatTemplate(source, tokens).render(CALIBRATION_CHAT, { addGenerationPrompt: false });
  const limit = Math.min(config.maxContext, LONGEST_WINDOW_TOKENS);
  const passages = [chat, ...CALIBRATION_PASSAGES];
  const start = tokenizer.addBos && tokenizer.bosTokenId !== null ? [tokenizer.bosTokenId] : [];
  return [...passages, passages.join('\n\n')].map((text) => [...start, ...tokenizer.encode(text)].slice(0, limit));
}
