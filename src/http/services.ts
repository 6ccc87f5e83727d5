// What the HTTP app is given: ports and plain records, all made by the composition root. Nothing here knows processes or files.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerDefault } from 'fastify';
import type { AdapterInsights, AdapterRegistry } from '../adapters/index.ts';
import type { Clock, Digest, Random } from '../core/index.ts';
import type { EngineClient } from '../engine/index.ts';
import type { TenantDirectory } from '../tenants/index.ts';
import type { FineTuningJobs, TrainingFiles } from '../training/index.ts';
import type { ChatTemplate, GrammarChecker, Tokenizer } from '../text/index.ts';

/** The base model as the routes see it; `models/` describes more. */
export interface ServedBase {
  /** Public id, for example `smollm2-135m-instruct`. */
  readonly id: string;
  readonly digest: Digest;
  readonly vocabularySize: number;
  /** Positions of one request: the smaller of the model's own limit and the setting. */
  readonly maxContext: number;
  /** Token ids that end a generation. */
  readonly stopTokenIds: readonly number[];
  readonly createdAtMs: number;
  readonly tokenizer: Tokenizer;
  /** null: the model has none, and chat is refused. */
  readonly chatTemplate: ChatTemplate | null;
  readonly precision: string;
  readonly device: string;
}

export interface HttpSettings {
  readonly host: string;
  readonly publicUrl: string | null;
  readonly uploadMaxBytes: number;
  readonly trainingFileMaxBytes: number;
  readonly maxBatch: number;
  readonly maxWaiting: number;
}

export interface AppServices {
  readonly settings: HttpSettings;
  readonly base: ServedBase;
  readonly engine: EngineClient;
  readonly adapters: AdapterRegistry;
  readonly insights: AdapterInsights;
  readonly grammars: GrammarChecker;
  readonly training: { readonly files: TrainingFiles; readonly jobs: FineTuningJobs };
  readonly tenants: TenantDirectory;
  readonly logger: FastifyBaseLogger;
  readonly clock: Clock;
  readonly random: Random;
  /** Version of this software, as `/info` and the API description show it. */
  readonly version: string;
  /** True from the moment that a shutdown began: /readyz answers 503. */
  isDraining(): boolean;
}

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
