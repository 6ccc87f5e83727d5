# vLLM for CPUs with its LoRA kernels, which mix adapters in a batch. A process of its own, because they slow down rows without an adapter.
import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from side import Cannot, decode_by_difference, serve
from vllm_side import Vllm

# vLLM pads every adapter to the rank that it is opened for.
RANK = 16
MOST_ADAPTERS = 16


class VllmWithAdapters(Vllm):
    def __init__(self, options):
        super().__init__(options, enable_lora=True, max_loras=MOST_ADAPTERS, max_lora_rank=RANK)
        self.folder = tempfile.TemporaryDirectory()
        self.made = {}

    def prefill(self, prompt):
        raise Cannot("asked for rows with adapters only")

    def decode(self, workload):
        mix = workload["adapters"]
        if not mix:
            raise Cannot("asked for rows with adapters only")
        if mix["rank"] != RANK:
            raise Cannot(f"opened for adapters of rank {RANK}, to which it pads all")
        requests = [self.adapter(row % mix["count"]) for row in range(len(workload["prompts"]))]
        return decode_by_difference(lambda prompts, count: self.generate(prompts, count, requests[: len(prompts)]), workload)

    def adapter(self, index):
        if index not in self.made:
            from vllm.lora.request import LoRARequest

            path = Path(self.folder.name, str(index))
            path.mkdir()
            write_adapter(path, self.shapes, index)
            self.made[index] = LoRARequest(f"adapter-{index}", index + 1, str(path))
        return self.made[index]


def write_adapter(path, shapes, seed):
    """A PEFT adapter with random values on all linears of each layer."""
    generator = torch.Generator().manual_seed(seed)
    linears = {name.removesuffix(".weight"): shape for name, shape in shapes.items() if name.endswith("_proj.weight")}
    tensors = {}
    for module, (outputs, inputs) in linears.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = 0.02 * torch.randn(RANK, inputs, generator=generator)
        tensors[f"base_model.model.{module}.lora_B.weight"] = 0.02 * torch.randn(outputs, RANK, generator=generator)
    save_file(tensors, str(path / "adapter_model.safetensors"))
    modules = sorted({module.rpartition(".")[2] for module in linears})
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": RANK, "target_modules": modules, "bias": "none"}
    (path / "adapter_config.json").write_text(json.dumps(settings))


serve(VllmWithAdapters)
