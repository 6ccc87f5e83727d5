// A grammar thread of the front or the engine process: opens the model's vocabulary and answers which tokens may come next.
import { workerData } from 'node:worker_threads';
import { openModelPackage } from '../models/index.ts';
import { grammarVocabulary, serveGrammars, type GrammarThreadData } from '../text/index.ts';

const data = workerData as GrammarThreadData & { readonly model: { readonly folder: string } };
const { tokenizer, description } = await openModelPackage(data.model.folder);
await serveGrammars(data, { bytes: grammarVocabulary(tokenizer, description.vocabularySize), stopTokenIds: description.stopTokenIds });
