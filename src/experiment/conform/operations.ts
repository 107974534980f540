/**
 * A trace's operations: each is done on the arena, and gives what the trace calls `ret` and `val`; null for one that is not
 * known here.
 */

import { Errno } from "../../memory/errno.ts";
import { PAGE_BYTES, WORD_BYTES } from "../../memory/units.ts";
import type { FileRef } from "../../process/file-layout.ts";
import { Madvice } from "../../process/madvise.ts";
import { Mlock2Flag } from "../../process/mlock.ts";
import { MapFlag } from "../../process/mmap.ts";
import { MremapFlag } from "../../process/mremap.ts";
import { MsyncFlag } from "../../process/msync.ts";
import type { Shmem } from "../../process/shmem.ts";
import { UserSignal } from "../../process/user-signal.ts";
import { Prot } from "../../process/vm-flags.ts";
import { type Arena, bytesOfWords, protOf } from "./arena.ts";
import type { TraceArgs, TraceRecord, TraceResult, TraceValue } from "./trace.ts";

export interface Done {
  readonly ret: TraceResult;
  readonly val?: TraceValue;
}

type Operation = (arena: Arena, args: TraceArgs) => Done | null;

const ERRNO_NAMES = new Map<number, string>(Object.entries(Errno).map(([name, value]) => [value, name]));
const BAD_ADVICE = 999;
const UNKNOWN_PROT = 0x80;
const UNKNOWN_MLOCK2 = 6;
const MAP_NAMES: Readonly<Record<string, number>> = {
  SHARED: MapFlag.SHARED,
  PRIVATE: MapFlag.PRIVATE,
  SHARED_VALIDATE: MapFlag.SHARED_VALIDATE,
  ANON: MapFlag.ANONYMOUS,
  FIXED: MapFlag.FIXED,
  NOREPLACE: MapFlag.FIXED_NOREPLACE,
  POPULATE: MapFlag.POPULATE,
  LOCKED: MapFlag.LOCKED,
  NORESERVE: MapFlag.NORESERVE,
  NONBLOCK: MapFlag.NONBLOCK,
};

const MREMAP_NAMES: Readonly<Record<string, number>> = { ...MremapFlag, UNKNOWN: 8 };
const MSYNC_NAMES: Readonly<Record<string, number>> = { ...MsyncFlag, UNKNOWN: 8 };

const OPERATIONS: Readonly<Record<string, Operation>> = {
  mmap,
  munmap: (arena, args) => plain(calls(arena).munmap(arena.mm, startOf(arena, args), bytesOf(args))),
  mprotect: (arena, args) =>
    plain(calls(arena).mprotect(arena.mm, startOf(arena, args), bytesOf(args), protection(args))),
  madvise: (arena, args) => {
    const name = String(args.advice);
    const advice = name === "BAD" ? BAD_ADVICE : (Madvice as Record<string, number>)[name];
    if (advice === undefined) return null;
    return plain(calls(arena).madvise(arena.mm, startOf(arena, args), bytesOf(args), advice));
  },
  mlock: (arena, args) => plain(calls(arena).locking.mlock(arena.mm, startOf(arena, args), bytesOf(args))),
  munlock: (arena, args) =>
    plain(calls(arena).locking.munlock(arena.mm, startOf(arena, args), bytesOf(args))),
  mlock2: (arena, args) => {
    const flags = (args.flags as readonly string[]).includes("UNKNOWN") ? UNKNOWN_MLOCK2 : Mlock2Flag.ONFAULT;
    const given = (args.flags as readonly string[]).length === 0 ? 0 : flags;
    return plain(calls(arena).locking.mlock2(arena.mm, startOf(arena, args), bytesOf(args), given));
  },
  mincore: (arena, args) => {
    const result = calls(arena).mincore(arena.mm, startOf(arena, args), bytesOf(args));
    return typeof result === "number" ? plain(result) : { ret: { ok: 0 }, val: result.join("") };
  },
  mremap: (arena, args) => {
    const names = args.flags as readonly string[];
    const value = calls(arena).mremap(arena.mm, {
      address: startOf(arena, args),
      oldBytes: wrapped(number(args.old) * PAGE_BYTES + number(args.oldb)),
      newBytes: wrapped(number(args.new) * PAGE_BYTES + number(args.newb)),
      flags: names.reduce((all, name) => all | MREMAP_NAMES[name], 0),
      to: args.to === undefined ? 0 : arena.address(number(args.to), number(args.tob)),
    });
    return value < 0 ? plain(value) : { ret: { page: arena.pageOf(value) } };
  },
  read: (arena, args) => access(arena, args, false),
  write: (arena, args) => access(arena, args, true),
  msync: (arena, args) => {
    const flags = (args.flags as readonly string[]).reduce((all, name) => all | MSYNC_NAMES[name], 0);
    return plain(calls(arena).msync(arena.mm, startOf(arena, args), bytesOf(args), flags));
  },
  ftruncate: (arena, args) =>
    onFile(arena, args, (shmem, file) => plain(shmem.truncate(file, bytesOf(args)))),
  punch: (arena, args) =>
    onFile(arena, args, (shmem, file) => plain(shmem.punchHole(file, offsetOf(args), bytesOf(args)))),
  pwrite: (arena, args) =>
    onFile(arena, args, (shmem, file) =>
      plain(shmem.write(file, offsetOf(args), bytesOfWords([number(args.value)]))),
    ),
  pread: (arena, args) =>
    onFile(arena, args, (shmem, file) => {
      const bytes = shmem.read(file, offsetOf(args), WORD_BYTES);
      const ret = { ok: bytes.length };
      const word = bytes.reduceRight((value, byte) => value * 256 + byte, 0);
      return bytes.length === WORD_BYTES ? { ret, val: word } : { ret };
    }),
};

