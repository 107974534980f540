// Which Node can run smpsim.  Plain JavaScript that old versions parse, shared by the launcher and the npm scripts.

const NEEDED_MAJOR = 24;

/**
 * Says what is wrong with the running Node, or null.  The spin loops need Atomics.pause, which came with Node 24.
 * @param {string} version
 * @param {boolean} hasPause
 */
export function complaint(version = process.versions.node, hasPause = typeof Atomics.pause === "function") {
  if (Number.parseInt(version, 10) < NEEDED_MAJOR) {
    return `needs Node ${NEEDED_MAJOR} or newer; ${process.execPath} is v${version}`;
  }
  return hasPause ? null : `needs Atomics.pause, which ${process.execPath} (v${version}) does not have`;
}
