// Renders conversations with the base model's own chat template (Jinja). Templates come with base models, which operators choose; a template
// from an adapter or a request must never reach this file. raise_exception and strftime_now are the library's own.
import { Template } from '@huggingface/jinja';
import { AppError, describeError } from '../core/index.ts';
import type { ChatMessage, ChatTemplate } from './port.ts';

/** Written forms that templates know as bos_token and eos_token; null when the model has none. */
export interface TemplateTokens {
  readonly bos: string | null;
  readonly eos: string | null;
}

/**
 * @param source the template's text, as the base model brings it.
 * @throws AppError invalid_request when the template itself cannot be parsed.
 */
export function chatTemplate(source: string, tokens: TemplateTokens): ChatTemplate {
  const template = parse(source);
  return {
    render(messages, options) {
      try {
        return template.render({
          messages: messages.map(toTemplateMessage),
          add_generation_prompt: options.addGenerationPrompt,
          bos_token: tokens.bos ?? '',
          eos_token: tokens.eos ?? '',
          // As transformers does: defined, and none. Templates test for both.
          tools: null,
          documents: null,
        });
      } catch (error) {
        const refusal = `The model's chat template refused the conversation: ${describeError(error)}`;
        throw new AppError('invalid_request', refusal, { param: 'messages', cause: error });
      }
    },
  };
}

function parse(source: string): Template {
  try {
    return new Template(source);
  } catch (error) {
    throw new AppError('invalid_request', `The model's chat template cannot be read: ${describeError(error)}`, { cause: error });
  }
}

function toTemplateMessage(message: ChatMessage): Record<string, string> {
  const { role, content, name } = message;
  return name === undefined ? { role, content } : { role, content, name };
}
