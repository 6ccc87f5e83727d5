// How adapters and versions look in JSON. Times are seconds since the epoch, digests 64 hexadecimal digits.
import { Type, type Static } from 'typebox';
import type { AdapterSummary, AdapterVersion } from '../../../adapters/index.ts';
import { AppError, NAME_RULE, parseAdapterName, type AdapterName } from '../../../core/index.ts';

const versionFields = {
  name: Type.String(),
  version: Type.Integer(),
  digest: Type.String({ description: 'SHA-256 of the packed adapter; an adapter reference may name it as name@sha256:digest' }),
  bytes: Type.Integer({ description: 'Bytes of the uploaded files' }),
  rank: Type.Integer({ description: 'Largest rank over all changed modules' }),
  target_modules: Type.Array(Type.String()),
  kind: Type.String(),
  created_at: Type.Integer(),
  merged_only: Type.Boolean({ description: 'It replaces whole tensors of the base, which only a merged model can hold' }),
};

export const VersionView = Type.Object({
  ...versionFields,
  notice: Type.Optional(Type.String({ description: 'How it differs from others in use' })),
});
export type VersionView = Static<typeof VersionView>;

function nullable<S extends ReturnType<typeof Type.String> | ReturnType<typeof Type.Integer>>(schema: S) {
  return Type.Union([schema, Type.Null()]);
}

export const CanaryView = Type.Object(
  {
    version: Type.Integer({ minimum: 1, maximum: 999_999_999 }),
    share: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1, description: 'a number above 0 and below 1' }),
  },
  { additionalProperties: false, description: 'A version that answers this share of the requests which name no version' },
);

/** The fields of the active version, null while every version is only staged, and those of the pointer. */
export const AdapterView = Type.Object({
  name: Type.String(),
  version: nullable(Type.Integer()),
  digest: nullable(Type.String()),
  bytes: nullable(Type.Integer()),
  rank: nullable(Type.Integer()),
  target_modules: Type.Array(Type.String()),
  kind: nullable(Type.String()),
  created_at: nullable(Type.Integer()),
  merged_only: Type.Boolean(),
  canary: Type.Union([CanaryView, Type.Null()]),
  version_count: Type.Integer(),
  pinned: Type.Boolean(),
  mode: Type.Union([Type.Literal('auto'), Type.Literal('side'), Type.Literal('merged')]),
  shared: Type.Boolean({ description: 'Owned by someone else and readable by you' }),
  etag: Type.String(),
});
export type AdapterView = Static<typeof AdapterView>;

const MERGED_ONLY =
  'this adapter replaces whole tensors of the base (modules_to_save), so it is served merged only, over weights of its own: its first request waits some seconds until those are made. Where nothing merges (mergedMax is 0), requests for it are refused';

export function versionView(version: AdapterVersion): VersionView {
  return {
    name: version.name,
    version: version.version,
    digest: version.digest,
    bytes: version.bytes,
    rank: version.rank,
    target_modules: [...version.targetModules],
    kind: version.kind,
    created_at: Math.floor(version.createdAtMs / 1000),
    merged_only: version.mergedOnly,
    ...(version.mergedOnly && { notice: MERGED_ONLY }),
  };
}

/** Field by field: lists are long, and an object that is spread out of parts gets a hidden class of its own. */
export function adapterView({ name, active, canary, versionCount, pinned, mode, shared, etag }: AdapterSummary): AdapterView {
  return {
    name,
    version: active?.version ?? null,
    digest: active?.digest ?? null,
    bytes: active?.bytes ?? null,
    rank: active?.rank ?? null,
    target_modules: [...(active?.targetModules ?? [])],
    kind: active?.kind ?? null,
    created_at: active === null ? null : Math.floor(active.createdAtMs / 1000),
    merged_only: active?.mergedOnly ?? false,
    canary,
    version_count: versionCount,
    pinned,
    mode,
    shared,
    etag,
  };
}

// Names that break the rule are not refused by the path's schema: to read, they are adapters that do not exist.
export const NameParams = Type.Object({ name: Type.String() });
export const VersionParams = Type.Object({
  name: Type.String(),
  version: Type.String({ pattern: '^[1-9][0-9]{0,8}$', description: 'a version number from 1' }),
});

/** A name from a path that must exist. @throws AppError `adapter_not_found`, with the words used for every adapter that is not there. */
export function existingName(text: string): AdapterName {
  const name = parseAdapterName(text);
  if (name === undefined) throw new AppError('adapter_not_found', 'no such adapter: GET /v1/models lists those that you may use');
  return name;
}

/** A name for a new adapter. @throws AppError `invalid_request` that says the rule; the base model's id is taken. */
export function newName(text: string, baseId: string): AdapterName {
  const name = parseAdapterName(text);
  if (name === undefined)
    throw new AppError('invalid_request', `"name": got "${text.slice(0, 80)}", expected ${NAME_RULE}`, { param: 'name' });
  if (text === baseId)
    throw new AppError('invalid_request', `"name": "${text}" is the id of the base model, expected another name`, { param: 'name' });
  return name;
}