/** Does what a record says; null when that is not known here. */
export function perform(arena: Arena, { op, args }: TraceRecord): Done | null {
  return OPERATIONS[op]?.(arena, args) ?? null;
}

function mmap(arena: Arena, args: TraceArgs): Done | null {
  const names = args.flags as readonly string[];
  const flags = names.reduce((all, name) => all | MAP_NAMES[name], 0);
  const offset = number(args.off) * PAGE_BYTES + number(args.offb);
  const isAnonymous = (flags & MapFlag.ANONYMOUS) !== 0;
  const file = isAnonymous ? 0 : fileOf(arena, args);
  if (!isAnonymous && file === 0) return plain(offset % PAGE_BYTES === 0 ? -Errno.EBADF : -Errno.EINVAL);
  const address = args.page === null ? 0 : startOf(arena, args);
  const prot = protOf(String(args.prot));
  const value = calls(arena).mmap(arena.mm, {
    address,
    bytes: bytesOf(args),
    prot,
    flags,
    file: file === 0 ? null : arena.kernel.processes.files.describe(file),
    offset,
  });
  return value < 0 ? plain(value) : { ret: { page: arena.pageOf(value) } };
}

/** Words at a stride of pages, one after the other; a refused access ends it. */
function access(arena: Arena, args: TraceArgs, isWrite: boolean): Done {
  const { user } = arena.kernel.paging;
  const stride = args.stride === undefined ? 1 : number(args.stride);
  const count = number(args.npages);
  const words: number[] = [];
  for (let k = 0; k < count; k++) {
    const page = number(args.page) + k * stride;
    const address = arena.address(page, number(args.byte));
    try {
      if (isWrite) user.write(address, number(args.value) + k);
      else words.push(user.read(address) >>> 0);
    } catch (error) {
      if (!(error instanceof UserSignal)) throw error;
      const ret = { sig: error.signal, code: error.code, page, done: k };
      return isWrite ? { ret } : { ret, val: words };
    }
  }
  return isWrite ? { ret: { ok: count } } : { ret: { ok: count }, val: words };
}

const fileOf = (arena: Arena, args: TraceArgs): FileRef => arena.files.get(String(args.fd)) ?? 0;

function onFile(arena: Arena, args: TraceArgs, act: (shmem: Shmem, file: FileRef) => Done): Done {
  const file = fileOf(arena, args);
  return file === 0 ? plain(-Errno.EBADF) : act(arena.kernel.processes.shmem, file);
}

const offsetOf = (args: TraceArgs): number => number(args.off) * PAGE_BYTES + number(args.byte);

const calls = (arena: Arena) => arena.kernel.processes.calls;

const number = (value: TraceArgs[string] | undefined): number => Number(value ?? 0);

const startOf = (arena: Arena, args: TraceArgs): number =>
  arena.address(number(args.page), number(args.byte));

const bytesOf = (args: TraceArgs): number => wrapped(number(args.npages) * PAGE_BYTES + number(args.nbytes));

/** Lengths wrap as 64 bits do. */
const wrapped = (bytes: number): number => (bytes >= 2 ** 64 ? bytes - 2 ** 64 : bytes);

function protection(args: TraceArgs): number {
  const extra =
    args.extra === "UNKNOWN" ? UNKNOWN_PROT : args.extra === undefined ? 0 : Prot.GROWSDOWN | Prot.GROWSUP;
  return protOf(String(args.prot)) | extra;
}

function plain(result: number): Done {
  if (result >= 0) return { ret: { ok: result } };
  return { ret: { errno: ERRNO_NAMES.get(-result) ?? String(result) } };
}
