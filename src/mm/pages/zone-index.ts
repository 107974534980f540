/**
 * Zone indexes, lowest addresses first.  A machine has some of them.
 *
 * Linux: include/linux/mmzone.h enum zone_type.
 */

export const ZoneIndex = { DMA: 0, DMA32: 1, NORMAL: 2, HIGHMEM: 3, MOVABLE: 4, DEVICE: 5 } as const;
export const ZONE_INDEXES = 6;
export const ZONE_NAMES: readonly string[] = ["DMA", "DMA32", "Normal", "HighMem", "Movable", "Device"];
