// The rooms of src/ and who may import whom: the table of the design, as rules. Type imports count.
// A room is entered through its index.ts; the doors below are the only others.

/** @type {Record<string, { may: string[], because: string }>} */
const ROOMS = {
  core: { may: [], because: 'everything stands on it, so it stands on nothing' },
  config: { may: ['core'], because: 'settings are read before any room exists' },
  formats: { may: ['core'], because: 'bytes to data and back, pure: no room may colour a file format' },
  text: { may: ['core', 'formats'], because: 'text and token ids know files, never models or requests' },
  graph: { may: ['core', 'formats'], because: 'the compiler must stay usable without weights or a runtime (files: see serde below)' },
  architectures: { may: ['core', 'graph'], because: 'a decoder family is a function from a config record to IR, nothing else' },
  runtime: { may: ['core'], because: 'ONNX Runtime and nothing else, so that a better binding can replace it' },
  models: {
    may: ['core', 'formats', 'text', 'graph', 'architectures', 'runtime'],
    because: 'imports and compiles base models; knows no adapter, tenant or request',
  },
  storage: { may: ['core'], because: 'drivers behind ports; knows rows and blobs, not what they mean' },
  tenants: { may: ['core', 'storage'], because: 'who calls is decided without knowing what is asked' },
  adapters: {
    may: ['core', 'formats', 'models', 'storage'],
    because: 'validates and versions adapters; never sees a request or a session',
  },
  engine: {
    may: ['core', 'adapters/packed'],
    because: 'scheduling and sampling must run against a fake executor: no files, sockets, database or ONNX Runtime',
  },
  'engine/executor': {
    may: ['core', 'runtime', 'models', 'adapters/packed', 'engine'],
    because: 'the one place where a plan becomes session calls',
  },
  processes: { may: ['core'], because: 'supervision is generic over message types' },
  http: {
    may: ['core', 'config', 'text', 'adapters', 'training', 'tenants', 'engine'],
    because: 'routes speak to ports; composition happens in entries',
  },
  console: { may: [], because: 'a client of the public API: nothing on the server side' },
  'training/jobs': { may: ['core', 'text', 'formats', 'storage', 'adapters', 'training'], because: 'the front side of training' },
  'training/trainer': {
    may: ['core', 'text', 'formats', 'graph', 'architectures', 'models', 'runtime', 'training'],
    because: 'the trainer process never sees the database',
  },
  cli: {
    may: ['core', 'config', 'entries', 'adapters', 'models', 'runtime', 'storage', 'tenants'],
    because: 'commands drive rooms; offline ones may open the rooms that they work on',
  },
};

/** Files that other rooms may import, besides src/<room>/index.ts. */
const SIDE_DOORS = [
  'src/adapters/packed\\.ts$', // pure layout, shared by its writer and its reader in another process
  'src/formats/onnx/index\\.ts$', // protobuf, for graph/serde alone
  'src/engine/executor/index\\.ts$', // composed by entries/engine.ts, never loaded by the front
  'src/models/calibration/index\\.ts$', // run by entries/calibrate.ts, never loaded by the front
  'src/training/(jobs|trainer)/index\\.ts$', // the two halves of training live in two processes
  'src/entries/[a-z-]+\\.ts$', // composition roots, one a process
];

const TESTS = '\\.test\\.ts$';
const EVERY_ROOM = '^src/([^/]+)/';

/** Path pattern of a room; rooms inside rooms are cut out of their parent. */
function pattern(room) {
  const inner = Object.keys(ROOMS).filter((other) => other.startsWith(`${room}/`));
  const cut = inner.map((other) => `(?!${other.slice(room.length + 1)}/)`).join('');
  return room === 'adapters/packed' ? '^src/adapters/packed\\.ts$' : `^src/${room}/${cut}`;
}

function roomRule(room, { may, because }) {
  return {
    name: `${room.replaceAll('/', '-')}-imports`,
    comment: `${room}/ may import ${may.length === 0 ? 'no other room' : may.join(', ')}: ${because}`,
    severity: 'error',
    from: { path: pattern(room), pathNot: TESTS },
    to: { path: '^src/', pathNot: [room, ...may].map(pattern) },
  };
}

/** A package that just one room may import. */
function packageRule(name, packages, rooms, comment) {
  return {
    name,
    comment,
    severity: 'error',
    from: { path: '^src/', pathNot: [...rooms.map((room) => `^src/${room}/`), TESTS] },
    to: { path: `node_modules/(${packages.join('|')})/` },
  };
}

module.exports = {
  forbidden: [
    ...Object.entries(ROOMS).map(([room, rule]) => roomRule(room, rule)),
    {
      name: 'graph-files-only-in-serde',
      comment: 'graph/serde alone turns IR into protobuf, so it alone may import formats',
      severity: 'error',
      from: { path: '^src/graph/', pathNot: ['^src/graph/serde', TESTS] },
      to: { path: '^src/formats/' },
    },
    {
      name: 'rooms-have-one-door',
      comment: 'A room is entered through its index.ts, so that its inside can change without asking anyone',
      severity: 'error',
      from: { path: EVERY_ROOM, pathNot: TESTS },
      to: { path: '^src/[^/]+/', pathNot: ['^src/$1/', '^src/[^/]+/index\\.ts$', ...SIDE_DOORS] },
    },
    {
      name: 'main-enters-the-command-line-only',
      comment: 'main.ts starts the command line and nothing else',
      severity: 'error',
      from: { path: '^src/main\\.ts$' },
      to: { path: '^src/', pathNot: '^src/cli/index\\.ts$' },
    },
    {
      name: 'nothing-imports-the-command-line',
      comment: 'The command line is the outermost layer',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/cli/', '^src/main\\.ts$'] },
      to: { path: ['^src/cli/', '^src/main\\.ts$'] },
    },
    packageRule('native-runtime-in-one-room', ['koffi', 'onnxruntime-node'], ['runtime'], 'Native pointers never leave runtime/'),
    packageRule('sql-in-one-room', ['better-sqlite3', 'kysely'], ['storage'], 'storage/ is the only room with SQL'),
    packageRule('http-server-in-one-room', ['fastify', '@fastify'], ['http'], 'Only http/ knows the web framework'),
    packageRule('protobuf-in-one-room', ['onnx-proto', 'protobufjs'], ['formats'], 'Only formats/onnx knows protobuf'),
    packageRule('grammar-engine-in-one-room', ['@mlc-ai/web-xgrammar'], ['text'], 'Only the grammar thread knows the grammar engine'),
    packageRule('terminal-in-one-room', ['commander', 'cli-progress'], ['cli'], 'Only cli/ talks to a terminal'),
    {
      name: 'no-cycles',
      comment: 'A cycle means that two files are one; type imports count',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'production-needs-no-development-package',
      comment: 'What runs for users must come with a production install',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'production-needs-no-test-code',
      comment: 'Test helpers are not built and not shipped',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: { path: ['^test/', TESTS] },
    },
    {
      name: 'everything-resolves',
      comment: 'An import that resolves to nothing fails at run time only',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
