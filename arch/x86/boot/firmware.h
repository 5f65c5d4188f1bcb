/* UEFI, as far as we use it: memory, files, time, and the way out of boot services. */
#ifndef ARCH_X86_BOOT_FIRMWARE_H
#define ARCH_X86_BOOT_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a piece of memory is for, and so how it is mapped. */
enum firmware_use { FIRMWARE_DATA, FIRMWARE_CODE };

/* A piece of memory taken from the firmware, to be mapped in our own page tables too. */
struct firmware_range {
    uint64_t base;
    uint64_t size; /* bytes, a multiple of 4 KiB */
    enum firmware_use use;
};

#define FIRMWARE_RANGES 80

/* Starts using the firmware's tables, which efi_main() was given. Before all else. */
void firmware_init(void *image_handle, void *system_table);

/* Writes to the firmware's console. */
void firmware_print(const char *text, size_t length);

/* Whether the firmware's console output goes to COM1 as well. False if that cannot be told. */
bool firmware_console_is_com1(void);

/*
 * `size` bytes, zeroed only by chance, aligned to `alignment` (a power of two, at least 4 KiB). The
 * range is kept in the list of ranges. NULL if the firmware has no such piece.
 */
void *firmware_allocate(uint64_t size, uint64_t alignment);

/* The same, page-aligned and ending below `limit`: for data, or for code copied there. */
void *firmware_allocate_below(uint64_t size, uint64_t limit);
void *firmware_allocate_code_below(uint64_t size, uint64_t limit);

/* Gives back what was taken last. */
void firmware_give_back(void);

/* The ranges taken so far, *count of them. */
const struct firmware_range *firmware_ranges(unsigned *count);

/* Memory that the firmware could still give, in bytes. */
uint64_t firmware_free_memory(void);

/*
 * Puts the APIC IDs of the usable CPUs into `ids`, at most `capacity`, the one that runs this
 * first; returns how many there are, which may be more. By the MP services protocol (PI 1.8, Vol.
 * 2, 13.4); without it there is one CPU.
 */
unsigned firmware_find_cpus(uint32_t *ids, unsigned capacity);

/* Why a file could not be read. */
enum file_status {
    FILE_READ,
    FILE_NO_VOLUME,
    FILE_NOT_FOUND,
    FILE_REFUSED, /* the path is none */
    FILE_FOLDER,
    FILE_EMPTY,
    FILE_NO_MEMORY,
    FILE_FAILED,
};

/*
 * Reads a whole file of the volume that we were loaded from; `path` has backslashes and starts at
 * the root. On success *data, from firmware_allocate(), holds *size bytes.
 */
enum file_status firmware_read_file(const char *path, void **data, uint64_t *size);

/* The folder that we were loaded from, with a backslash at its end; "\" if that is unknown. */
void firmware_image_folder(char *path, size_t size);

/*
 * Random bytes of the firmware's (UEFI 2.10, 37.5). False if it has none to give; what `buffer`
 * then holds is undefined.
 */
bool firmware_random(void *buffer, size_t size);

/* Waits by the firmware's own clock. */
void firmware_stall(uint64_t microseconds);

/* Seconds since 1970, UTC, by the firmware's clock; 0 if it has none. */
uint64_t firmware_time(void);

/* Leaves boot services. False if the firmware does not let us. Nothing above works afterwards. */
bool firmware_exit_boot_services(void);

/* Switches the machine off through the runtime services; returns only if that failed. */
void firmware_shut_down(void *context);

/* Shows a prompt and waits for a key, where there is somebody to press one. */
void firmware_wait_for_key(void);

#endif
