# OpenVINO GenAI: continuous batching over the GGUF file itself.
import numpy
import openvino
import openvino_genai
from side import Cannot, decode_by_difference, serve


class OpenVino:
    def __init__(self, options):
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = 2
        scheduler.max_num_seqs = options["maxRows"]
        # All prompts in one batch, and none of them from a cache.
        scheduler.max_num_batched_tokens = 8192
        scheduler.enable_prefix_caching = False
        self.pipeline = openvino_genai.ContinuousBatchingPipeline(
            options["modelFile"], scheduler, "CPU", {"INFERENCE_NUM_THREADS": options["threadCount"]}
        )

    def generate(self, prompts, token_count):
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = token_count
        config.ignore_eos = True
        config.do_sample = False
        inputs = [openvino.Tensor(numpy.array([prompt], dtype=numpy.int64)) for prompt in prompts]
        results = self.pipeline.generate(inputs, [config] * len(prompts))
        return [list(result.m_generation_ids[0]) for result in results]

    def prefill(self, prompt):
        self.generate([prompt], 1)

    def decode(self, workload):
        if workload["adapters"]:
            raise Cannot("OpenVINO GenAI takes adapters for a whole generation, not for each row")
        return decode_by_difference(self.generate, workload)


serve(OpenVino)
