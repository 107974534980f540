/** Error numbers that kernel functions return, negated.  Linux: include/uapi/asm-generic/errno*.h. */

export const Errno = {
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  EINVAL: 22,
  ENOSPC: 28,
  ETIME: 62,
} as const;
