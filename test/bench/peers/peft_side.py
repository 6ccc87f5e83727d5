# PEFT over transformers and torch, float32: the GGUF file's weights dequantised. One batch may mix adapters by name.
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from side import serve
from transformers import AutoModelForCausalLM

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASE = "__base__"


class Peft:
    def __init__(self, options):
        torch.set_num_threads(options["threadCount"])
        torch.manual_seed(0)
        file = Path(options["modelFile"])
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, torch_dtype=torch.float32)
        self.base = model.eval()
        self.model = model
        self.rank = None

    def adapters(self, mix):
        """Names of `count` adapters of one rank, made when they are first asked for; those of another rank are dropped."""
        if self.rank != mix["rank"]:
            self.base = self.model.unload() if self.rank else self.base
            config = LoraConfig(r=mix["rank"], lora_alpha=mix["rank"], target_modules=LINEARS, init_lora_weights=False)
            self.model = get_peft_model(self.base, config, adapter_name="0").eval()
            self.rank = mix["rank"]
        for index in range(mix["count"]):
            if str(index) not in self.model.peft_config:
                self.model.add_adapter(str(index), self.model.peft_config["0"])
        return [str(index) for index in range(mix["count"])]

    def step(self, ids, cache, names):
        mixed = {"adapter_names": names} if names else {}
        output = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **mixed)
        return output.logits[:, -1].argmax(-1, keepdim=True), output.past_key_values

    @torch.inference_mode()
    def prefill(self, prompt):
        self.step(torch.tensor([prompt]), None, None)

    @torch.inference_mode()
    def decode(self, workload):
        prompts, mix = workload["prompts"], workload["adapters"]
        known = self.adapters(mix) if mix else []
        plain = [BASE] * len(prompts) if self.rank else None
        names = [known[row % len(known)] for row in range(len(prompts))] if mix else plain
        ids, cache = self.step(torch.tensor(prompts), None, names)
        produced = [ids]
        for count in range(workload["warmUpTokens"] + workload["timedTokens"]):
            if count == workload["warmUpTokens"]:
                started = time.perf_counter()
            ids, cache = self.step(ids, cache, names)
            produced.append(ids)
        seconds = time.perf_counter() - started
        return len(prompts) * workload["timedTokens"] / seconds, [int(row[0]) for row in produced]


serve(Peft)
