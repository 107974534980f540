/** Error numbers that kernel functions return, negated.  Linux: include/uapi/asm-generic/errno*.h. */

export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  EFBIG: 27,
  ENOSPC: 28,
  ETIME: 62,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
} as const;
