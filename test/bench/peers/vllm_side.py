# vLLM for CPUs, float32: its core reads no GGUF file, so it is given the file's weights dequantised.
import os
import tempfile
from pathlib import Path

os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1", VLLM_CPU_KVCACHE_SPACE="2")

import torch
from safetensors.torch import save_file
from side import Cannot, decode_by_difference, serve
from transformers import AutoModelForCausalLM

MAX_POSITIONS = 2048


class Vllm:
    def __init__(self, options, **more):
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = f"0-{options['threadCount'] - 1}"
        from vllm import LLM

        with tempfile.TemporaryDirectory() as folder:
            self.shapes = dequantise(Path(options["modelFile"]), folder)
            self.llm = LLM(
                model=folder,
                skip_tokenizer_init=True,
                dtype="float32",
                max_model_len=MAX_POSITIONS,
                max_num_seqs=options["maxRows"],
                enable_prefix_caching=False,
                enforce_eager=True,
                **more,
            )

    def generate(self, prompts, token_count, adapters=None):
        from vllm import SamplingParams

        sampling = SamplingParams(temperature=0, max_tokens=token_count, ignore_eos=True, detokenize=False)
        results = self.llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], sampling, use_tqdm=False, lora_request=adapters)
        return [list(result.outputs[0].token_ids) for result in results]

    def prefill(self, prompt):
        self.generate([prompt], 1)

    def decode(self, workload):
        if workload["adapters"]:
            raise Cannot("opened without adapters, with which rows without one are slower too; the side with adapters has a process of its own")
        return decode_by_difference(self.generate, workload)


def dequantise(file, folder):
    """Answers the shape of every weight by its name."""
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    del model.config.quantization_config
    model.config.save_pretrained(folder)
    # A tied head is the embedding; stored under both names or only the head's, vLLM would take the embedding for missing.
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items() if name not in tied}
    save_file(weights, str(Path(folder, "model.safetensors")), metadata={"format": "pt"})
    return {name: tuple(weight.shape) for name, weight in weights.items()}


if __name__ == "__main__":
    serve(Vllm)
