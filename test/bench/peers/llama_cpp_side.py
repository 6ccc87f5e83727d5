# llama.cpp through llama-cpp-python, built for this machine. A batch has one adapter at most, so rows of different adapters take turns.
import tempfile
import time
from pathlib import Path

import gguf
import llama_cpp
import numpy
from side import serve

SPARE_POSITIONS = 128
LINEARS = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]


class LlamaCpp:
    def __init__(self, options):
        self.threads = options["threadCount"]
        self.file = options["modelFile"]
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(self.file.encode(), llama_cpp.llama_model_default_params())
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.loaded = {}

    def context(self, row_count, positions):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = row_count * (positions + SPARE_POSITIONS)
        params.n_batch = params.n_ctx
        params.n_seq_max = row_count
        params.n_threads = params.n_threads_batch = self.threads
        return llama_cpp.llama_init_from_model(self.model, params)

    def run(self, context, entries):
        """`entries`: (token, position, row, wants logits). Answers the most likely next token of each that wants it."""
        batch = llama_cpp.llama_batch_init(len(entries), 0, 1)
        batch.n_tokens = len(entries)
        for index, (token, position, row, wanted) in enumerate(entries):
            batch.token[index], batch.pos[index], batch.n_seq_id[index] = token, position, 1
            batch.seq_id[index][0], batch.logits[index] = row, wanted
        if llama_cpp.llama_decode(context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        lines = [index for index, entry in enumerate(entries) if entry[3]]
        pointers = [llama_cpp.llama_get_logits_ith(context, index) for index in lines]
        ids = [int(numpy.argmax(numpy.ctypeslib.as_array(pointer, shape=(self.vocabulary,)))) for pointer in pointers]
        llama_cpp.llama_batch_free(batch)
        return ids

    def prefill(self, prompt):
        context = self.context(1, len(prompt))
        last = len(prompt) - 1
        self.run(context, [(token, position, 0, position == last) for position, token in enumerate(prompt)])
        llama_cpp.llama_free(context)

    def decode(self, workload):
        prompts, mix = workload["prompts"], workload["adapters"]
        length = len(prompts[0])
        context = self.context(len(prompts), length)
        turns = [(None, list(range(len(prompts))))]
        if mix:
            turns = [(self.adapter(mix["rank"], a), list(range(a, len(prompts), mix["count"]))) for a in range(mix["count"])]
        produced = [[] for _ in prompts]

        def step(entries_of):
            for adapter, rows in turns:
                if adapter:
                    self.apply(context, adapter)
                for row, token in zip(rows, self.run(context, [entry for row in rows for entry in entries_of(row)])):
                    produced[row].append(token)

        step(lambda row: [(token, position, row, position == length - 1) for position, token in enumerate(prompts[row])])
        for count in range(workload["warmUpTokens"] + workload["timedTokens"]):
            if count == workload["warmUpTokens"]:
                started = time.perf_counter()
            step(lambda row: [(produced[row][-1], length + len(produced[row]) - 1, row, True)])
        seconds = time.perf_counter() - started
        llama_cpp.llama_free(context)
        return len(prompts) * workload["timedTokens"] / seconds, produced[0]

    def apply(self, context, adapter):
        adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
        scales = (llama_cpp.ctypes.c_float * 1)(1.0)
        llama_cpp.llama_set_adapters_lora(context, adapters, 1, scales)

    def adapter(self, rank, seed):
        """A random adapter on all linears, through a file as llama.cpp wants it."""
        if (rank, seed) not in self.loaded:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "adapter.gguf")
                write_adapter(path, self.file, rank, numpy.random.default_rng(seed))
                self.loaded[rank, seed] = llama_cpp.llama_adapter_lora_init(self.model, str(path).encode())
        return self.loaded[rank, seed]


def write_adapter(path, model_file, rank, random):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for tensor in gguf.GGUFReader(model_file).tensors:
        if any(tensor.name.endswith(f"{linear}.weight") for linear in LINEARS):
            in_features, out_features = (int(size) for size in tensor.shape)
            writer.add_tensor(f"{tensor.name}.lora_a", random.normal(0, in_features**-0.5, (rank, in_features)).astype(numpy.float32))
            writer.add_tensor(f"{tensor.name}.lora_b", random.normal(0, 0.01, (out_features, rank)).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


serve(LlamaCpp)
