import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { chatTemplate } from './chat-template.ts';

const smollm =
  "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const tokens = { bos: '<s>', eos: '</s>' };
const hello = [{ role: 'user', content: 'Hello' }];
const prompted = { addGenerationPrompt: true };

describe('chatTemplate', () => {
  it("renders SmolLM2's conversation with its default system message", () => {
    expect(chatTemplate(smollm, tokens).render(hello, prompted)).toBe(
      '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it('leaves the generation prompt out when it is not wanted', () => {
    expect(chatTemplate(smollm, tokens).render([{ role: 'system', content: 'S' }], { addGenerationPrompt: false })).toBe(
      '<|im_start|>system\nS<|im_end|>\n',
    );
  });

  it('gives the template the special tokens, and tools that are defined as none', () => {
    const template = chatTemplate('{{ bos_token }}{{ tools is none }}{{ eos_token }}{{ nothing is defined }}', tokens);
    expect(template.render(hello, prompted)).toBe('<s>true</s>false');
  });

  it("refuses a conversation with the template's own message", () => {
    const template = chatTemplate("{{ raise_exception('roles must alternate') }}", tokens);
    expect(() => template.render(hello, prompted)).toThrow("The model's chat template refused the conversation: roles must alternate");
  });

  it('knows the date', () => {
    vi.useFakeTimers({ now: new Date(2026, 10, 3, 4, 5) });
    onTestFinished(() => void vi.useRealTimers());
    expect(chatTemplate("{{ strftime_now('%d %b %Y, %H:%M') }}", tokens).render(hello, prompted)).toBe('03 Nov 2026, 04:05');
  });

  it('does not reach the constructor of a value', () => {
    const template = chatTemplate('[{{ messages.constructor }}{{ messages[0].__proto__ }}{{ messages[0].content.constructor }}]', tokens);
    expect(template.render(hello, prompted)).toBe('[]');
  });

  it('renders text of a message as text, never as a template', () => {
    const template = chatTemplate('{{ messages[0].content }}', tokens);
    expect(template.render([{ role: 'user', content: '{{ bos_token }}' }], prompted)).toBe('{{ bos_token }}');
  });

  it('refuses a template that cannot be parsed', () => {
    expect(() => chatTemplate('{% if %}', tokens)).toThrow("The model's chat template cannot be read");
  });
});
