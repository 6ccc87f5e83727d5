// Bounds on what a request may ask for, in one place. Everything that a client counts, names or sends has one here.

export const LIMITS = {
  jsonBodyBytes: 8 * 1024 ** 2,
  /** Prompts of one request. */
  promptCount: 64,
  /** n and best_of. */
  choiceCount: 16,
  /** Rows that one request may occupy: prompts times choices. */
  rowCount: 128,
  messageCount: 1024,
  contentPartCount: 256,
  /** Characters of text that one position of context may stand for before tokenizing is refused. */
  charactersPerPosition: 32,
  stopCount: 16,
  stopCharacters: 256,
  logprobs: 20,
  logitBiasEntries: 1024,
  grammarChoices: 512,
  newTokens: 1_000_000,
  tokenIdCount: 1_000_000,
  /** Characters of labels that are accepted and not used, and of one adapter's reference. */
  labelCharacters: 512,
  /** Characters of a reference that may be a mix. */
  referenceCharacters: 4096,
  multipartParts: 8,
} as const;

/** Silence after which an event stream sends a comment, so that proxies and clients keep the connection. */
export const HEARTBEAT_MS = 15_000;
