# PEFT over transformers and torch, float32: the steps of test/bench/train/protocol.ts. Rows of one batch are padded to the longest.
import math
import resource
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from side import serve
from transformers import AutoModelForCausalLM

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class PeftTraining:
    def __init__(self, options):
        torch.set_num_threads(options["threadCount"])
        file = Path(options["modelFile"])
        self.base = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, torch_dtype=torch.float32)

    def train(self, question):
        targets = ["q_proj", "v_proj"] if question["sites"] == "qv" else LINEARS
        config = LoraConfig(r=question["rank"], lora_alpha=question["rank"], target_modules=targets)
        model = get_peft_model(self.base, config).train()
        trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
        with torch.no_grad():
            for index, (name, value) in enumerate(trained):
                if "lora_A" in name:
                    places = torch.arange(value.numel(), dtype=torch.float64) * 12.9898 + index * 78.233
                    value.copy_((torch.sin(places) / math.sqrt(value.shape[1])).reshape(value.shape))
        optimizer = torch.optim.AdamW([value for _, value in trained], lr=1e-4, weight_decay=0)
        milliseconds, losses = [], []
        for step, rows in enumerate(question["batches"]):
            inputs = collate(rows)
            started = time.perf_counter()
            optimizer.zero_grad()
            loss = model(**inputs).loss
            loss.backward()
            optimizer.step()
            if step >= question["warmUp"]:
                milliseconds.append((time.perf_counter() - started) * 1000)
            losses.append(loss.item())
        self.base = model.unload()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"milliseconds": milliseconds, "losses": losses, "peakBytes": peak}


def collate(rows):
    length = max(len(row["tokenIds"]) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full((len(rows), length), -100)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for index, row in enumerate(rows):
        count = len(row["tokenIds"])
        ids[index, :count] = torch.tensor(row["tokenIds"])
        labels[index, :count] = torch.tensor(row["labels"])
        mask[index, :count] = 1
    # Without padding no mask is needed, and torch may take its faster attention.
    return {"input_ids": ids, "labels": labels} if bool(mask.all()) else {"input_ids": ids, "labels": labels, "attention_mask": mask}


serve(PeftTraining)
