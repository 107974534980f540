// Keeps clinic out of the worker threads.  It preloads its sampler through NODE_OPTIONS, which threads inherit: they
// would all write into the main thread's sample files, and clinic could not read those afterwards.

const threads = require("node:worker_threads");
const { syncBuiltinESMExports } = require("node:module");

if (threads.isMainThread) {
  threads.Worker = class extends threads.Worker {
    constructor(file, options = {}) {
      const env = { ...process.env, ...options.env, NODE_OPTIONS: "" };
      super(file, { ...options, env, execArgv: options.execArgv ?? [] });
    }
  };
  syncBuiltinESMExports();
}
