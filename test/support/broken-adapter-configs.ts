// adapter_config.json texts that must be refused: malformed ones, and ones that ask for what is not supported.

export interface BrokenConfig {
  readonly name: string;
  readonly text: string;
  readonly code: 'invalid_adapter' | 'unsupported_adapter';
  readonly message: RegExp;
}

function withFields(fields: string): string {
  return `{"peft_type":"LORA","r":8,"lora_alpha":16${fields === '' ? '' : `,${fields}`}}`;
}

function invalid(name: string, text: string, message: RegExp): BrokenConfig {
  return { name, text, code: 'invalid_adapter', message };
}

/** `key` with a value that is understood but not supported; the message must show both. */
function unsupported(key: string, value: string, shown: RegExp): BrokenConfig {
  return { name: `${key} = ${value}`, text: withFields(`${JSON.stringify(key)}:${value}`), code: 'unsupported_adapter', message: shown };
}

export const BROKEN_ADAPTER_CONFIGS: readonly BrokenConfig[] = [
  invalid('an empty file', '', /expected a JSON value/),
  invalid('a list', '[]', /not a JSON object/),
  invalid('text', '"LORA"', /not a JSON object/),
  invalid('broken JSON', '{"peft_type":"LORA"', /expected "," or "}"/),
  invalid('NaN, as Python writes it', withFields('"lora_dropout":NaN'), /expected a JSON value/),
  invalid('a file of a megabyte', `{"peft_type":"LORA","x":"${'y'.repeat(1 << 20)}"}`, /at most 262144/),
  invalid('a field twice', '{"peft_type":"LORA","r":8,"r":16}', /duplicate key "r"/),
  invalid('a pattern key twice', withFields('"rank_pattern":{"q_proj":4,"q_proj":8}'), /duplicate key "q_proj"/),
  invalid(
    '20,000 fields',
    `{"peft_type":"LORA",${Array.from({ length: 20_000 }, (_, index) => `"${index}":0`).join(',')}}`,
    /20001 fields/,
  ),
  invalid('deep nesting', `{"peft_type":"LORA","x":${'['.repeat(1000)}`, /nested deeper/),
  invalid('no peft_type', '{"r":8}', /"peft_type" is null; expected "LORA"/),
  invalid('a peft_type that is a number', '{"peft_type":1}', /"peft_type" is 1/),
  invalid('a rank of zero', '{"peft_type":"LORA","r":0}', /"r" is 0; expected an integer above 0/),
  invalid('a negative rank', '{"peft_type":"LORA","r":-8}', /"r" is -8/),
  invalid('a fractional rank', '{"peft_type":"LORA","r":8.5}', /"r" is 8.5/),
  invalid('a rank that is text', '{"peft_type":"LORA","r":"8"}', /"r" is "8"/),
  invalid('a rank of null', '{"peft_type":"LORA","r":null}', /"r" is null/),
  invalid('a rank of 1e300', '{"peft_type":"LORA","r":1e300}', /"r" is 1e\+300/),
  invalid('an alpha that is text', '{"peft_type":"LORA","lora_alpha":"16"}', /"lora_alpha" is "16"; expected a number/),
  invalid('an alpha of null', '{"peft_type":"LORA","lora_alpha":null}', /"lora_alpha" is null/),
  invalid('use_dora that is a number', withFields('"use_dora":1'), /"use_dora" is 1; expected true or false/),
  invalid('use_rslora that is text', withFields('"use_rslora":"true"'), /"use_rslora" is "true"/),
  invalid('lora_bias that is text', withFields('"lora_bias":"all"'), /"lora_bias" is "all"/),
  invalid('rank_pattern that is a list', withFields('"rank_pattern":["q_proj"]'), /"rank_pattern" is \["q_proj"\]/),
  invalid('a rank in rank_pattern that is zero', withFields('"rank_pattern":{"q_proj":0}'), /"rank_pattern.q_proj" is 0/),
  invalid('an alpha in alpha_pattern that is text', withFields('"alpha_pattern":{"q_proj":"x"}'), /"alpha_pattern.q_proj" is "x"/),
  invalid('target_modules of numbers', withFields('"target_modules":[1]'), /"target_modules" is \[1\]/),
  invalid('exclude_modules that is an object', withFields('"exclude_modules":{}'), /"exclude_modules" is \{\}/),
  invalid('layers_to_transform of text', withFields('"layers_to_transform":["0"]'), /"layers_to_transform" is \["0"\]/),
  invalid('a negative layer', withFields('"layers_to_transform":[-1]'), /"layers_to_transform" is \[-1\]/),
  invalid('layers_to_transform beside an expression', withFields('"target_modules":".*q","layers_to_transform":[0]'), /to be a list/),
  invalid('layers_pattern alone', withFields('"layers_pattern":"layers"'), /needs "layers_to_transform"/),
  invalid('an unknown bias', withFields('"bias":"some"'), /"bias" is "some"/),
  invalid('bias that is a number', withFields('"bias":1'), /"bias" is 1; expected "none", "all" or "lora_only"/),
  invalid('fan_in_fan_out that is text', withFields('"fan_in_fan_out":"no"'), /"fan_in_fan_out" is "no"; expected true or false/),
  invalid('modules_to_save that is text', withFields('"modules_to_save":"lm_head"'), /"modules_to_save" is "lm_head"; expected a list/),
  invalid('modules_to_save of numbers', withFields('"modules_to_save":[1]'), /"modules_to_save" is \[1\]/),
  ...['"3"', '[1,"2"]', '[-1]', '[1.5]', '[1e300]', '[4,4]', '{"embed_tokens":3}', '{"embed_tokens":[]}', '{"lm_head":[2,2]}', '7'].map(
    (value) =>
      invalid(
        `trainable_token_indices of ${value}`,
        withFields(`"trainable_token_indices":${value}`),
        /"trainable_token_indices" is .*different token ids/,
      ),
  ),
  invalid('init_lora_weights that is a number', withFields('"init_lora_weights":1'), /"init_lora_weights" is 1/),
  invalid('lora_bias and use_dora', withFields('"lora_bias":true,"use_dora":true'), /exclude each other/),
  invalid('lora_bias and an initialiser', withFields('"lora_bias":true,"init_lora_weights":"gaussian"'), /because "lora_bias" is true/),
  invalid('auto_mapping with code in a list', withFields('"auto_mapping":["os.system"]'), /"auto_mapping" is/),
  invalid('auto_mapping with an object inside', withFields('"auto_mapping":{"a":{}}'), /"auto_mapping" is/),
  invalid('a base model that is a number', withFields('"base_model_name_or_path":1'), /"base_model_name_or_path" is 1/),
  {
    name: 'IA3',
    text: '{"peft_type":"IA3"}',
    code: 'unsupported_adapter',
    message: /"peft_type" = "IA3" is not supported; expected "LORA"/,
  },
  { name: 'a type in lower case', text: '{"peft_type":"lora"}', code: 'unsupported_adapter', message: /"lora" is not supported/ },
  unsupported('target_parameters', '["w"]', /"target_parameters"/),
  unsupported('layer_replication', '[[0,2]]', /"layer_replication" = \[\[0, 2\]\]/),
  unsupported('alora_invocation_tokens', '[7]', /"alora_invocation_tokens" = \[7\]/),
  unsupported('use_qalora', 'true', /"use_qalora" = true/),
  unsupported('use_bdlora', '{"nblocks":2}', /"use_bdlora" = \{"nblocks": 2\}/),
  unsupported('arrow_config', '{"top_k":3}', /"arrow_config"/),
  unsupported('kasa_config', '{"beta":1}', /"kasa_config"/),
  unsupported('monteclora_config', '{"a":1}', /"monteclora_config"/),
  unsupported('velora_config', '{"a":1}', /"velora_config"/),
  unsupported('megatron_config', '{"a":1}', /"megatron_config"/),
  unsupported('ensure_weight_tying', 'true', /"ensure_weight_tying" = true/),
  unsupported('auto_map', '{"AutoModel":"evil.Model"}', /"auto_map".*code is never loaded/),
  unsupported('use_quantum_rank', '1', /"use_quantum_rank" = 1.*unknown field/),
  unsupported('__proto__', '{"r":4}', /"__proto__".*unknown field/),
  unsupported('x', `"${'y'.repeat(5000)}"`, /^.{0,200}$/),
  ...['pissa', 'pissa_niter_16', 'PiSSA', 'olora', 'corda', 'lora_ga', 'loftq'].map((name) =>
    unsupported('init_lora_weights', JSON.stringify(name), /changes the base weights.*path_initial_model_for_weight_conversion/),
  ),
  unsupported('init_lora_weights', '"brand_new"', /"brand_new".*unknown initialiser/),
  ...[
    '^q_proj',
    'q_proj$',
    '.*q_proj',
    'q_proj+',
    '(q|v)_proj',
    'layers\\\\.0\\\\.q_proj',
    '[qv]_proj',
    'q_pro.{1}',
    'q?',
    '',
    'q proj',
  ].flatMap((key) => [
    unsupported('rank_pattern', `{"${key}":4}`, /"rank_pattern".*regular expression/),
    unsupported('alpha_pattern', `{"${key}":4}`, /"alpha_pattern".*regular expression/),
  ]),
];
