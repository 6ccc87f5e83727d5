"""LoRAX's own client: adapters by id, whole and streamed answers, parameters, errors."""

import asyncio
import json
import unittest

import lorax
from facts import ADAPTER, HEADERS, PROMPT, TOKENS, URL
from lorax import errors


class LoraxClient(unittest.TestCase):
    def setUp(self):
        self.client = lorax.Client(URL, headers=HEADERS)
        self.addCleanup(lambda: self.client.session and self.client.session.close())

    def test_tokens_are_those_of_peft_with_and_without_an_adapter(self):
        for adapter, tokens in TOKENS.items():
            answer = self.client.generate(PROMPT, adapter_id=adapter, max_new_tokens=len(tokens))
            self.assertEqual([token.id for token in answer.details.tokens], tokens)
            self.assertEqual(answer.details.finish_reason, "length")
            self.assertGreater(answer.details.prompt_tokens, 0)

    def test_a_stream_has_the_tokens_and_ends_with_the_text_of_the_whole_answer(self):
        tokens = TOKENS[ADAPTER]
        whole = self.client.generate(PROMPT, adapter_id=ADAPTER, max_new_tokens=len(tokens))
        events = list(self.client.generate_stream(PROMPT, adapter_id=ADAPTER, max_new_tokens=len(tokens)))
        self.assertEqual([event.token.id for event in events], tokens)
        self.assertEqual(events[-1].generated_text, whole.generated_text)
        self.assertEqual(events[-1].details.generated_tokens, len(tokens))
        self.assertEqual(events[-1].details.prompt_tokens, whole.details.prompt_tokens)

    def test_a_seed_gives_the_same_sample_again(self):
        sample = dict(do_sample=True, temperature=1.0, top_k=50, top_p=0.9, seed=11, max_new_tokens=12)
        first, second = (self.client.generate(PROMPT, **sample) for _ in range(2))
        self.assertEqual(first.generated_text, second.generated_text)
        self.assertEqual(first.details.seed, 11)

    def test_stop_texts_end_the_answer_and_the_prompt_can_be_returned_and_scored(self):
        answer = self.client.generate(
            PROMPT, stop_sequences=["hare"], max_new_tokens=24, return_full_text=True, decoder_input_details=True
        )
        self.assertEqual(answer.details.finish_reason, "stop_sequence")
        self.assertTrue(answer.generated_text.startswith(PROMPT))
        self.assertEqual(len(answer.details.prefill), answer.details.prompt_tokens)

    def test_a_response_format_is_kept_to(self):
        response_format = {"type": "json_object", "schema": {"enum": ["yes", "no"]}}
        answer = self.client.generate(PROMPT, adapter_id=ADAPTER, response_format=response_format, max_new_tokens=24)
        self.assertIn(json.loads(answer.generated_text), ["yes", "no"])

    def test_merged_adapters_of_one_adapter_twice_are_that_adapter(self):
        tokens = TOKENS[ADAPTER]
        for merge in (
            dict(weights=[0.25, 0.75], merge_strategy="linear", density=0.0),
            dict(weights=[1.0, 1.0], merge_strategy="ties", density=1.0, majority_sign_method="frequency"),
            dict(weights=[1.0, 1.0], merge_strategy="dare_ties", density=1.0),
        ):
            merged = lorax.MergedAdapters(ids=[ADAPTER, ADAPTER], **merge)
            answer = self.client.generate(PROMPT, merged_adapters=merged, max_new_tokens=len(tokens))
            self.assertEqual([token.id for token in answer.details.tokens], tokens)

    def test_an_unknown_adapter_is_not_found_whole_and_streamed(self):
        with self.assertRaises(errors.NotFoundError):
            self.client.generate("a", adapter_id="nobody")
        with self.assertRaises(errors.NotFoundError):
            list(self.client.generate_stream("a", adapter_id="nobody"))

    def test_a_prompt_over_the_context_is_a_validation_error(self):
        with self.assertRaisesRegex(errors.ValidationError, "context"):
            self.client.generate("a b " * 300)

    def test_the_asynchronous_client_streams_too(self):
        async def tokens():
            client = lorax.AsyncClient(URL, headers=HEADERS)
            stream = client.generate_stream(PROMPT, adapter_id=ADAPTER, max_new_tokens=8)
            return [event.token.id async for event in stream]

        self.assertEqual(asyncio.run(tokens()), TOKENS[ADAPTER][:8])
