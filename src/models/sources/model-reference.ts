// What `lorikeet pull` may be given: a name of the catalogue, or owner/repository of the hub with an optional revision and GGUF file.
import { AppError, isName } from '../../core/index.ts';
import { CATALOGUE, type CatalogueEntry } from './catalogue.ts';

export type ModelReference =
  | { readonly kind: 'catalogue'; readonly entry: CatalogueEntry }
  | {
      readonly kind: 'hub';
      /** owner/repository */
      readonly repository: string;
      readonly revision: string;
      /** One GGUF file of the repository; null for its safetensors. */
      readonly ggufFile: string | null;
    };

const HUB_ID = /^(?<owner>\w[\w.-]{0,95})\/(?<name>\w[\w.-]{0,95})(?:@(?<revision>\w[\w.-]{0,99}))?(?::(?<file>\w[\w.-]{0,199}\.gguf))?$/;

/** @throws AppError usage that says what may stand there. */
export function parseModelReference(text: string): ModelReference {
  const entry = CATALOGUE.get(text);
  if (entry !== undefined) return { kind: 'catalogue', entry };
  const match = HUB_ID.exec(text)?.groups;
  if (match === undefined || text.includes('..')) {
    throw new AppError(
      'usage',
      `No model is called ${JSON.stringify(text)}; expected ${[...CATALOGUE.keys()].join(', ')}, or a hub id such as owner/repository, owner/repository@revision or owner/repository:file.gguf.`,
    );
  }
  return {
    kind: 'hub',
    repository: `${match['owner']}/${match['name']}`,
    revision: match['revision'] ?? 'main',
    ggufFile: match['file'] ?? null,
  };
}

/** A base model id made from owner/repository: its last part in lower case. */
export function modelIdOf(repository: string): string {
  const last = repository.slice(repository.indexOf('/') + 1);
  const id = last
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63);
  return isName(id) ? id : 'model';
}
