"""TGI's own client: the base, and an adapter by its address; whole and streamed answers, parameters, errors."""

import asyncio
import unittest

from facts import ADAPTER, HEADERS, PROMPT, TOKENS, URL
from text_generation import AsyncClient, Client, errors, types


def address(adapter):
    return URL if adapter is None else f"{URL}/?adapter={adapter}"


class TextGenerationClient(unittest.TestCase):
    def setUp(self):
        self.client = Client(URL, headers=HEADERS)

    def test_tokens_are_those_of_peft_with_and_without_an_adapter(self):
        for adapter, tokens in TOKENS.items():
            client = Client(address(adapter), headers=HEADERS)
            answer = client.generate(PROMPT, max_new_tokens=len(tokens))
            self.assertEqual([token.id for token in answer.details.tokens], tokens)

    def test_a_stream_has_the_tokens_and_ends_with_the_text_of_the_whole_answer(self):
        client = Client(address(ADAPTER), headers=HEADERS)
        tokens = TOKENS[ADAPTER]
        whole = client.generate(PROMPT, max_new_tokens=len(tokens))
        events = list(client.generate_stream(PROMPT, max_new_tokens=len(tokens), top_n_tokens=2))
        self.assertEqual([event.token.id for event in events], tokens)
        self.assertTrue(all(len(event.top_tokens) == 2 for event in events))
        self.assertEqual(events[-1].generated_text, whole.generated_text)

    def test_the_best_of_several_samples_comes_with_the_others(self):
        answer = self.client.generate(PROMPT, do_sample=True, best_of=3, max_new_tokens=8, decoder_input_details=True)
        self.assertEqual(len(answer.details.best_of_sequences), 2)

        def score(sequence):
            return sum(token.logprob for token in sequence.tokens) / len(sequence.tokens)

        self.assertTrue(all(score(answer.details) >= score(other) for other in answer.details.best_of_sequences))

    def test_stop_texts_end_the_answer(self):
        answer = self.client.generate(PROMPT, stop_sequences=["hare"], max_new_tokens=24)
        self.assertEqual(answer.details.finish_reason, "stop_sequence")

    def test_a_grammar_is_kept_to(self):
        grammar = types.Grammar(type=types.GrammarType.Regex, value="(yes|no)!")
        answer = self.client.generate(PROMPT, grammar=grammar, max_new_tokens=24)
        self.assertIn(answer.generated_text, ["yes!", "no!"])

    def test_a_prompt_over_the_context_is_a_validation_error(self):
        with self.assertRaisesRegex(errors.ValidationError, "context"):
            self.client.generate("a b " * 300)

    def test_the_asynchronous_client_streams_too(self):
        async def tokens():
            stream = AsyncClient(URL, headers=HEADERS).generate_stream(PROMPT, max_new_tokens=8)
            return [event.token.id async for event in stream]

        self.assertEqual(asyncio.run(tokens()), TOKENS[None][:8])
